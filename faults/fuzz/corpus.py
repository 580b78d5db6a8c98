"""Keep the inputs that mutation begins with: what engines said when they were recorded, and what fuzzing found since.

Kept inputs stand in `tests/fuzz/corpus/<target>.txt`, one a line, as a JSON string whose characters are the bytes
(ISO 8859-1): a person can read them, and a change of one is a change of one line.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tests" / "fuzz" / "corpus"
_MESSAGES = ROOT / "tests" / "unit" / "engine" / "messages"

_PAIR = base64.b64encode(b"robot:correct-horse").decode()
_AUTHS: tuple[dict[str, Any], ...] = (
    {"registry.test": {"auth": _PAIR}},
    {"https://index.docker.io/v1/": {"username": "robot", "password": "correct-horse"}},
    {"registry.test:5000": {"identitytoken": "identity-battery", "auth": _PAIR}, "other.test": {}},
    {"[::1]:5000": {"registrytoken": "bearer-battery"}},
)
_LAYERS = (
    {"status": "Pulling from team/app", "id": "v1"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "6effb16b771c"},
    {
        "status": "Downloading",
        "progressDetail": {"current": 5, "total": 10},
        "progress": "[=>  ]",
        "id": "6effb16b771c",
    },
    {"status": "Extracting", "progressDetail": {"current": 7, "units": "s"}, "id": "6effb16b771c"},
    {"status": "Retrying in 5 seconds", "progressDetail": {}, "id": "6effb16b771c"},
    {"status": "Mounted from team/base", "id": "6effb16b771c"},
    {"progressDetail": {}, "aux": {"Tag": "v1", "Digest": f"sha256:{'0a' * 32}", "Size": 527}},
    {"status": f"v1: digest: sha256:{'0a' * 32} size: 527"},
)
WORDS = (
    *(
        "sha256:",
        "sha512:",
        "@",
        "docker.io/",
        "index.docker.io/",
        "library/",
        ":5000/",
        "localhost/",
        "[::1]",
        "latest",
    ),
    *(
        '"auths":{',
        '"auth":"',
        '"username":"',
        '"password":"',
        '"identitytoken":"',
        '"credHelpers":{',
        '"credsStore":"',
    ),
    *('{"errorDetail":{"code":1,"message":"', '"error":"', '"aux":{', '"progressDetail":{"current":', '"id":"', "\r\n"),
    *("Bearer ", "Basic ", "password=", "token=", "https://", "dial tcp ", "lookup ", "response body: ", "\x1b[31m"),
    *("toomanyrequests", "denied", "unauthorized", "retry-after: ", "try again in ", "x509: ", "manifest unknown"),
)
"""What libFuzzer puts into inputs beside single bytes."""


def starting(target: str) -> list[bytes]:
    """Return the inputs that a target's mutation begins with."""
    return [*_MADE[target](), *kept(target)]


def kept(target: str) -> list[bytes]:
    """Read the kept inputs of a target."""
    path = KEPT / f"{target}.txt"
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [json.loads(line).encode("latin-1") for line in lines]


def _messages() -> list[dict[str, Any]]:
    return [entry for path in sorted(_MESSAGES.glob("*.yaml")) for entry in yaml.safe_load(path.read_bytes())]


def _references() -> Iterator[bytes]:
    digest = f"sha256:{'0a' * 32}"
    for name in ("nginx", "team/app", "registry.test:5000/team/app", "localhost/a", "[::1]:5000/a__b/c--d", "Host/a"):
        yield from (f"{name}{selector}".encode() for selector in ("", ":1.27", f"@{digest}", f":v1@{digest}"))
    yield digest.encode()
    yield from {str(message.get("reference", "")).encode() for message in _messages()}


def _secrets() -> Iterator[bytes]:
    for auths in _AUTHS:
        yield b"\0" + json.dumps({"auths": auths}).encode()
        yield b"\1" + json.dumps(auths).encode()
        yield b"\3" + base64.b64encode(json.dumps({"auths": auths}).encode())
    yield b"\0" + json.dumps({"credHelpers": {"registry.test": "ecr-login"}, "credsStore": "pass"}).encode()
    yield b"\2registry.test\nrobot\ncorrect-horse"


def _streams() -> Iterator[bytes]:
    lines = [json.dumps(layer).encode() for layer in _LAYERS]
    yield b"\x10\x40\x80\xc0" + b"\r\n".join(lines) + b"\r\n"
    for message in _messages():
        text = message["text"]
        error = json.dumps({"errorDetail": {"code": message["status"] or 1, "message": text}, "error": text}).encode()
        yield b"\x10\x40\x7f\xc0" + lines[0] + b"\r\n" + error + b"\r\n"
        yield b"\x80\x40\x7f\xc0" + error + b"\r\n"


def _redactions() -> Iterator[bytes]:
    for number, message in enumerate(_messages()):
        yield bytes([13, number % 256, number * 7 % 256]) + b"correct-horse" + str(message["text"]).encode()


def _classifications() -> Iterator[bytes]:
    for number, message in enumerate(_messages()):
        status = int(message["status"] or 0)
        yield bytes([number % 8 | 0x80]) + status.to_bytes(2) + str(message["text"]).encode()


_MADE = {
    "reference": _references,
    "secret": _secrets,
    "stream": _streams,
    "redaction": _redactions,
    "classification": _classifications,
}
