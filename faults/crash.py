"""Kill the operator just before and just after each thing it does, and in the middle of each transfer."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial

from faults.director import Answer, Director, DropConnectionError
from faults.plans import Plan, PlanClass, WorkloadPlan
from faults.record import Call
from faults.reference import Reference


class When(StrEnum):
    """Where the operator is killed."""

    BEFORE = "before"
    """The request never gets to where it was going."""
    AFTER = "after"
    """It was answered, and the operator does not know."""
    DURING = "during"
    """The first piece of a stream has come."""


class Crash(Director):
    """Kills the operator once."""

    def __init__(self, name: str, when: When) -> None:
        """Choose the request, by its name in the reference."""
        self._name = name
        self._when = when
        self._done = False

    def holds_end(self, call: Call) -> bool:
        """Keep the end of the stream back that the operator is not to see."""
        return self._when is When.AFTER and call.name == self._name

    async def before(self, call: Call) -> Answer | None:
        """Kill it before the request is passed on."""
        if self._is_due(call, When.BEFORE):
            await self._strike(call)
        return None

    async def during(self, call: Call) -> None:
        """Kill it in the middle of a stream."""
        if self._is_due(call, When.DURING):
            await self._strike(call)

    async def after(self, call: Call) -> Answer | None:
        """Kill it before it learns the answer."""
        if self._is_due(call, When.AFTER):
            if call.transfers and call.done:
                self.hands.record.finished_before_crash.add(f"{call.place} {call.label}")
            await self._strike(call)
        return None

    def _is_due(self, call: Call, when: When) -> bool:
        return not self._done and when is self._when and call.name == self._name

    async def _strike(self, call: Call) -> None:
        self._done = True
        self.hands.record.struck = call.name
        await self.hands.kill()
        raise DropConnectionError


def plans(reference: Reference) -> Sequence[Plan]:
    """Two plans for each request, and behind them one for each transfer.

    A read has one: before it and after it the world is the same, and the operator knows as little.
    """
    points = [(name, When.AFTER) for name in reference.requests]
    points += [(name, When.BEFORE) for name in reference.requests if " GET " not in name]
    points += [(name, When.DURING) for name in reference.requests if _is_transfer(name)]
    return [
        WorkloadPlan(CLASS.first + place, f"killed {when} {name}", partial(Crash, name, when))
        for place, (name, when) in enumerate(points)
    ]


def _is_transfer(name: str) -> bool:
    return " POST /images/create?" in name or "/push?" in name


CLASS = PlanClass(
    "crash",
    1,
    "The operator is killed (SIGKILL) just before or after one of its requests, or within a transfer, and restarted.",
    plans,
)
