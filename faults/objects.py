"""Act as users do, past the proxies, and follow what the API server says of every object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from faults.record import GROUP_PATH, Body, Record, State
from faults.upstream import Upstream
from imageops.api.kinds import GROUP, OPERATION_KINDS, SESSION, VERSION, Kind

KINDS: tuple[Kind, ...] = (*OPERATION_KINDS, SESSION)
Holds = Callable[[Body], bool]


class Objects:
    """The objects of one trial's namespace."""

    def __init__(self, admin: Upstream, namespace: str, record: Record) -> None:
        """Note every state in the record."""
        self.namespace = namespace
        self._admin = admin
        self._record = record
        self._now: dict[str, Body | None] = {}
        """The newest state by name; None: gone."""
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Follow all kinds while the block runs."""
        async with asyncio.TaskGroup() as group:
            tasks = []
            for kind in KINDS:
                since = (await self._admin.call("GET", self._path(kind)))["metadata"]["resourceVersion"]
                tasks.append(group.create_task(self._follow(kind, since)))
            yield
            for task in tasks:
                task.cancel()

    async def create(self, kind: Kind, name: str, spec: Mapping[str, Any]) -> None:
        """Create an object."""
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind.kind, "metadata": {"name": name}, "spec": dict(spec)}
        await self._admin.call("POST", self._path(kind), body)

    async def patch(self, kind: Kind, name: str, change: Body) -> None:
        """Merge a change into an object."""
        await self._admin.call("PATCH", f"{self._path(kind)}/{name}", change)

    async def delete(self, kind: Kind, name: str) -> None:
        """Delete an object."""
        await self._admin.call("DELETE", f"{self._path(kind)}/{name}")

    async def until(self, name: str, holds: Holds) -> Body:
        """Return the object as soon as something holds for a state of it."""
        async with self._changed:
            while True:
                body = self._now.get(name)
                if body is not None and body.get("status") and holds(body):
                    return body
                await self._changed.wait()

    async def either(self, name: str, holds: Callable[[Body | None], bool]) -> Body | None:
        """Return the object as soon as something holds for a state of it; one of the states is that it is not there."""
        async with self._changed:
            await self._changed.wait_for(lambda: holds(self._now.get(name)))
            return self._now.get(name)

    def newest(self) -> list[Body]:
        """Return the newest states of all objects that there are."""
        return [body for body in self._now.values() if body is not None]

    async def until_gone(self, name: str) -> None:
        """Return when the object, which was there, is not any more."""
        async with self._changed:
            await self._changed.wait_for(lambda: name in self._now and self._now[name] is None)

    async def all(self) -> list[Body]:
        """Read all objects of all kinds."""
        found: list[Body] = []
        for kind in KINDS:
            found += (await self._admin.call("GET", self._path(kind)))["items"]
        return found

    async def delete_all(self) -> None:
        """Delete all objects of all kinds, whatever finalizer they have."""
        for body in await self.all():
            if body["metadata"].get("finalizers"):
                kind = next(kind for kind in KINDS if kind.kind == body["kind"])
                await self.patch(kind, body["metadata"]["name"], {"metadata": {"finalizers": None}})
        for kind in KINDS:
            await self._admin.call("DELETE", self._path(kind))

    async def events(self) -> list[Body]:
        """Read all Events."""
        items: list[Body] = (await self._admin.call("GET", f"/api/v1/namespaces/{self.namespace}/events"))["items"]
        return items

    def _path(self, kind: Kind) -> str:
        return f"{GROUP_PATH}/namespaces/{self.namespace}/{kind.plural}"

    async def _follow(self, kind: Kind, since: str) -> None:
        async for event in self._admin.watch(self._path(kind), since):
            async with self._changed:
                state = State(event["type"], kind.plural, event["object"])
                self._record.states.append(state)
                self._now[state.name] = None if state.type == "DELETED" else state.body
                self._changed.notify_all()


def ended(body: Body) -> bool:
    """Tell whether the run of the object's present generation has ended."""
    status = body.get("status") or {}
    return status.get("observedGeneration") == body["metadata"]["generation"] and "completionTime" in status


def run_ended(number: int) -> Holds:
    """Return a test whether the run of this number has ended."""
    return lambda body: (body.get("status") or {}).get("run", 0) >= number and ended(body)
