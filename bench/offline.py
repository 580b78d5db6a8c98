"""Run the operator's own parts for one ImagePull in the middle of its fourth attempt, with the socket taken away."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import kopf
from kopf._cogs.structs.references import Resource
from kopf._core.engines.indexing import OperatorIndexers
from kopf._core.reactor.inventory import ResourceMemories
from kopf._core.reactor.processing import process_resource_event
from kubernetes.aio import client

from imageops import handlers
from imageops.api.kinds import GROUP, IMAGE_PULL, VERSION, Kind
from imageops.cluster.api_server import ApiServer
from imageops.cluster.events import EventRecorder
from imageops.cluster.objects import ObjectKey
from imageops.cluster.status_writer import StatusWriter
from imageops.engine.docker_engine import DockerEngine
from imageops.runtime.attempts import RunningAttempt
from imageops.runtime.controller import Controller
from imageops.runtime.daemons import Daemons, Limits
from imageops.runtime.deciders import OperationDecider
from imageops.runtime.metrics_recorder import MetricsRecorder
from imageops.runtime.objects import Entry, ObjectStore
from imageops.telemetry.metrics import Metrics

_UID = "7d9a5b1e-0c1f-4a55-9a3b-3f0c8a2b1c4d"
_ATTEMPTS_BEFORE = 3
_DRAIN_SECONDS = 5.0
_NANOSECONDS = 1_000
"""In a microsecond."""


class Stopwatch:
    """Take the microseconds of processor time that this thread uses between a start and a stop.

    Processor time leaves out what the machine gives to others meanwhile; it counts the kernel's work for this thread.
    """

    def __init__(self) -> None:
        self._since = 0

    def start(self) -> None:
        """Begin at zero."""
        self._since = time.thread_time_ns()

    def stop(self) -> float:
        """Return the microseconds."""
        return (time.thread_time_ns() - self._since) / _NANOSECONDS


@dataclass(slots=True)
class Update:
    """The microseconds that one written update took."""

    patch: float = 0.0
    """Since the watch was started, until the patch was encoded."""
    answer: float = 0.0
    """To decode and take in what the API server stored."""
    echo: float = 0.0
    """To take in the watch event of the write."""


@dataclass(slots=True)
class _Answer:
    """What the HTTP library would give."""

    content: bytes
    status: int = 200
    reason: str = "OK"
    headers: Mapping[str, str] = field(default_factory=dict)

    async def read(self) -> bytes:
        """Return the body."""
        return self.content


@dataclass(slots=True)
class _NoNetwork:
    """Stands where the HTTP library's session stands: takes encoded requests, and stores what they say.

    What it does itself, an API server does otherwise: no clock runs meanwhile.
    """

    stored: dict[str, Any]
    watch: Stopwatch
    update: Update
    """The one that is being measured."""
    before_answer: Callable[[], Awaitable[None]] | None = None
    """What happens between the next write and its answer."""

    async def request(self, _method: str, _url: str, *, data: bytes, **_: object) -> _Answer:
        """Apply a JSON patch of the status."""
        self.update.patch = self.watch.stop()
        metadata = self.stored["metadata"]
        *_, change = json.loads(data)
        changed = {"progress": change["value"]} if change["path"] == "/status/progress" else change["value"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        self.stored = {**self.stored, "metadata": metadata, "status": {**self.stored["status"], **changed}}
        answer = _Answer(json.dumps(self.stored).encode())
        if self.before_answer is not None:
            await self.before_answer()
        self.watch.start()
        return answer

    async def close(self) -> None:
        """Close nothing."""


@dataclass(slots=True)
class _Clock:
    """The present, or later."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self.ahead


@dataclass(slots=True)
class OfflineOperator:
    """The operator's parts around one object."""

    watch: Stopwatch
    network: _NoNetwork
    writer: StatusWriter
    controller: Controller
    entry: Entry
    attempt: RunningAttempt
    _process: Callable[[Any], Any]
    _answered: asyncio.Event

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        """Put the parts together as the operator's composition root does, and let it begin an attempt.

        Its daemon takes the connection and says nothing, so the attempt goes on for as long as it is wanted.
        """
        logging.getLogger("kopf").setLevel(logging.WARNING)
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as daemon:
            daemon.bind(f"{folder}/silent.sock")
            daemon.listen()
            daemon.settimeout(0)
            engine = DockerEngine("default", f"unix://{folder}/silent.sock")
            operator = await cls._with(engine)
            # Until it waits for an answer, the thread that calls the daemon competes for the interpreter's lock.
            connection, _ = await asyncio.get_running_loop().sock_accept(daemon)
            with connection:
                await asyncio.get_running_loop().sock_recv(connection, 1)
                yield operator
            daemon.close()
            await operator.controller.drain(_DRAIN_SECONDS)
            await operator.writer.close()
            await engine.close()

    @classmethod
    async def _with(cls, engine: DockerEngine) -> Self:
        watch, store, clock, answered = Stopwatch(), ObjectStore(), _Clock(), asyncio.Event()
        network = _NoNetwork(_object(), watch, Update())
        session: Any = network
        api = ApiServer(session, client.Configuration(), {})
        watcher = MetricsRecorder(Metrics())
        daemons = Daemons(
            engines={engine.name: engine},
            default=engine.name,
            returned=lambda _: None,
            next_one=lambda _: None,
            limits=Limits(transfers=1, registry_rate=1.0, registry_burst=1.0),
        )

        def observe(kind: Kind, event_type: str | None, body: Mapping[str, Any]) -> None:
            controller.observe(kind, event_type, body)

        def stored(key: ObjectKey, status: Any, body: Mapping[str, Any]) -> None:
            controller.written(key, status, body)
            network.update.answer = watch.stop()
            answered.set()

        writer = StatusWriter(api, written=stored, counted=watcher.wrote)
        controller = Controller(
            api=api,
            store=store,
            writer=writer,
            events=EventRecorder(api),
            deciders={IMAGE_PULL: (decider := OperationDecider(api, store, daemons, observe, watcher, clock))},
            start=decider.start,
            gone=decider.leave,
            watcher=watcher,
            left=daemons.forget,
            clock=clock,
        )
        controller.observe(IMAGE_PULL, None, _object())
        (entry,) = store
        while entry.attempt is None or entry.attempt.view(clock()).queued:  # noqa: ASYNC110 - nobody signals its start
            await asyncio.sleep(0)
        clock.ahead = timedelta(minutes=1)
        return cls(watch, network, writer, controller, entry, entry.attempt, _kopf(controller), answered)

    async def write(self, *, echo_first: bool) -> Update:
        """Do what the object's timer does; return when the status is written and both answer and echo are taken in.

        The watch has been started before.
        """
        update = self.network.update = Update()
        self._answered.clear()
        self.network.before_answer = self._observe_echo if echo_first else None
        self.controller.wake(self.entry)
        await self._answered.wait()
        if not echo_first:
            await self._observe_echo()
        return update

    async def _observe_echo(self) -> None:
        """Take in the line that the API server's watch sends after a write, as kopf does."""
        line = json.dumps({"type": "MODIFIED", "object": self.network.stored}).encode()
        self.watch.start()
        await self._process(json.loads(line))
        self.network.update.echo = self.watch.stop()


def _kopf(controller: Controller) -> Callable[[Any], Any]:
    """Return kopf's processing of one event, with the operator's handlers and settings."""
    registry, settings = handlers.registry(controller), handlers.settings()
    memo: Any = kopf.Memo()
    indexers, memories, events = OperatorIndexers(), ResourceMemories(), asyncio.Queue[Any]()
    resource = Resource(GROUP, VERSION, IMAGE_PULL.plural, kind=IMAGE_PULL.kind, namespaced=True)

    async def process(event: Any) -> None:
        await process_resource_event(
            lifecycle=kopf.lifecycles.all_at_once,
            indexers=indexers,
            registry=registry,
            settings=settings,
            memories=memories,
            memobase=memo,
            resource=resource,
            raw_event=event,
            event_queue=events,
        )

    return process


def _object() -> dict[str, Any]:
    """Return an ImagePull that has failed three times, as the API server delivers it."""
    now = datetime.now(UTC).replace(microsecond=0)
    started = (now - timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    attempt = {"run": 1, "trigger": "Spec", "startTime": started, "completionTime": started, "outcome": "Failed"}
    attempt |= {"reason": "RegistryUnavailable", "durationMilliseconds": 4200}
    history = [{**attempt, "attempt": number + 1} for number in range(_ATTEMPTS_BEFORE)]
    manager = {"manager": "imageops", "operation": "Update", "apiVersion": f"{GROUP}/{VERSION}", "time": started}
    names = ("attempts", "conditions", "history", "image", "phase", "reference", "run")
    fields: dict[str, Any] = {f"f:{name}": {} for name in names}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": IMAGE_PULL.kind,
        "metadata": {
            "name": "app",
            "namespace": "team-a",
            "uid": _UID,
            "generation": 1,
            "resourceVersion": "1000",
            "creationTimestamp": started,
            "managedFields": [
                {**manager, "fieldsType": "FieldsV1", "fieldsV1": {"f:status": fields}, "subresource": "status"},
                {**manager, "manager": "kubectl", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:image": {}}}},
            ],
        },
        "spec": {"image": "registry.example.com/team/app:1.4.2", "backoffLimit": 5},
        "status": {
            "observedGeneration": 1,
            "run": 1,
            "phase": "Pending",
            "startTime": started,
            "reference": "registry.example.com/team/app:1.4.2",
            "attempts": _ATTEMPTS_BEFORE,
            "failedAttempts": _ATTEMPTS_BEFORE,
            "history": history,
        },
    }
