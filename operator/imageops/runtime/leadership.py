"""Work only while the Lease is held, where there is one, and end the process when it is lost.

A leader that has lost its Lease ends as a crash would: it may write nothing any more, and the statuses say what it was
about. Its sockets close with it, and so the daemons stop what it had asked for.
"""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

from imageops.cluster.api_server import ApiServer, Permit
from imageops.cluster.lease import Lease
from imageops.runtime.settings import LeaseSettings

logger = logging.getLogger("imageops.runtime")

EXIT_LEASE_LOST = 1
_TELL_SECONDS = 0.5
"""For the last line of the log, which may be blocked by whatever blocks the process."""


class Leadership:
    """Whether this process may work."""

    def __init__(self, lease: Lease | None) -> None:
        """Depend on a Lease; None = it always may."""
        self.lease = lease

    @classmethod
    @asynccontextmanager
    async def candidate(cls, settings: LeaseSettings | None, kubeconfig: str | None) -> "AsyncIterator[Leadership]":
        """Be a candidate for the Lease of the settings, under an identity that no other process has."""
        if settings is None:
            yield cls(None)
            return
        api = await ApiServer.connect(kubeconfig)
        identity = f"{socket.gethostname()}_{uuid4()}"
        try:
            yield cls(Lease(api, settings.namespace, settings.name, identity=identity, timing=settings.timing))
        finally:
            await api.close()

    @property
    def permit(self) -> Permit | None:
        """What is asked before anything is changed, from any thread; None = it always may be."""
        return self.lease.held if self.lease is not None else None

    async def gain(self) -> None:
        """Return as soon as this process may work."""
        if self.lease is not None:
            await self.lease.acquire()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep the Lease while the block runs, and give it back after it. Losing it ends the process."""
        if self.lease is None:
            yield
            return
        watchdog = Watchdog(self.lease.remaining, end_process)
        keeping = asyncio.create_task(self._keep(self.lease))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            watchdog.stop()
            await self.lease.release()

    async def _keep(self, lease: Lease) -> None:
        await lease.keep()
        end_process()


class Watchdog:
    """Ends the process when its time is up, in a thread: a blocked event loop could not."""

    def __init__(self, remaining: Callable[[], float], end: Callable[[], None]) -> None:
        """Begin to watch.

        Args:
            remaining: Returns the seconds left; they may grow again before they are over.
            end: Called once they are.

        """
        self._remaining = remaining
        self._end = end
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="lease-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(max(0.0, self._remaining())):
            # In this order: what is given back on purpose has no time left either, and was stopped before.
            if self._remaining() <= 0 and not self._stopped.is_set():
                self._end()
                return


def end_process() -> None:
    """End this process at once, with nothing flushed, closed or awaited but a line of the log."""
    last_words = threading.Thread(
        target=logger.error,
        args=("the Lease was lost: another process may work from now on, this one ends",),
        daemon=True,
    )
    last_words.start()
    last_words.join(_TELL_SECONDS)
    os._exit(EXIT_LEASE_LOST)
