"""Read and pass on HTTP/1.1 messages as bytes, as far as a proxy has to understand them (RFC 9112)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

PIECE = 1 << 14
"""Most bytes passed on at once, so that a rate limit is smooth and a cut is exact."""

_MAX_HEAD = 1 << 16

Pass = Callable[[bytes, bool], Awaitable[None]]
"""Take the next bytes of a message's body; the flag is False for the framing of a chunked body."""


class ProtocolError(Exception):
    """Say that what came is no HTTP/1.1 message."""


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


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read a message up to its body; None if the connection ends before one begins.

    Raises `ProtocolError` if it is no HTTP message.
    """
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            msg = "the connection ended within a message head"
            raise ProtocolError(msg) from error
        return None
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


async def copy_body(reader: asyncio.StreamReader, head: Head, pass_on: Pass, *, until_close: bool) -> None:
    """Pass on a message's body as it comes.

    `until_close` says what a body without a length is: one that lasts until the connection ends, as in a response, or
    none, as in a request. Raises `asyncio.IncompleteReadError` if the connection ends within a body of known length.
    """
    if head.fields.get("transfer-encoding", "").lower() == "chunked":
        await _copy_chunks(reader, pass_on)
    elif length := head.fields.get("content-length"):
        await _copy_exactly(reader, int(length), pass_on)
    elif until_close:
        while piece := await reader.read(PIECE):
            await pass_on(piece, True)  # noqa: FBT003 - the callback's only flag


def has_body(method: str, status: int) -> bool:
    """Say whether a response with this status to this method carries a body (RFC 9110 6.4.1)."""
    informational = status < HTTPStatus.OK
    return method != "HEAD" and not informational and status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


async def _copy_exactly(reader: asyncio.StreamReader, length: int, pass_on: Pass) -> None:
    while length:
        piece = await reader.read(min(PIECE, length))
        if not piece:
            raise asyncio.IncompleteReadError(b"", length)
        length -= len(piece)
        await pass_on(piece, True)  # noqa: FBT003 - the callback's only flag


async def _copy_chunks(reader: asyncio.StreamReader, pass_on: Pass) -> None:
    size = -1
    while size:
        line = await reader.readuntil(b"\r\n")
        await pass_on(line, False)  # noqa: FBT003 - the callback's only flag
        size = int(line.split(b";")[0], 16)
        if size:
            await _copy_exactly(reader, size, pass_on)
            await pass_on(await reader.readexactly(2), False)  # noqa: FBT003 - the callback's only flag
    trailer = b""
    while trailer != b"\r\n":
        trailer = await reader.readuntil(b"\r\n")
        await pass_on(trailer, False)  # noqa: FBT003 - the callback's only flag
