"""Hold operations to what a daemon and a registry can bear: who is over the limit waits, it never errors."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.core.registry_budget import RegistryBudget
from imageops.core.slots import FairSlots, Place
from imageops.core.token_bucket import TokenBucket
from imageops.engine.protocol import RegistryAuth

LOOK_AGAIN_SECONDS = 60.0
"""When one in the queue looks again by itself, should no word reach it."""


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks: one object of one namespace."""

    uid: str
    namespace: str
    run: int = 0
    """Which run of the object it is for."""


@dataclass(slots=True)
class TransferSlots:
    """The places for streams of one daemon."""

    slots: FairSlots
    next_one: Callable[[str], None]
    """Called with the uid of the object that a place has become free for."""

    def refuse_the_waiting(self, requester: Requester) -> None:
        """Refuse at once who is in the queue and has no place yet, before anything is asked for it again.

        Raises:
            OperationError: Throttled.

        """
        if self.slots.waits(requester.uid):
            raise _no_place()

    def take(self, requester: Requester) -> Place:
        """Return a place.

        Raises:
            OperationError: Throttled; the requester is in the queue now.

        """
        place = self.slots.acquire(requester.uid, requester.namespace)
        if place is None:
            raise _no_place()
        return place

    def give_back(self, place: Place) -> None:
        """Give a place to the next one."""
        self._tell(self.slots.release(place))

    def withdraw(self, uid: str) -> None:
        """Take an object out of the queue."""
        self._tell(self.slots.withdraw(uid))

    def has_place(self, uid: str) -> bool:
        """Tell whether a place is reserved for an object."""
        return self.slots.has_place(uid)

    def _tell(self, uid: str | None) -> None:
        if uid is not None:
            self.next_one(uid)


@dataclass(slots=True)
class RegistryVisit:
    """One operation's dealings with a registry."""

    budget: RegistryBudget

    def served(self) -> None:
        """Take note that the registry answered as asked."""
        self.budget.passed(time.monotonic())


@dataclass(slots=True)
class RegistryBudgets:
    """The budgets of all registries, by host and credential."""

    rate: float
    burst: float
    _budgets: dict[tuple[str, RegistryAuth | None], RegistryBudget] = field(default_factory=dict)

    @contextmanager
    def visit(self, host: str, auth: RegistryAuth | None, requester: Requester) -> Iterator[RegistryVisit]:
        """Deal with a registry; a 429 inside pauses all who use it with the same credential.

        Raises:
            OperationError: Throttled, if the budget is used up or paused.

        """
        budget = self._budget(host, auth)
        wait = budget.enter(requester.uid, time.monotonic())
        if wait:
            raise OperationError(
                Reason.THROTTLED,
                f"Waiting to spare the registry {host}: its budget is used up.",
                retry_after=wait,
            )
        try:
            yield RegistryVisit(budget)
        except OperationError as error:
            if error.reason is Reason.RATE_LIMITED:
                error.retry_after = budget.refused(time.monotonic(), told=error.retry_after)
            raise
        finally:
            budget.left(requester.uid)

    def _budget(self, host: str, auth: RegistryAuth | None) -> RegistryBudget:
        now = time.monotonic()
        budget = self._budgets.get((host, auth))
        if budget is None:
            for key in [key for key, other in self._budgets.items() if other.idle(now)]:
                del self._budgets[key]
            budget = self._budgets[host, auth] = RegistryBudget(TokenBucket.full(self.rate, self.burst, now))
        return budget


def _no_place() -> OperationError:
    return OperationError(
        Reason.THROTTLED,
        "Waiting for a free place: the daemon carries out as many transfers as it may.",
        retry_after=LOOK_AGAIN_SECONDS,
    )
