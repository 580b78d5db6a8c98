"""Kill the operator, and show its successor the past: lists, reads and watches of a version before the last one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial

from faults.director import Answer, Director, DropConnectionError, Stream
from faults.plans import Plan, PlanClass, WorkloadPlan
from faults.record import GROUP_PATH, Body, Call
from faults.reference import Reference

STALE_SECONDS = 1.0
"""How long the past is shown."""
_DEPTHS = (1, 2, 4, 8, 16)
"""How many states of the namespace's objects are kept back."""


class Stale(Director):
    """Kills the operator once, and is an API server that lags behind for whoever starts then."""

    def __init__(self, name: str, depth: int) -> None:
        """Choose the request after which it is killed, and how far the server lags."""
        self._name = name
        self._depth = depth
        self._view: int | None = None
        """The version that is shown; None before the successor's first list."""
        self._over = asyncio.Event()

    async def after(self, call: Call) -> Answer | None:
        """Kill it before it learns the answer."""
        if self.hands.record.struck is None and call.name == self._name:
            self.hands.record.struck = call.name
            await self.hands.kill()
            raise DropConnectionError
        return None

    async def before(self, call: Call) -> Answer | None:
        """Answer reads of our kinds from the past."""
        if self.hands.record.struck is None or self._over.is_set() or call.place != "api" or call.method != "GET":
            return None
        path, _, query = call.target.partition("?")
        place, _, rest = path.removeprefix(GROUP_PATH).rpartition(f"/namespaces/{self.hands.namespace}")
        if path == GROUP_PATH or not path.startswith(GROUP_PATH) or place or "watch=" in query:
            return None
        plural, _, name = rest.lstrip("/").partition("/")
        view = self._shown()
        if name:
            return self._object(plural, name, view)
        selector = dict(part.split("=", 1) for part in query.split("&") if part.startswith("labelSelector="))
        collection = f"{GROUP_PATH}/namespaces/{self.hands.namespace}/{plural}"
        return await self.hands.ask(collection, resourceVersion=str(view), resourceVersionMatch="Exact", **selector)

    async def event(self, stream: Stream, event: Body) -> None:
        """Tell nothing new until the server has caught up."""
        if self._view is not None:
            await self._over.wait()
        await stream.send(event)

    def _shown(self) -> int:
        if self._view is None:
            versions = sorted(state.version for state in self.hands.record.states)
            self._view = versions[max(0, len(versions) - 1 - self._depth)]
            asyncio.get_running_loop().call_later(STALE_SECONDS, self._over.set)
        return self._view

    def _object(self, plural: str, name: str, view: int) -> Answer:
        past = [
            state
            for state in self.hands.record.states
            if (state.plural, state.name) == (plural, name) and state.version <= view
        ]
        if not past or past[-1].type == "DELETED":
            return Answer.refusal(404, "NotFound")
        return Answer(200, json.dumps(past[-1].body).encode())


def plans(reference: Reference) -> Sequence[Plan]:
    """Give each write of an object one plan, the depths in turn."""
    writes = [name for name in reference.requests if name.startswith("api ") and " events " not in name]
    points = [(name, _DEPTHS[place % len(_DEPTHS)]) for place, name in enumerate(writes)]
    return [
        WorkloadPlan(CLASS.first + place, f"killed after {name}, then {depth} behind", partial(Stale, name, depth))
        for place, (name, depth) in enumerate(points)
    ]


CLASS = PlanClass(
    "stale",
    2001,
    "The operator is killed after a write, and its successor is shown lists, objects and watches of the past.",
    plans,
)
