"""Lose, merge, repeat and reorder what the operator is told of, and end its watches in every way there is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from functools import partial

from faults.director import Answer, Director, Stream
from faults.plans import Plan, PlanClass, WorkloadPlan
from faults.record import Body
from faults.reference import Reference

HELD_SECONDS = 0.7
"""How long an event is held for the next one of its object, or lost ones are kept from being made up for."""
STALL_LIMIT_SECONDS = 300.0
"""For the workload when a watch falls silent: after 70 s the operator opens another."""


class How(StrEnum):
    """What is done to an event, or to the watch that tells it."""

    LOSE = "lost, with those of its object behind it, until the watch ends and a list tells the rest"
    MERGE = "merged with the next one of its object"
    REPEAT = "told twice"
    SWAP = "told after the next one of its object"
    GONE = "replaced by an in-stream 410"
    REFUSED = "last of its watch, and the next watch answered with HTTP 410"
    ERROR = "replaced by an in-stream 500"
    CLOSE = "preceded by the end of the watch"
    CUT = "cut in half with the connection"
    STALL = "last before its watch falls silent without an end"


_ROTATED = tuple(how for how in How if how is not How.STALL)


class Unobserved(Director):
    """Does one thing to one event."""

    def __init__(self, name: str, how: How) -> None:
        """Choose the event, by its name in the reference."""
        self._name = name
        self._how = how
        self._counts: Counter[str] = Counter()
        self._refuses: str | None = None
        self._held: Body | None = None
        self._lost: str | None = None
        if how is How.STALL:
            self.play_seconds = STALL_LIMIT_SECONDS

    async def watch(self, plural: str) -> Answer | None:
        """Refuse one watch request."""
        if self._refuses != plural:
            return None
        self._refuses = None
        return Answer.refusal(410, "Expired")

    async def event(self, stream: Stream, event: Body) -> None:
        """Pass every event on but the chosen one."""
        metadata = event["object"]["metadata"]
        about = f"{stream.plural}/{self.hands.record.names.plain(metadata['name'])}"
        self._counts[about] += 1
        if self.hands.record.struck is None and self._name == f"{about} {event['type']} #{self._counts[about]}":
            self.hands.record.struck = self._name
            await self._strike(stream, event)
        elif self._held is not None and _uid(self._held) == metadata["uid"]:
            await self._next(stream, event)
        elif self._lost != metadata["uid"]:
            await stream.send(event)

    async def _strike(self, stream: Stream, event: Body) -> None:
        match self._how:
            case How.LOSE:
                self._lost = _uid(event)
                stream.later(HELD_SECONDS, partial(self._end_with, stream, 410, "Expired"))
            case How.MERGE | How.SWAP:
                self._held = event
                stream.later(HELD_SECONDS, partial(self._let_go, stream))
            case How.REPEAT:
                await stream.send(event)
                await stream.send(event)
            case How.GONE:
                await self._end_with(stream, 410, "Expired")
            case How.ERROR:
                await self._end_with(stream, 500, "InternalError")
            case How.REFUSED:
                await stream.send(event)
                self._refuses = stream.plural
                stream.end()
            case How.CLOSE:
                stream.end()
            case How.CUT:
                content = json.dumps(event).encode()
                await stream.write(content[: len(content) // 2])
                stream.reset()
            case How.STALL:
                await stream.send(event)
                stream.silence()

    async def _next(self, stream: Stream, event: Body) -> None:
        """Tell the event behind the held one, and the held one as it was meant to be."""
        held, self._held = self._held, None
        if held is None or (self._how is How.SWAP and event["type"] != "DELETED"):
            await stream.send(event)
            if held is not None:
                await stream.send(held)
        elif self._how is How.SWAP:  # nothing is ever told of an object after its end
            await stream.send(held)
            await stream.send(event)
        elif held["type"] == "ADDED" and event["type"] == "MODIFIED":
            await stream.send({**event, "type": "ADDED"})
        elif held["type"] != "ADDED":
            await stream.send(event)

    async def _let_go(self, stream: Stream) -> None:
        held, self._held = self._held, None
        if held is not None:
            await stream.send(held)

    async def _end_with(self, stream: Stream, status: int, reason: str) -> None:
        self._lost = None
        document = json.loads(Answer.refusal(status, reason).content)
        await stream.send({"type": "ERROR", "object": document})
        stream.end()


def plans(reference: Reference) -> Sequence[Plan]:
    """Give each event one plan, the ways in turn; and the first event of each kind a watch that falls silent."""
    count = len(_ROTATED)
    points: list[tuple[str, How]] = [
        (name, _ROTATED[(2 * place + place // count) % count]) for place, name in enumerate(reference.events)
    ]
    kinds = dict.fromkeys(name.partition("/")[0] for name in reference.events)
    firsts = [next(name for name in reference.events if name.startswith(f"{kind}/")) for kind in kinds]
    points += [(name, How.STALL) for name in firsts]
    return [
        WorkloadPlan(CLASS.first + place, f"{name} {how}", partial(Unobserved, name, how))
        for place, (name, how) in enumerate(points)
    ]


def _uid(event: Body) -> str:
    return str(event["object"]["metadata"]["uid"])


CLASS = PlanClass(
    "unobserved",
    1001,
    "An event of a watch is lost, merged, repeated or reordered, or the watch ends in one of the ways it can.",
    plans,
)
