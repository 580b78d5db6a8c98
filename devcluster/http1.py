"""Read and pass on HTTP/1.1 messages as bytes, as far as a proxy has to understand them (RFC 9112)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

PIECE = 1 << 14
"""Most bytes passed on at once, so that a rate limit is smooth and a cut is exact."""

_MAX_HEAD = 1 << 16
_TLS_HANDSHAKE = b"\x16"


class ProtocolError(Exception):
    """Say that what came is no HTTP/1.1 message."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Hold the next bytes of a body; `content` is False for what only frames a chunked one."""

    data: bytes
    content: bool


@dataclass(frozen=True, slots=True)
class Head:
    """Hold a message's first line and header fields, and the bytes they came as. Field names are in lower case."""

    line: tuple[str, str, str]
    fields: dict[str, str]
    raw: bytes

    @property
    def status(self) -> int:
        """Read the status code of a response."""
        return int(self.line[1])

    @property
    def closes(self) -> bool:
        """Say whether the connection ends with this message."""
        return "close" in self.fields.get("connection", "").lower() or "HTTP/1.0" in self.line

    @property
    def framed(self) -> bool:
        """Say whether the end of the body can be told without the end of the connection."""
        return "content-length" in self.fields or "transfer-encoding" in self.fields


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read a message up to its body; None if the connection ends before one begins.

    Raises `ProtocolError` if it is no HTTP message.
    """
    if (start := await reader.read(1)) == _TLS_HANDSHAKE:
        msg = "the client began with TLS"  # as an Engine does first at a registry without a certificate
        raise ProtocolError(msg)
    if not start:
        return None
    try:
        raw = start + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        msg = "the connection ended within a message head"
        raise ProtocolError(msg) from error
    except asyncio.LimitOverrunError as error:
        msg = f"a message head is longer than {_MAX_HEAD} bytes"
        raise ProtocolError(msg) from error
    first, *rest = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2:
        msg = f"no HTTP message begins with {first[:40]!r}"
        raise ProtocolError(msg)
    pairs = (line.partition(":") for line in rest)
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Head(line=(words[0], words[1], words[2] if len(words) > 2 else ""), fields=fields, raw=raw)


async def body(reader: asyncio.StreamReader, head: Head, *, until_close: bool) -> AsyncIterator[Piece]:
    """Yield a message's body as it comes.

    `until_close` says what a body without a length is: one that lasts until the connection ends, as in a response, or
    none, as in a request. Raises `asyncio.IncompleteReadError` if the connection ends within a body of known length.
    """
    if head.fields.get("transfer-encoding", "").lower() == "chunked":
        async for piece in _chunks(reader):
            yield piece
    elif (length := head.fields.get("content-length")) is not None:
        async for piece in _exactly(reader, int(length)):
            yield piece
    elif until_close:
        while data := await reader.read(PIECE):
            yield Piece(data, content=True)


def has_body(method: str, status: int) -> bool:
    """Say whether a response with this status to this method carries a body (RFC 9110 section 6.4.1)."""
    return (
        method != "HEAD" and status >= HTTPStatus.OK and status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    )


async def _exactly(reader: asyncio.StreamReader, length: int) -> AsyncIterator[Piece]:
    while length:
        data = await reader.read(min(PIECE, length))
        if not data:
            raise asyncio.IncompleteReadError(b"", length)
        length -= len(data)
        yield Piece(data, content=True)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[Piece]:
    size = -1
    while size:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        yield Piece(line, content=False)
        if size:
            async for piece in _exactly(reader, size):
                yield piece
            yield Piece(await reader.readexactly(2), content=False)
    trailer = b""
    while trailer != b"\r\n":
        trailer = await reader.readuntil(b"\r\n")
        yield Piece(trailer, content=False)
