"""Hold each parser of foreign text to its promises, for one input of bytes.

A check returns if the parser did what it may do; an expected refusal is one of those things. Anything else raises.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from imageops.access.credentials import (
    BASIC_AUTH,
    DOCKER_CFG,
    DOCKER_CONFIG_JSON,
    SecretCredentials,
    parse_secret,
)
from imageops.access.keyring import HUB, Scope
from imageops.api.errors import MESSAGE_MAX_LENGTH, OperationError
from imageops.api.kinds import REGISTRY_ANNOTATION
from imageops.api.reasons import Reason, ReasonClass
from imageops.api.references import Reference
from imageops.engine.auth_header import auth_header
from imageops.engine.classify import MAX_RETRY_AFTER_SECONDS, classify, retry_after
from imageops.engine.protocol import RegistryAuth
from imageops.engine.redaction import MAX_OUTPUT, redact
from imageops.engine.stream import MAX_RECORD_BYTES, read_records
from imageops.engine.words import Call

_LEAST_SECRET = 8
"""Letters of a planted secret: shorter ones turn up in the redactor's own words by chance."""
_LONG = 0x80
"""Set in the first byte of a stream's input: its first record is made longer than a record may be."""
_OWN_WORDS = re.compile(r"\[(?:removed|token|url|address|name)\]")
"""What the redactor writes itself; letters of it are no letters of a secret."""
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class BrokenPromiseError(Exception):
    """A parser did something that it must not do."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser under attack."""

    name: str
    check: Callable[[bytes], None]
    longest: int
    """Bytes of an input at most."""


def check_reference(data: bytes) -> None:
    """A reference is read, and its own text is read as the same; or it is an InvalidReference."""
    try:
        reference = Reference.parse(data.decode(errors="surrogateescape"))
    except OperationError as error:
        _expect(error, {Reason.INVALID_REFERENCE})
        return
    _hold(Reference.parse(str(reference)) == reference, "the canonical text is another reference")


def check_secret(data: bytes) -> None:
    """A Secret is read, and each credential goes into a header; or it is SecretInvalid, and none of it is repeated.

    The first byte chooses the type and which key is there; the rest is the content.
    """
    choice, content = (data[0] if data else 0), data[1:]
    try:
        credentials = parse_secret(_secret(choice, content))
        for host in _hosts_of_images(credentials):
            for match in credentials.for_image(host, "team/app"):
                _check_credential(match.auth, host)
    except OperationError as error:
        _expect(error, {Reason.SECRET_INVALID, Reason.CREDENTIAL_HELPER_UNSUPPORTED})
        for secret in _texts_to_keep(content):
            _hold(secret not in error.message, "the message repeats content")


def _hosts_of_images(credentials: SecretCredentials) -> Iterator[str]:
    """Yield the hosts that a Secret names, as an image names them, and one that it may not name."""
    for server in (*credentials.entries, *credentials.helpers):
        scope = Scope.of(server)
        if scope is not None:
            host = scope.host.replace("*", "any")
            yield f"{host}:{scope.port}" if scope.port else host
    yield HUB


def _check_credential(auth: RegistryAuth, host: str) -> None:
    header = auth_header(auth)["X-Registry-Auth"]
    _hold(bool(json.loads(base64.urlsafe_b64decode(header))), "the header cannot be read back")
    _hold(auth.server == host, "a credential for another host")
    _hold(not auth.password or len(auth.password) < _LEAST_SECRET or auth.password not in repr(auth), "repr")


def check_stream(data: bytes) -> None:
    """A stream is records, then nothing or one error; where the network cuts it makes no difference."""
    cuts, content = data[:4], data[4:]
    if cuts and cuts[0] & _LONG:
        content = content.replace(b" ", b" " * MAX_RECORD_BYTES, 1)
    whole = _outcome([content])
    _hold(_outcome(_pieces(content, cuts)) == whole, "other records when cut elsewhere")
    for record in whole[0]:
        layer = record.layer
        if layer is not None:
            _hold(layer.id.isascii() and layer.id.isprintable(), "an odd layer id")
            _hold(all(count is None or count >= 0 for count in (layer.current, layer.total)), "a negative count")


def check_redaction(data: bytes) -> None:
    """What is left is short and printable, and no credential in use is in it, however it was spelled.

    The first byte is the length of the secret, the second chooses its spelling, the third its place in the rest.
    """
    length, spelling, place = (*data[:3], 0, 0, 0)[:3]
    text = data[3:].decode(errors="surrogateescape")
    secret, rest = text[:length], text[length:]
    planted = list(_spelled(secret))[spelling % _SPELLINGS]
    at = place * len(rest) // 255
    whole = f"{rest[:at]}{planted}{rest[at:]}"
    output = redact(whole, [secret] if secret else [])
    _hold(len(output) <= MAX_OUTPUT, "too long")
    _hold(_printable(output), "not printable")
    foreign = _OWN_WORDS.sub("\ud800", output)  # which no input has
    for form in {planted, secret.strip()} if len(secret.strip()) >= _LEAST_SECRET else ():
        most = form[: max(_LEAST_SECRET, len(form) * 3 // 4)]
        # Other text that looks alike, or does so without what is not printable, may stay.
        others = whole.count(most[:4]) > planted.count(most[:4]) or most[:4] in redact(f"{rest[:at]} {rest[at:]}")
        _hold(others or most not in foreign, "the secret is still there")


def check_classification(data: bytes) -> None:
    """Any words of a daemon are a failure with a reason, and a wait within its limit."""
    choice, status, content = (*data[:1], 0)[0], int.from_bytes(data[1:3]), data[3:]
    text = content.decode(errors="replace")
    reference = Reference("registry.test", "team/app", "v1", None) if choice & _LONG else None
    call = list(Call)[choice % len(Call)]
    reason = classify(call, status or None, text, reference=reference).reason
    _hold(reason.reason_class in {ReasonClass.RETRYABLE, ReasonClass.FINAL}, "no failure")
    seconds = retry_after(text)
    _hold(seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_SECONDS, "a wait beyond the limit")


TARGETS = (
    Target("reference", check_reference, 700),
    Target("secret", check_secret, 2_000),
    Target("stream", check_stream, 2_000),
    Target("redaction", check_redaction, 9_000),
    Target("classification", check_classification, 2_000),
)


def _secret(choice: int, content: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    metadata: dict[str, Any] = {"name": "pull"}
    match choice % 4:
        case 0:
            return {"metadata": metadata, "type": DOCKER_CONFIG_JSON, "data": {".dockerconfigjson": encoded}}
        case 1:
            return {"metadata": metadata, "type": DOCKER_CFG, "data": {".dockercfg": encoded}}
        case 2:
            host, _, rest = content.partition(b"\n")
            user, _, password = rest.partition(b"\n")
            metadata["annotations"] = {REGISTRY_ANNOTATION: host.decode(errors="replace")}
            data = {"username": user, "password": password}
            return {
                "metadata": metadata,
                "type": BASIC_AUTH,
                "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
            }
        case _:
            kind = DOCKER_CFG if choice & _LONG else DOCKER_CONFIG_JSON
            return {"metadata": metadata, "type": kind, "data": {f".{kind[14:]}": content.decode(errors="replace")}}


def _texts_to_keep(content: bytes) -> list[str]:
    """Return what is under the keys of a credential and nowhere else, so that no message can have it by chance."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return []
    kept: list[str] = []
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key, inner in value.items():
                waiting.append(inner)
                if key in {"auth", "password", "identitytoken", "registrytoken"} and isinstance(inner, str):
                    kept.append(inner)
        elif isinstance(value, list):
            waiting += value
    shown = content.decode(errors="replace")
    return [text for text in kept if len(text) >= _LEAST_SECRET and shown.count(text) == 1]


def _pieces(content: bytes, cuts: bytes) -> Iterator[bytes]:
    places = sorted(place * (len(content) + 1) // 256 for place in cuts)
    for start, end in zip([0, *places], [*places, len(content)], strict=True):
        yield content[start:end]


def _outcome(chunks: Iterator[bytes] | Sequence[bytes]) -> tuple[list[Any], Reason | None]:
    records = []
    try:
        for record in read_records(chunks):
            records.append(record)  # noqa: PERF402 - those before an error count
    except OperationError as error:
        _expect(error, {Reason.DAEMON_ERROR, Reason.DAEMON_CONNECTION_LOST})
        return records, error.reason
    return records, None


_SPELLINGS = 6


def _spelled(secret: str) -> Iterator[str]:
    """Yield the ways in which a registry may echo a secret."""
    raw = secret.encode(errors="surrogatepass")
    yield secret
    yield quote(raw, safe="")
    yield quote_plus(raw)
    yield base64.b64encode(raw).decode()
    yield base64.urlsafe_b64encode(raw).decode()
    yield json.dumps(secret)[1:-1]


def _expect(error: OperationError, reasons: set[Reason]) -> None:
    _hold(error.reason in reasons, f"the reason is {error.reason}")
    for text in (error.message, error.hint):
        _hold(0 < len(text) <= MESSAGE_MAX_LENGTH and _printable(text), "the message is empty, too long or unprintable")


def _printable(text: str) -> bool:
    return not any(unicodedata.category(char) in _UNPRINTABLE for char in text)


def _hold(promise: bool, otherwise: str) -> None:  # noqa: FBT001 - the one thing it is about
    if not promise:
        raise BrokenPromiseError(otherwise)
