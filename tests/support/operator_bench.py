"""The operator's own loop on an API server and an engine in memory, in virtual time, without kopf."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from imageops.api.kinds import GROUP, OPERATION_KINDS, SESSION, VERSION, Kind
from imageops.cluster.events import EventRecorder
from imageops.cluster.objects import ObjectKey
from imageops.cluster.status_writer import StatusWriter
from imageops.runtime.controller import Controller, Decider
from imageops.runtime.daemons import Daemons, Limits
from imageops.runtime.deciders import OperationDecider, SessionDecider
from imageops.runtime.metrics_recorder import MetricsRecorder
from imageops.runtime.objects import ObjectStore
from imageops.telemetry.metrics import Metrics
from tests.support.builders import NOW
from tests.support.recording_engine import RecordingEngine
from tests.support.scripted_api import Body, Request, ScriptedApi
from tests.support.virtual_time import run

KINDS: Mapping[str, Kind] = {kind.plural: kind for kind in (*OPERATION_KINDS, SESSION)}
SETTLE_SECONDS = 60.0


@dataclass(slots=True)
class OperatorBench:
    """One operator process after another, on the same API server and engine."""

    api: ScriptedApi = field(default_factory=ScriptedApi)
    engine: RecordingEngine = field(default_factory=RecordingEngine)
    metrics: Metrics = field(default_factory=Metrics)
    finalizes: bool = True
    """False for an operator for chosen namespaces."""
    faults: list[Exception] = field(default_factory=list)
    """What the next decisions fail with."""
    controller: Controller = field(init=False)
    daemons: Daemons = field(init=False)
    store: ObjectStore = field(init=False)
    _background: list[asyncio.Task[None]] = field(default_factory=list)
    _began: float = 0.0

    def start(self) -> None:
        """Start a process, which lists all objects and watches them from now on."""
        self._began = self._began or asyncio.get_running_loop().time()
        server: Any = self.api
        server.clock = self.clock
        watcher, self.store = MetricsRecorder(self.metrics), ObjectStore()
        events = EventRecorder(server)
        controller: Controller

        def observe(kind: Kind, event: str | None, body: Mapping[str, Any]) -> None:
            controller.observe(kind, event, body)

        self.daemons = Daemons(
            engines={"default": self.engine},
            default="default",
            returned=self._returned,
            next_one=self._next_one,
            limits=Limits(transfers=2, registry_rate=1000.0, registry_burst=1000.0),
        )
        operations: Any = OperationDecider(
            server, self.store, self.daemons, observe, watcher, self.clock, finalizes=self.finalizes
        )
        deciders: dict[Kind, Decider] = {kind: _Faulty(operations, self.faults) for kind in OPERATION_KINDS}
        sessions = SessionDecider(server, self.store, self.daemons, observe, OPERATION_KINDS)
        writer = StatusWriter(
            server,
            written=self._written,
            counted=watcher.wrote,
        )
        self.controller = controller = Controller(
            api=server,
            store=self.store,
            writer=writer,
            events=events,
            deciders=deciders | {SESSION: sessions},
            start=operations.start,
            watcher=watcher,
            left=self.daemons.forget,
            gone=operations.leave,
            clock=self.clock,
        )
        loop = asyncio.get_running_loop()

        def watch(event: str, body: Body) -> None:
            loop.call_soon(self._deliver, controller, event, body)

        self.api.watch = watch
        self._background = [asyncio.create_task(self.daemons.watch()), asyncio.create_task(events.run())]
        for path, body in list(self.api.objects.items()):
            if _kind_of(path) is not None:
                self._deliver(controller, None, body)

    async def kill(self) -> None:
        """End the process as a crash would: nothing is written any more."""
        self.api.watch = lambda _event, _body: None
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for entry in self.store:
            entry.gone = True
            if entry.timer is not None:
                entry.timer.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def restart(self) -> None:
        """Kill the process and start another."""
        await self.kill()
        self.start()

    def clock(self) -> datetime:
        """Return the time of the story."""
        return NOW + timedelta(seconds=asyncio.get_running_loop().time() - self._began)

    # --- objects

    def apply(self, kind: Kind, name: str, spec: Body, **metadata: Any) -> Body:
        """Create an object, or change its spec."""
        path = self.path(kind, name)
        known = self.api.objects.get(path)
        if known is None:
            return self.api.put(path, {"kind": kind.kind, "metadata": {"name": name} | metadata, "spec": spec})
        generation = known["metadata"]["generation"] + (known["spec"] != spec)
        return self.api.put(
            path,
            known | {"metadata": known["metadata"] | {"generation": generation} | metadata, "spec": spec},
        )

    def path(self, kind: Kind, name: str) -> str:
        """Return the path of an object."""
        return f"/apis/{GROUP}/{VERSION}/namespaces/team/{kind.plural}/{name}"

    def status(self, kind: Kind, name: str) -> Body:
        """Return the status that the API server holds."""
        status: Body = self.api.objects[self.path(kind, name)].get("status") or {}
        return status

    def writes(self, kind: Kind, name: str) -> list[Request]:
        """Return the writes of an object's status."""
        return [request for request in self.api.of("PATCH") if request.path == f"{self.path(kind, name)}/status"]

    @property
    def events(self) -> list[tuple[str, str]]:
        """The Events that were published, as name of the object and reason."""
        return [
            (request.body["involvedObject"]["name"], request.body["reason"])
            for request in self.api.of("POST")
            if request.path.endswith("/events")
        ]

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a metric."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    # The Controller is made last, of parts that tell it something.

    def _returned(self, name: str) -> None:
        self.controller.daemon_returned(name)

    def _next_one(self, uid: str) -> None:
        self.controller.wake_by_uid(uid)

    def _written(self, key: ObjectKey, status: Any, stored: Mapping[str, Any]) -> None:
        self.controller.written(key, status, stored)

    def _deliver(self, controller: Controller, event: str | None, body: Body) -> None:
        kind = next((one for one in KINDS.values() if one.kind == body.get("kind")), None)
        if kind is not None and controller is self.controller and controller.is_news(event, body):
            controller.observe(kind, event, body)


@dataclass(slots=True)
class _Faulty:
    """A performer whose next decisions may fail."""

    performer: Any
    faults: list[Exception]

    async def decide(self, *arguments: Any, **named: Any) -> Any:
        """Decide, or fail."""
        if self.faults:
            raise self.faults.pop(0)
        return await self.performer.decide(*arguments, **named)

    def start(self, *arguments: Any, **named: Any) -> None:
        """Begin an attempt."""
        self.performer.start(*arguments, **named)


def _kind_of(path: str) -> Kind | None:
    parts = path.split("/")
    return KINDS.get(parts[-2]) if len(parts) > 1 else None


def play(story: Callable[[OperatorBench], Awaitable[None]], bench: OperatorBench | None = None) -> OperatorBench:
    """Run a story with a started operator in virtual time."""

    async def told() -> OperatorBench:
        mine = bench or OperatorBench()
        mine.start()
        await asyncio.sleep(0.01)
        await story(mine)
        await mine.kill()
        return mine

    return run(told())


async def settle(seconds: float = SETTLE_SECONDS) -> None:
    """Let the time pass."""
    await asyncio.sleep(seconds)
