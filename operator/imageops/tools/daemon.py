"""One daemon, with what the operations on it share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from imageops.engine.protocol import DaemonInfo, ImageEngine
from imageops.tools.accepted_credentials import AcceptedCredentials
from imageops.tools.image_status import daemon_status
from imageops.tools.limits import RegistryBudgets, TransferSlots
from imageops.tools.shared_pulls import SharedPulls
from imageops.tools.tool import ToolContext

LOOKUP_SLOTS = 16
"""Operations that ask one daemon short questions at the same time; transfers are counted apart."""


@dataclass(slots=True)
class TargetLocks:
    """Let one operation at a time move a local tag: the Engine has no compare-and-set."""

    _locks: dict[str, tuple[asyncio.Lock, int]] = field(default_factory=dict)

    @asynccontextmanager
    async def holding(self, target: str) -> AsyncIterator[None]:
        """Hold the lock of a tag; a lock nobody waits for is forgotten."""
        lock, users = self._locks.get(target, (asyncio.Lock(), 0))
        self._locks[target] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[target]
            if users == 1:
                del self._locks[target]
            else:
                self._locks[target] = (lock, users - 1)


@dataclass(frozen=True, slots=True)
class Daemon:
    """A configured daemon with what its users share."""

    engine: ImageEngine
    transfers: TransferSlots
    budgets: RegistryBudgets
    pulls: SharedPulls = field(default_factory=SharedPulls)
    accepted_credentials: AcceptedCredentials = field(default_factory=AcceptedCredentials)
    targets: TargetLocks = field(default_factory=TargetLocks)
    lookup_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKUP_SLOTS))
    """Held by those that ask the daemon short questions, so that a thousand objects are served one after another
    instead of all at once and none to its end."""


async def known_daemon(daemon: Daemon, context: ToolContext) -> DaemonInfo:
    """Ask the daemon who it is, and put that on record."""
    info = await daemon.engine.describe()
    context.learn(daemon=daemon_status(info))
    return info
