"""The configured daemons: who each is, whether it answers, and a word to those who wait when it comes back."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.core.slots import FairSlots
from imageops.engine.protocol import DaemonInfo, ImageEngine
from imageops.tools.daemon import Daemon
from imageops.tools.limits import RegistryBudgets, TransferSlots

logger = logging.getLogger("imageops.runtime")

CHECK_SECONDS = 15.0
"""Between looks at a daemon that answers."""
RETURN_CHECK_SECONDS = 1.0
"""Between looks at a daemon that does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What daemons and registries are asked to bear."""

    transfers: int
    """Pulls and pushes that may run on one daemon at the same time."""
    registry_rate: float
    """Operations per second that may turn to one registry with one credential."""
    registry_burst: float
    """Such operations that may start at once after a quiet time."""


@dataclass(slots=True)
class Daemons:
    """All daemons by name."""

    engines: Mapping[str, ImageEngine]
    default: str
    returned: Callable[[str], None]
    """Called with the name of a daemon that answers again, or for the first time."""
    next_one: Callable[[str], None]
    """Called with the uid of an object for which a place for its transfer has become free."""
    limits: Limits
    _known: dict[str, DaemonInfo] = field(default_factory=dict)
    """Who each daemon was when it answered last."""
    _up: set[str] = field(default_factory=set)
    _away: set[str] = field(default_factory=set)
    _daemons: dict[str, Daemon] = field(default_factory=dict)
    _look_now: dict[str, asyncio.Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make what the users of each daemon share."""
        budgets = RegistryBudgets(self.limits.registry_rate, self.limits.registry_burst)
        self._daemons = {
            name: Daemon(engine, TransferSlots(FairSlots(self.limits.transfers), self.next_one), budgets)
            for name, engine in self.engines.items()
        }
        self._look_now = {name: asyncio.Event() for name in self.engines}

    def daemon(self, name: str | None) -> Daemon:
        """Return a daemon; None = the default."""
        return self._daemons[name or self.default]

    def image_store(self, name: str | None) -> str | None:
        """Return the image store of a daemon; None while it has not answered."""
        info = self._known.get(name or self.default)
        return info.image_store.value if info is not None else None

    def is_up(self, name: str | None) -> bool:
        """Tell whether a daemon answered the last look."""
        return (name or self.default) in self._up

    def is_away(self, name: str | None) -> bool:
        """Tell whether a daemon is known not to answer; `returned` will tell when it does."""
        return (name or self.default) in self._away

    def arrived(self, name: str | None, uid: str, *, asked: bool) -> frozenset[Reason]:
        """Return the reasons for which an object need not wait any longer.

        Queues end with their process: one that waited in a former one and has not `asked` in this one asks at once.
        """
        present = set()
        if self.is_up(name):
            present.add(Reason.DAEMON_UNAVAILABLE)
        if not asked or self.daemon(name).transfers.has_place(uid):
            present.add(Reason.THROTTLED)
        return frozenset(present)

    def unused(self, uid: str) -> None:
        """Pass on the places that an object has not made use of."""
        for daemon in self._daemons.values():
            if daemon.transfers.has_place(uid):
                daemon.transfers.withdraw(uid)

    def forget(self, uid: str) -> None:
        """Take an object that is gone out of all queues."""
        for daemon in self._daemons.values():
            daemon.transfers.withdraw(uid)

    def suspect(self, name: str | None) -> None:
        """Take a daemon for away until the next look, which is now: somebody found it so."""
        self._up.discard(name or self.default)
        self._look_now[name or self.default].set()

    async def watch(self) -> None:
        """Look at all daemons until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self.engines:
                group.create_task(self._watch(name))

    async def close(self) -> None:
        """Close all connections."""
        for engine in self.engines.values():
            await engine.close()

    async def _watch(self, name: str) -> None:
        while True:
            self._look_now[name].clear()
            await self._look(name)
            pause = CHECK_SECONDS if name in self._up else RETURN_CHECK_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._look_now[name].wait()
            except TimeoutError:
                continue

    async def _look(self, name: str) -> None:
        engine = self.engines[name]
        try:
            await engine.ping()
            info = await engine.describe()
        except OperationError as error:
            self._up.discard(name)
            if name not in self._away:
                logger.warning("daemon %s does not answer: %s", name, error.reason.value)
                self._away.add(name)
            return
        self._away.discard(name)
        self._known[name] = info
        if name not in self._up:
            logger.info("daemon %s answers: Engine %s, %s image store", name, info.version, info.image_store.value)
            self._up.add(name)
            self.returned(name)
