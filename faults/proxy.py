"""Stand between the operator and what it talks to: note every request, and let the director say what becomes of it."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
from aiohttp import web

from devcluster.ports import ADDRESS
from faults.director import Answer, Director, DropConnectionError
from faults.record import Call, Record
from faults.upstream import Upstream

_OWN_TO_A_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length", "authorization", "te"}
)
"""Fields of one connection (RFC 9110 section 7.6.1), and what this proxy puts there itself."""


class Proxy(ABC):
    """Serve one upstream under another address."""

    def __init__(self, place: str, upstream: Upstream) -> None:
        """Prepare the proxy of a place, which is `api` or a daemon's name."""
        self.place = place
        self.upstream = upstream
        self.director = Director()
        self.record: Record | None = None
        """Where requests are noted; None: there is no trial."""
        self._runner = web.ServerRunner(web.Server(self._serve, handler_cancellation=True))

    async def listen(self, path: Path | None = None) -> str:
        """Listen at a Unix socket, or at any free port, and return the address."""
        await self._runner.setup()
        if path is not None:
            await web.UnixSite(self._runner, str(path)).start()
            return f"unix://{path}"
        site = web.TCPSite(self._runner, ADDRESS, 0)
        await site.start()
        return "http://{}:{}".format(*self._runner.addresses[0])

    async def close(self) -> None:
        """Drop all connections."""
        await self._runner.shutdown()
        await self._runner.cleanup()
        await self.upstream.close()

    @abstractmethod
    async def serve(self, request: web.BaseRequest, call: Call, content: bytes) -> web.StreamResponse:
        """Answer a request that the director does not answer itself."""

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        content = await request.read()
        if self.record is None:  # between trials no operator runs
            await _reset(request)
        call = self.record.call(self.place, request.method, request.raw_path, _decoded(content))
        try:
            answer = await self.director.before(call)
            if answer is not None:
                call.status = answer.status
                return _response(answer)
            return await self.serve(request, call, content)
        except (DropConnectionError, aiohttp.ClientError, ConnectionError):
            await _reset(request)


class DaemonProxy(Proxy):
    """Pass a daemon's answers on as they come."""

    async def serve(self, request: web.BaseRequest, call: Call, content: bytes) -> web.StreamResponse:
        """Pass the request on, and the answer back, piece by piece."""
        holds = self.director.holds_end(call)
        async with self.upstream.send(
            call.method, call.target, headers=passed_on(request), content=content or None
        ) as answer:
            call.status = answer.status
            response = web.StreamResponse(status=answer.status, headers=_headers(answer))
            await response.prepare(request)
            seen = b""
            kept = b""
            async for piece in answer.content.iter_any():
                first, seen = not seen, seen + piece
                passed, kept = (kept, piece) if holds else (piece, b"")
                await response.write(passed)
                if first:
                    await self.director.during(call)
            call.done = answer.status < 400 and b'"errorDetail"' not in seen
            replaced = await self.director.after(call)
            if replaced is not None:
                raise DropConnectionError  # an answer that has begun cannot be replaced
            await response.write(kept)
            await response.write_eof()
            return response


def passed_on(request: web.BaseRequest) -> dict[str, str]:
    """Return the fields of a request that go on."""
    return {name: value for name, value in request.headers.items() if name.lower() not in _OWN_TO_A_HOP}


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower() not in _OWN_TO_A_HOP}


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.content)


async def whole(response: aiohttp.ClientResponse) -> Answer:
    """Read an answer to its end."""
    return Answer(response.status, await response.read(), _headers(response))


def responded(answer: Answer) -> web.Response:
    """Make the response that carries an answer."""
    return _response(answer)


def _decoded(content: bytes) -> Any:
    with suppress(ValueError):
        return json.loads(content) if content else None
    return None


async def _reset(request: web.BaseRequest) -> NoReturn:
    """Drop the connection of a request; its handler ends by being cancelled."""
    if request.transport is not None:
        request.transport.abort()
    await asyncio.get_running_loop().create_future()
    raise AssertionError
