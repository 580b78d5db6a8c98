"""Worker threads for one kind of call to a daemon, and the way from asyncio to them and back.

One client per thread: `requests.Session` promises nothing about sharing. A call is cut off by cutting its client's
connection, and the lock in `_Call` makes sure that it is still this call which holds the client.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imageops.engine.connection import DaemonClient

T = TypeVar("T")

PROBE_EVERY_SECONDS = 30.0
"""How often a call's probe looks at it."""


class _Call(Generic[T]):
    """One piece of work with a client, which can be abandoned at any moment."""

    def __init__(self, work: Callable[[DaemonClient], T]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._client: DaemonClient | None = None
        self._abandoned = False

    def run(self, client_of_thread: Callable[[], DaemonClient]) -> T:
        """Do the work, in a worker thread."""
        client = client_of_thread()
        with self._lock:
            if self._abandoned:
                raise OperationError(Reason.DAEMON_CONNECTION_LOST)
            self._client = client
            client.link.mend()
        try:
            return self._work(client)
        finally:
            with self._lock:
                self._client = None

    def abandon(self) -> None:
        """Make the work end now, or never begin."""
        with self._lock:
            self._abandoned = True
            if self._client is not None:
                self._client.link.sever()


class ClientPool:
    """At most `size` calls at a time; further ones wait their turn, first come first served."""

    def __init__(self, name: str, size: int, make_client: Callable[[], DaemonClient]) -> None:
        """Prepare the pool; threads and clients come with the calls.

        Args:
            name: How its threads are called.
            size: How many calls may run at a time.
            make_client: Makes the client of a thread, in that thread.
        """
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._make_client = make_client
        self._local = threading.local()
        self._clients: list[DaemonClient] = []
        self._calls: set[_Call[Any]] = set()
        self._closed = False

    async def run(self, work: Callable[[DaemonClient], T], *, probe: Callable[[], Awaitable[None]] | None = None) -> T:
        """Do `work` in a thread.

        Args:
            work: What to do with the thread's client.
            probe: Awaited every 30 s while the work runs; what it raises ends the call.

        Raises:
            OperationError: DAEMON_UNAVAILABLE after `close`.
            asyncio.CancelledError: The awaiting task was cancelled. The connection is cut by then.
        """
        if self._closed:
            raise OperationError(Reason.DAEMON_UNAVAILABLE)
        call = _Call(work)
        self._calls.add(call)
        future = asyncio.wrap_future(self._executor.submit(call.run, self._client_of_thread))
        future.add_done_callback(lambda _: self._calls.discard(call))
        try:
            while not future.done():
                await asyncio.wait({future}, timeout=PROBE_EVERY_SECONDS if probe else None)
                if probe is not None and not future.done():
                    await probe()
        except BaseException:
            call.abandon()
            if not future.cancel():
                future.exception()
            raise
        return future.result()

    def _client_of_thread(self) -> DaemonClient:
        client: DaemonClient | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._make_client()
            self._clients.append(client)
        return client

    async def close(self) -> None:
        """Abandon all calls, running and waiting, and wait for the threads to end."""
        self._closed = True
        for call in tuple(self._calls):
            call.abandon()
        await asyncio.to_thread(self._executor.shutdown, wait=True)
        for client in self._clients:
            client.close()
