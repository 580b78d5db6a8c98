"""Stand before the API server of a test, and answer watches as the test says."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devcluster.kubeconfig import Access
from faults.api_proxy import ApiProxy
from faults.director import Answer, Director, Stream
from faults.record import Body, Names, Record
from faults.upstream import Upstream

_OPEN_SECONDS = 30.0


@dataclass(slots=True)
class WatchFaults(Director):
    """Breaks every watch that is open, or refuses those to come, at a word."""

    refusal: Answer | None = None
    """What watches are answered as long as it stands there."""
    begun: Counter[str] = field(default_factory=Counter)
    """How many watches of each kind were asked for."""
    _next: bytes | None = None

    def break_next(self, content: bytes) -> None:
        """Put this in place of the next event of any watch, and end that watch."""
        self._next = content

    @property
    def is_used_up(self) -> bool:
        """Whether the last break has been done."""
        return self._next is None

    async def watch(self, plural: str) -> Answer | None:
        """Count, and refuse while watches are to be refused."""
        self.begun[plural] += 1
        return self.refusal

    async def event(self, stream: Stream, event: Body) -> None:
        """Pass an event on, or break the watch."""
        if self._next is None:
            await stream.send(event)
            return
        content, self._next = self._next, None
        await stream.write(content)
        stream.end()


@contextmanager
def api_front(kubeconfig: str, folder: Path) -> Iterator[tuple[str, WatchFaults]]:
    """Give a kubeconfig file that leads through the front, and what is done to the watches behind it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="api-front", daemon=True)
    thread.start()
    faults = WatchFaults()

    async def listen() -> tuple[ApiProxy, str]:
        proxy = ApiProxy(Upstream.api(kubeconfig))
        proxy.record, proxy.director = Record(Names({})), faults
        return proxy, await proxy.listen()

    proxy, server = asyncio.run_coroutine_threadsafe(listen(), loop).result(_OPEN_SECONDS)
    path = folder / "front.kubeconfig"
    Access(server=server, ca_data="", user={"token": "none"}).write(path)
    try:
        yield str(path), faults
    finally:
        asyncio.run_coroutine_threadsafe(proxy.close(), loop).result(_OPEN_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
