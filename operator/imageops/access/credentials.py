"""Read registry credentials out of a Secret, and pick those for an image.

What no image asks for hurts nobody: an entry is looked into only when it is for the image, so one that is broken
matters to its own registry alone. What may stand in an entry is what the kubelet and `docker` take.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from imageops.access.keyring import Scope
from imageops.api.errors import OperationError
from imageops.api.kinds import REGISTRY_ANNOTATION
from imageops.api.reasons import Reason
from imageops.engine.protocol import RegistryAuth

DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
DOCKER_CFG = "kubernetes.io/dockercfg"
BASIC_AUTH = "kubernetes.io/basic-auth"

MAX_ENTRIES = 1_000
"""Entries of one Secret at most: each is compared with the image in the loop that serves all."""
MAX_TRIED = 8
"""Credentials that are tried for one image at most; each is a question to the registry."""
MAX_BYTES = 64 * 1024
"""Bytes of one credential at most. It travels in a header of each request, and servers refuse longer ones."""
_EVERY_HOST = "*"
_CREDENTIAL = ("auth", "username", "password", "identitytoken", "registrytoken")
_STANDARD_ALPHABET = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Match:
    """One credential that is for an image."""

    rank: str
    """Of several for one image, the greatest goes first."""
    auth: RegistryAuth


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretCredentials:
    """What one Secret holds, entry by entry."""

    name: str
    entries: Mapping[str, Any] = field(repr=False)
    """As they stand in the Secret, by the name of their registry; nothing in them is known to be right."""
    helpers: tuple[str, ...] = ()
    """Registries for which the Secret names a credential helper instead; `*` stands for all."""

    def for_image(self, host: str, repository: str) -> tuple[Match, ...]:
        """Return the credentials for an image, the one that is most to the point first; empty if there is none.

        They are `MAX_TRIED` at most. A broken entry is passed over where another one serves.

        Raises:
            OperationError: SecretInvalid, if all that is for the image is broken; CredentialHelperUnsupported, where a
                helper would have to be run.

        """
        image = Scope.of_image(host, repository)
        if image is None:
            return ()
        scopes = ((Scope.of(server), entry) for server, entry in self.entries.items())
        ranked = [(scope.rank, entry) for scope, entry in scopes if scope is not None and scope.covers(image)]
        ranked.sort(key=lambda one: one[0], reverse=True)  # of equal ones the first stays the first
        found: list[Match] = []
        broken: OperationError | None = None
        for rank, entry in ranked:
            try:
                auth = _read(self.name, entry, host)
            except OperationError as error:
                broken = broken or error
                continue
            if auth is not None:
                found.append(Match(rank, auth))
            if len(found) == MAX_TRIED:
                break
        if not found and broken is not None:
            raise broken
        if not found and self._needs_helper(image):
            raise OperationError(
                Reason.CREDENTIAL_HELPER_UNSUPPORTED,
                f"Secret {self.name!r} names a credential helper for {host}, and the operator runs none.",
            )
        return tuple(found)

    def _needs_helper(self, image: Scope) -> bool:
        if _EVERY_HOST in self.helpers:
            return True
        scopes = map(Scope.of, self.helpers)
        return any(scope is not None and scope.covers(image) for scope in scopes)


def parse_secret(secret: Mapping[str, Any]) -> SecretCredentials:
    """Read a Secret as the API server returns it.

    Raises:
        OperationError: SecretInvalid, when its type or the whole of it is of no use. No content is repeated.

    """
    metadata = secret.get("metadata") or {}
    name, kind = str(metadata.get("name", "")), secret.get("type")
    data = secret.get("data") or {}
    if kind == DOCKER_CONFIG_JSON:
        config = _fields(_json(name, data, ".dockerconfigjson"))
        auths = config.get("auths") or {}
        if not isinstance(auths, dict):
            raise _invalid(name, "its list of registries is not a map")
        return SecretCredentials(name=name, entries=_bounded(name, auths), helpers=tuple(_helpers(name, config)))
    if kind == DOCKER_CFG:
        return SecretCredentials(name=name, entries=_bounded(name, _json(name, data, ".dockercfg")))
    if kind == BASIC_AUTH:
        server = (metadata.get("annotations") or {}).get(REGISTRY_ANNOTATION, "")
        if Scope.of(server) is None:
            raise _invalid(name, f"a basic-auth Secret needs the annotation {REGISTRY_ANNOTATION}: <host>")
        return SecretCredentials(
            name=name,
            entries={server: {key: _text(name, data, key) for key in ("username", "password")}},
        )
    raise _invalid(name, "its type is not dockerconfigjson, dockercfg or basic-auth")


def _bounded(name: str, entries: dict[str, Any]) -> dict[str, Any]:
    if len(entries) > MAX_ENTRIES:
        raise _invalid(name, f"it names more than {MAX_ENTRIES} registries")
    return entries


def _helpers(name: str, config: Mapping[str, Any]) -> Iterator[str]:
    named = config.get("credhelpers")
    if isinstance(named, dict):
        yield from (server for server in _bounded(name, named) if server != _EVERY_HOST)
    if config.get("credsstore"):
        yield _EVERY_HOST


def _read(name: str, entry: Any, host: str) -> RegistryAuth | None:
    """Read an entry that is for an image; None for an empty one, which `docker logout` leaves behind."""
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise _invalid(name, "its entry for this registry is not a map")
    fields = _fields(entry)
    given = {key: fields[key] for key in _CREDENTIAL if fields.get(key) not in (None, "")}
    if not all(isinstance(value, str) for value in given.values()):
        raise _invalid(name, "its entry for this registry holds something that is not text")
    if "auth" in given:
        given["username"], given["password"] = _pair(name, given.pop("auth"))
    auth = RegistryAuth(
        username=given.get("username"),
        password=given.get("password"),
        identity_token=given.get("identitytoken"),
        registry_token=given.get("registrytoken"),
        server=host,
    )
    if not (auth.identity_token or auth.registry_token or (auth.username and auth.password)):
        if auth.username or auth.password:
            raise _invalid(name, "its entry for this registry lacks a user name or a password")
        return None
    _check(name, given.values(), auth)
    return auth


def _check(name: str, values: Iterable[str], auth: RegistryAuth) -> None:
    """Refuse what cannot be sent, which a daemon or a registry would refuse in words that help nobody."""
    try:
        size = sum(len(value.encode()) for value in values)
    except UnicodeEncodeError:
        raise _invalid(name, "its entry for this registry is not text in UTF-8") from None
    if size > MAX_BYTES:
        raise _invalid(name, f"its entry for this registry has more than {MAX_BYTES // 1024} KiB")
    token = auth.registry_token or ""
    if not (token.isascii() and token.isprintable()):
        raise _invalid(name, "the registrytoken for this registry has characters that no header can carry")


def _pair(name: str, encoded: str) -> tuple[str, str]:
    """Decode user name and password: with padding or without, in either alphabet, in several lines.

    Old versions of Docker pad the password with NUL.
    """
    text = "".join(encoded.split()).rstrip("=").translate(_STANDARD_ALPHABET)
    try:
        pair = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except ValueError:  # of base64, and of UTF-8
        raise _invalid(name, "an auth field is not base64 of user name, colon and password") from None
    username, colon, password = pair.partition(":")
    if not colon:
        raise _invalid(name, "an auth field has no colon between user name and password")
    return username, password.strip("\0")


def _fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields by their names in lower case: who reads JSON in Go tells no case apart."""
    return {key.lower(): value for key, value in document.items()}


def _json(name: str, data: Mapping[str, Any], key: str) -> dict[str, Any]:
    try:
        value = json.loads(_text(name, data, key).removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise _invalid(name, f"its key {key} is not JSON") from None
    if not isinstance(value, dict):
        raise _invalid(name, f"its key {key} is not a JSON object")
    return value


def _text(name: str, data: Mapping[str, Any], key: str) -> str:
    if key not in data:
        raise _invalid(name, f"it has no key {key}")
    try:
        return base64.b64decode(data[key], validate=True).decode()
    except (TypeError, ValueError):
        raise _invalid(name, f"its key {key} is not readable text") from None


def _invalid(name: str, what: str) -> OperationError:
    return OperationError(Reason.SECRET_INVALID, f"Secret {name!r} cannot be used: {what}.")
