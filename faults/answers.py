"""Let writes to the API server fail: refused, throttled, late, lost before or after they were made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from functools import partial

from faults.director import Answer, Director, DropConnectionError
from faults.plans import Plan, PlanClass, WorkloadPlan
from faults.record import Call
from faults.reference import Reference

LATE_SECONDS = 2.0


class Way(StrEnum):
    """How a write fails."""

    CONFLICT = "refused with 409"
    THROTTLED = "refused with 429"
    FAILED = "refused with 500"
    DROPPED = "dropped before it was made"
    UNANSWERED = "made, and its answer lost"
    LATE = "answered late"


class Answers(Director):
    """Spoils one write."""

    def __init__(self, name: str, way: Way) -> None:
        """Choose the write, by its name in the reference."""
        self._name = name
        self._way = way

    async def before(self, call: Call) -> Answer | None:
        """Refuse it."""
        if not self._is_due(call) or self._way in {Way.UNANSWERED, Way.LATE}:
            return None
        self.hands.record.struck = call.name
        match self._way:
            case Way.CONFLICT:
                return Answer.refusal(409, "Conflict")
            case Way.THROTTLED:
                return Answer.refusal(429, "TooManyRequests", **{"Retry-After": "1"})
            case Way.FAILED:
                return Answer.refusal(500, "InternalError")
            case _:
                raise DropConnectionError

    async def after(self, call: Call) -> Answer | None:
        """Keep its answer back, for a while or for good."""
        if self._is_due(call) and self._way in {Way.UNANSWERED, Way.LATE}:
            self.hands.record.struck = call.name
            if self._way is Way.UNANSWERED:
                raise DropConnectionError
            await asyncio.sleep(LATE_SECONDS)
        return None

    def _is_due(self, call: Call) -> bool:
        return self.hands.record.struck is None and call.name == self._name


def plans(reference: Reference) -> Sequence[Plan]:
    """Give each write of an object one plan, the ways in turn; what creates is refused for no conflict."""
    writes = [name for name in reference.requests if name.startswith("api ") and " events " not in name]
    ways = tuple(Way)
    points = []
    for place, name in enumerate(writes):
        way = ways[place % len(ways)]
        points.append((name, Way.FAILED if way is Way.CONFLICT and " PATCH " not in name else way))
    return [
        WorkloadPlan(CLASS.first + place, f"{name} {way}", partial(Answers, name, way))
        for place, (name, way) in enumerate(points)
    ]


CLASS = PlanClass(
    "answers",
    3001,
    "A write to the API server is refused with 409, 429 or 500, dropped, answered late, or made without an answer.",
    plans,
)
