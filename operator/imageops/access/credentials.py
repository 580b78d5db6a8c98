"""Read registry credentials out of Secrets and pick the one for a host.

A credential serves exactly the host its entry names: never a sub-domain, another port or a host that ends alike. Only
Docker Hub's own names are the same registry under several spellings. Entries with a path serve their host.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from imageops.api.errors import OperationError
from imageops.api.kinds import REGISTRY_ANNOTATION
from imageops.api.reasons import Reason
from imageops.engine.protocol import RegistryAuth

HUB = "docker.io"
_HUB_NAMES = frozenset(
    {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"},
)

DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
DOCKER_CFG = "kubernetes.io/dockercfg"
BASIC_AUTH = "kubernetes.io/basic-auth"

_HELPER_KEYS = ("credHelpers", "credsStore")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretCredentials:
    """The usable credentials of one Secret, by normalised host."""

    name: str
    by_host: Mapping[str, RegistryAuth]
    helpers: frozenset[str]
    """Hosts for which the Secret names a credential helper instead; `*` stands for all."""

    def for_host(self, host: str) -> RegistryAuth | None:
        """Return the credential for a registry host; None if the Secret has none for it.

        Raises:
            OperationError: CredentialHelperUnsupported, where a helper would have to be run.

        """
        wanted = normalised_host(host)
        found = self.by_host.get(wanted)
        if found is None and (wanted in self.helpers or "*" in self.helpers):
            raise OperationError(
                Reason.CREDENTIAL_HELPER_UNSUPPORTED,
                f"Secret {self.name!r} names a credential helper for {host}, and the operator runs none.",
            )
        return found


def normalised_host(server: str) -> str:
    """Return the host with its port of a registry's name, address or URL; Docker Hub under its one name.

    Empty for what is no address at all.
    """
    text = server.strip()
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2].lower()
    if " " in host or not host.isprintable():
        return ""
    return HUB if host in _HUB_NAMES else host


def parse_secret(secret: Mapping[str, Any]) -> SecretCredentials:
    """Read a Secret as the API server returns it.

    Raises:
        OperationError: SecretInvalid, when its type or content is of no use. No content is repeated.

    """
    metadata = secret.get("metadata") or {}
    name, kind = str(metadata.get("name", "")), str(secret.get("type", ""))
    data = secret.get("data") or {}
    if kind == DOCKER_CONFIG_JSON:
        config = _json(name, data, ".dockerconfigjson")
        return _from_config(name, config.get("auths"), config)
    if kind == DOCKER_CFG:
        return _from_config(name, _json(name, data, ".dockercfg"), {})
    if kind == BASIC_AUTH:
        return _from_basic_auth(name, metadata.get("annotations") or {}, data)
    raise _invalid(name, f"its type is {kind or 'absent'!r}, not dockerconfigjson, dockercfg or basic-auth")


def _from_config(name: str, auths: Any, config: Mapping[str, Any]) -> SecretCredentials:
    if auths is None:
        auths = {}
    if not isinstance(auths, dict):
        raise _invalid(name, "its list of registries is not a map")
    by_host: dict[str, RegistryAuth] = {}
    for server, entry in auths.items():
        host = normalised_host(server)
        if not host or not isinstance(entry, dict):
            raise _invalid(name, "an entry is not a map under a registry's host")
        auth = _entry(name, host, entry)
        if auth is not None:
            by_host.setdefault(host, auth)
    return SecretCredentials(name=name, by_host=by_host, helpers=_helpers(config))


def _helpers(config: Mapping[str, Any]) -> frozenset[str]:
    helpers = config.get("credHelpers")
    hosts = {normalised_host(host) for host in helpers} if isinstance(helpers, dict) else set()
    if config.get("credsStore"):
        hosts.add("*")
    return frozenset(hosts)


def _entry(name: str, host: str, entry: Mapping[str, Any]) -> RegistryAuth | None:
    """Read one entry; None for an empty one, which `docker logout` leaves behind."""
    username, password = entry.get("username"), entry.get("password")
    if entry.get("auth"):
        username, password = _decoded_pair(name, entry["auth"])
    token = entry.get("identitytoken")
    registry_token = entry.get("registrytoken")
    for value in (username, password, token, registry_token):
        if value is not None and not isinstance(value, str):
            raise _invalid(name, f"the entry for {host} holds something that is not text")
    if not (token or registry_token or (username and password)):
        if username or password:
            raise _invalid(name, f"the entry for {host} lacks a user name or a password")
        return None
    return RegistryAuth(
        username=username,
        password=password,
        identity_token=token,
        registry_token=registry_token,
        server=host,
    )


def _decoded_pair(name: str, encoded: Any) -> tuple[str, str]:
    try:
        username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
        raise _invalid(name, "an auth field is not base64 of user name, colon and password") from None
    if not colon:
        raise _invalid(name, "an auth field has no colon between user name and password")
    return username, password.rstrip("\0")


def _from_basic_auth(name: str, annotations: Mapping[str, str], data: Mapping[str, Any]) -> SecretCredentials:
    host = normalised_host(annotations.get(REGISTRY_ANNOTATION, ""))
    if not host:
        raise _invalid(name, f"a basic-auth Secret needs the annotation {REGISTRY_ANNOTATION}: <host>")
    username, password = _text(name, data, "username"), _text(name, data, "password")
    if not username or not password:
        raise _invalid(name, "it lacks a user name or a password")
    auth = RegistryAuth(username=username, password=password, server=host)
    return SecretCredentials(name=name, by_host={host: auth}, helpers=frozenset())


def _json(name: str, data: Mapping[str, Any], key: str) -> dict[str, Any]:
    try:
        value = json.loads(_text(name, data, key))
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
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
        raise _invalid(name, f"its key {key} is not readable text") from None


def _invalid(name: str, what: str) -> OperationError:
    return OperationError(Reason.SECRET_INVALID, f"Secret {name!r} cannot be used: {what}.")
