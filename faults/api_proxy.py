"""Stand before the API server: give the operator its rights, show it one namespace, and take its watches apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from faults.proxy import Proxy, passed_on, responded, whole
from faults.record import GROUP_PATH, Body, Call
from faults.upstream import Upstream


class ApiProxy(Proxy):
    """Serve the API server, its lists and watches of our kinds narrowed to the namespace of the present trial.

    So trials neither see nor disturb one another, and several operators can be at work on one API server.
    """

    def __init__(self, upstream: Upstream) -> None:
        """Stand before this API server."""
        super().__init__("api", upstream)
        self.namespace: str | None = None

    async def serve(self, request: web.BaseRequest, call: Call, content: bytes) -> web.StreamResponse:
        """Pass a request on, and its answer back."""
        target = self._narrowed(call.target)
        headers = passed_on(request)
        if "watch=" in target.partition("?")[2]:
            return await self._watch(request, call, target, headers)
        async with self.upstream.send(call.method, target, headers=headers, content=content or None) as upstream:
            answer = await whole(upstream)
        call.status, call.done = answer.status, answer.status < 400
        replaced = await self.director.after(call)
        return responded(replaced or answer)

    def _narrowed(self, target: str) -> str:
        path, question, query = target.partition("?")
        plural = path.removeprefix(f"{GROUP_PATH}/")
        if plural == path or "/" in plural or self.namespace is None:
            return target
        return f"{GROUP_PATH}/namespaces/{self.namespace}/{plural}{question}{query}"

    async def _watch(
        self, request: web.BaseRequest, call: Call, target: str, headers: dict[str, str]
    ) -> web.StreamResponse:
        plural = target.partition("?")[0].rpartition("/")[2]
        refusal = await self.director.watch(plural)
        if refusal is not None:
            return responded(refusal)
        async with self.upstream.send("GET", target, headers=headers) as upstream:
            call.status = upstream.status
            if upstream.status >= 400:
                return responded(await whole(upstream))
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            stream = WatchStream(plural, request, response)
            reading = asyncio.create_task(self._events(upstream.content, stream))
            try:
                await asyncio.wait({reading, stream.over}, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    reading.result()
                await response.write_eof()
                return response
            finally:
                stream.close()
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _events(self, lines: Any, stream: WatchStream) -> None:
        async for line in lines:
            event: Body = json.loads(line)
            if event["type"] == "BOOKMARK":
                await stream.write(line)
            else:
                await self.director.event(stream, event)


class WatchStream:
    """One watch on its way to the operator."""

    def __init__(self, plural: str, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Take the operator's end of it."""
        self.plural = plural
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._response = response
        self._silent = False
        self._later: set[asyncio.Task[None]] = set()

    async def send(self, event: Body) -> None:
        """Pass an event on."""
        await self.write(json.dumps(event).encode() + b"\n")

    async def write(self, content: bytes) -> None:
        """Pass bytes on, whatever they are."""
        if not self.over.done() and not self._silent:
            await self._response.write(content)

    def later(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do something on the same stream after a while, if it is open then."""

        async def do() -> None:
            await asyncio.sleep(seconds)
            await work()

        self._later.add(asyncio.create_task(do()))

    def end(self) -> None:
        """End the stream in good order."""
        if not self.over.done():
            self.over.set_result(None)

    def silence(self) -> None:
        """Pass nothing more on, and do not end."""
        self._silent = True

    def reset(self) -> None:
        """Drop the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()

    def close(self) -> None:
        """Drop what was to be done later."""
        self.end()
        for task in self._later:
            task.cancel()
