"""Pass HTTP exchanges between clients and one registry, at a limited rate, obeying a ledger's rules."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from devcluster import http1
from devcluster.ledger import Answer, Cut, GateRequest, Ledger, Rule, Stall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from devcluster.http1 import Head, Piece


_SOCKET = "unix://"
"""How the address of a daemon's socket begins."""
_PIECES_PER_SECOND = 20
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
"""What Go's server answers a client that begins with TLS too: by this an Engine learns to speak plain HTTP."""
_LOOK_SECONDS = 0.1
"""How often a stalled exchange looks whether its client has gone."""


class Pace:
    """Share a rate in bytes per second over all connections; None is no limit."""

    def __init__(self, bytes_per_second: int | None) -> None:
        self.bytes_per_second = bytes_per_second
        self._free_at = 0.0

    @property
    def piece(self) -> int:
        """Return how many bytes may pass at once, so that the rate is even."""
        return http1.PIECE if self.bytes_per_second is None else max(1, self.bytes_per_second // _PIECES_PER_SECOND)

    async def take(self, count: int) -> None:
        """Wait until so many bytes may pass."""
        if self.bytes_per_second is None:
            return
        now = asyncio.get_running_loop().time()
        self._free_at = max(now, self._free_at) + count / self.bytes_per_second
        await asyncio.sleep(self._free_at - now)


class _CutError(Exception):
    """End an exchange by dropping its connections."""


@dataclass(frozen=True, slots=True)
class _Ends:
    """Hold both directions of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(slots=True)
class _Meter:
    """Count one exchange's body bytes, and act when its rule's count is reached."""

    ledger: Ledger
    number: int
    rule: Rule | None
    pace: Pace
    released: asyncio.Event
    client: _Ends
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("request_bytes", "response_bytes"), 0))

    async def metered(self, pieces: AsyncIterator[Piece], counter: str) -> AsyncIterator[bytes]:
        """Yield what may pass, when it may."""
        async for piece in pieces:
            if not piece.content:
                yield piece.data
                continue
            data = piece.data
            while data:
                room = await self._room(min(len(data), self.pace.piece))
                await self.pace.take(room)
                self.counts[counter] += room
                self.ledger.changed(self.number, **self.counts)
                yield data[:room]
                data = data[room:]

    async def check(self) -> None:
        """Act if the rule's count is reached before any byte."""
        await self._room(1)

    async def _room(self, wanted: int) -> int:
        if self.rule is None or not isinstance(self.rule.action, Cut | Stall):
            return wanted
        left = self.rule.action.after_bytes - sum(self.counts.values())
        if left > 0:
            return min(wanted, left)
        rule, self.rule = self.rule, None
        if self.ledger.take(rule):
            if isinstance(rule.action, Cut):
                raise _CutError
            await self._stall()
        return wanted

    async def _stall(self) -> None:
        while not self.released.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.released.wait(), _LOOK_SECONDS)
            if self.client.reader.at_eof() or self.client.reader.exception() is not None:
                raise _CutError


class Relay:
    """Serve clients' connections, each with an own connection to the registry."""

    def __init__(self, upstream: str, ledger: Ledger, pace: Pace) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._pace = pace
        self.released = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it or the registry closes, or a rule cuts."""
        client = _Ends(reader, writer)
        upstream = None
        try:
            upstream = await self._connected()
            while (head := await _next_head(client, upstream)) is not None:
                if not await self._exchange(head, client, upstream):
                    break
        except http1.ProtocolError:
            writer.write(_BAD_REQUEST)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, _CutError):  # only the gate's end cancels
            writer.transport.abort()
        finally:
            writer.close()
            if upstream is not None:
                upstream.writer.close()

    async def _connected(self) -> _Ends:
        if self._upstream.startswith(_SOCKET):
            return _Ends(*await asyncio.open_unix_connection(self._upstream.removeprefix(_SOCKET)))
        host, _, port = self._upstream.rpartition(":")
        return _Ends(*await asyncio.open_connection(host, int(port)))

    async def _exchange(self, head: Head, client: _Ends, upstream: _Ends) -> bool:
        """Serve one request; answer whether the connection can serve another."""
        method, path, _ = head.line
        number = self._ledger.opened(GateRequest(method, path, authorized="authorization" in head.fields))
        rule = self._ledger.rule_for(method, path)
        meter = _Meter(self._ledger, number, rule, self._pace, self.released, client)
        try:
            if rule is not None and isinstance(rule.action, Answer) and self._ledger.take(rule):
                return await _answer(head, client, rule.action, meter)
            await meter.check()
            upstream.writer.write(head.raw)
            sending = asyncio.create_task(_send_body(head, client.reader, upstream.writer, meter))
            responding = asyncio.create_task(_respond(head, upstream.reader, client.writer, meter))
            try:
                await _ended(sending, responding, client.reader)
                for task in (sending, responding):
                    if task.done():
                        task.result()
                return sending.result() and responding.result() and not head.closes
            finally:
                for task in (sending, responding):
                    task.cancel()
                await asyncio.gather(sending, responding, return_exceptions=True)
        finally:
            self._ledger.changed(number, finished=True)


async def _next_head(client: _Ends, upstream: _Ends) -> Head | None:
    """Read the client's next request; None as well if the upstream ends meanwhile: then no request could be served."""
    heading = asyncio.create_task(http1.read_head(client.reader))
    ending = asyncio.create_task(upstream.reader.read(1))
    try:
        await asyncio.wait({heading, ending}, return_when=asyncio.FIRST_COMPLETED)
        return heading.result() if heading.done() else None
    finally:
        heading.cancel()
        ending.cancel()
        await asyncio.gather(heading, ending, return_exceptions=True)


async def _ended(
    sending: asyncio.Task[bool],
    responding: asyncio.Task[bool],
    client: asyncio.StreamReader,
) -> None:
    """Wait for both directions, for the first failure, or for the client to leave while the registry is silent."""
    pending: set[asyncio.Task[bool]] = {sending, responding}
    while pending:
        done, pending = await asyncio.wait(pending, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
        if any(task.exception() is not None for task in done):
            return
        if sending.done() and not responding.done() and (client.at_eof() or client.exception() is not None):
            raise _CutError


async def _send_body(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, meter: _Meter) -> bool:
    """Send the request's body to the registry; answer False if it took only a part, as when it refuses early."""
    async for data in meter.metered(http1.body(reader, head, until_close=False), "request_bytes"):
        try:
            writer.write(data)
            await writer.drain()
        except OSError:
            return False
    return True


async def _respond(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, meter: _Meter) -> bool:
    """Pass the registry's answer on; say whether its connection can serve another request."""
    response = None
    while response is None or response.status < HTTPStatus.OK:  # 100 Continue comes before the answer
        response = await http1.read_head(reader)
        if response is None:
            msg = "the registry closed the connection without an answer"
            raise http1.ProtocolError(msg)
        writer.write(response.raw)
    meter.ledger.changed(meter.number, status=response.status)
    if not http1.has_body(head.line[0], response.status):
        await writer.drain()
        return not response.closes
    async for data in meter.metered(http1.body(reader, response, until_close=True), "response_bytes"):
        writer.write(data)
        await writer.drain()
    return response.framed and not response.closes


async def _answer(head: Head, client: _Ends, answer: Answer, meter: _Meter) -> bool:
    """Answer by the rule, once the request's body has been taken."""
    async for _ in meter.metered(http1.body(client.reader, head, until_close=False), "request_bytes"):
        pass
    fields = {"Content-Length": str(len(answer.body))} | dict(answer.headers)
    lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in fields.items() if value]
    client.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    sent = answer.body if http1.has_body(head.line[0], answer.status) else b""
    client.writer.write(sent)
    meter.ledger.changed(meter.number, status=answer.status, response_bytes=len(sent))
    await client.writer.drain()
    return not head.closes


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
