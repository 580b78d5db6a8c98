"""Build the operator, run it, and end it in order."""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from imageops.api.kinds import OPERATION_KINDS, SESSION, Kind
from imageops.cluster.api_server import ApiError, ApiServer, Permit
from imageops.cluster.events import EventRecorder
from imageops.cluster.lease import Lease
from imageops.cluster.objects import SERVED_GROUP
from imageops.cluster.status_writer import StatusWriter
from imageops.cluster.watching import Listener
from imageops.engine.docker_engine import DockerEngine
from imageops.runtime.controller import Controller, Decider
from imageops.runtime.daemons import Daemons, Limits
from imageops.runtime.deciders import OperationDecider, SessionDecider
from imageops.runtime.leadership import Leadership
from imageops.runtime.metrics_recorder import MetricsRecorder
from imageops.runtime.objects import ObjectStore
from imageops.runtime.settings import Settings
from imageops.telemetry.health import HealthServer, Verdict
from imageops.telemetry.metrics import Metrics
from imageops.telemetry.watch_liveness import WatchLiveness

logger = logging.getLogger("imageops.runtime")

WATCHED: tuple[Kind, ...] = (*OPERATION_KINDS, SESSION)
"""The kinds that are watched."""

Drain = Callable[[], Awaitable[None]]
"""Ends all work."""


class WatchEventSink(Protocol):
    """Takes watch events: the event's type (None for the first listing) and the object."""

    def is_news(self, event_type: str | None, body: Mapping[str, Any]) -> bool:
        """Tell, of every event, whether it has to be observed."""
        ...

    def observe(self, kind: Kind, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event that is news."""
        ...


class Watch(Protocol):
    """Delivers watch events until the process is to end."""

    async def __call__(
        self,
        *,
        sink: WatchEventSink,
        listener: Listener,
        drain: Drain,
        kubeconfig: str | None,
        namespaces: Sequence[str],
        ready: asyncio.Event,
    ) -> None:
        """Watch."""
        ...


DRAIN_SECONDS = 8.0
"""To stop the daemon calls and write what they came to; the whole process ends within 10 s."""
EVENT_SECONDS = 1.0
"""To publish the Events of those ends; the statuses already hold them."""
KINDS_CHECK_SECONDS = 1.0
"""Between looks whether the API server serves our kinds."""


@dataclass(slots=True)
class _Health:
    """What the probes ask for."""

    watching: bool = False
    problem: str = "waiting for the API server to serve the kinds"
    daemons: Daemons | None = None
    watches: WatchLiveness = field(default_factory=WatchLiveness)
    awaited: Lease | None = None
    """The Lease, while another process holds it."""

    def alive(self) -> Verdict:
        """The process answers, so its loop turns; what its watches live from must answer too."""
        dead = self.watches.dead()
        return Verdict(good=not dead, text=f"no answer to the watch of {', '.join(dead)}" if dead else "ok")

    def ready(self) -> Verdict:
        """Ready means that the kinds are watched.

        A daemon that is away degrades, as does a namespace without rights: a tenant must not make the pod unready.
        """
        if self.awaited is not None:
            # Ready as a standby: a rollout waits for it before it ends the old leader.
            holder = self.awaited.holder
            return Verdict(good=bool(holder), text=f"standby: {holder} leads" if holder else "waiting for the Lease")
        if not self.watching or self.daemons is None:
            return Verdict(good=False, text=self.problem)
        if awaited := self.watches.awaited():
            return Verdict(good=False, text=f"waiting for the API server to list {', '.join(awaited)}")
        away = [name for name in self.daemons.engines if not self.daemons.is_up(name)]
        refused = self.watches.refused()
        lacks = [f"daemon {', '.join(away)} does not answer"] if away else []
        lacks += [f"no right to list and watch in {', '.join(refused)}"] if refused else []
        return Verdict(good=True, text=f"degraded: {'; '.join(lacks)}" if lacks else "ok")


async def run(settings: Settings, watch: Watch) -> None:
    """Run the operator until a signal ends it."""
    calm_collector()
    metrics = Metrics()
    health = _Health(watches=WatchLiveness(lambda kind: metrics.watch_failures.labels(kind).inc()))
    server = HealthServer(alive=health.alive, ready=health.ready, metrics=lambda: _scrape(metrics, health))
    port = await server.start(settings.health_host, settings.health_port)
    logger.info("health and metrics are served on port %d", port)
    try:
        async with Leadership.candidate(settings.lease, settings.kubeconfig) as leadership:
            if leadership.lease is not None:
                metrics.leader.labels(leadership.lease.name).set_function(leadership.lease.held)
            api = await ApiServer.connect(settings.kubeconfig, permit=leadership.permit)
            try:
                if await _unless_ended(_prepare(api, leadership, health)):
                    async with leadership.kept():
                        await _operate(settings, watch, api, metrics, health, permit=leadership.permit)
            finally:
                await api.close()
    finally:
        await server.stop()


async def _unless_ended(work: Coroutine[Any, Any, None]) -> bool:
    """Do work that a signal may end, and tell whether it was done.

    Without a handler a signal would do nothing at all to the first process of a container. kopf has its own, later.
    """
    loop, task = asyncio.get_running_loop(), asyncio.create_task(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await asyncio.wait([task])
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    if task.cancelled():
        logger.info("ended before there was work to do")
        return False
    await task
    return True


async def _prepare(api: ApiServer, leadership: Leadership, health: _Health) -> None:
    """Return when there are kinds to watch and this process is the one to do so."""
    await _wait_for_kinds(api)
    health.awaited = leadership.lease
    await leadership.gain()
    health.awaited, health.problem = None, "starting to watch"


def calm_collector() -> None:
    """Let the garbage collector look at what is young more rarely, and never at what every process has from its start.

    Nearly all that an event leaves behind is freed by reference counts at once. With Python's own thresholds the
    collector ran several times within each update and made up a quarter of the P95 of tracking (`make bench`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


async def _operate(
    settings: Settings, watch: Watch, api: ApiServer, metrics: Metrics, health: _Health, *, permit: Permit | None
) -> None:
    watcher = MetricsRecorder(metrics)
    store = ObjectStore()
    events = EventRecorder(api)
    engines = {
        name: DockerEngine(
            name, address, tls=settings.daemon_tls(name), max_transfers=settings.max_transfers, permit=permit
        )
        for name, address in settings.daemons.items()
    }
    limits = Limits(
        transfers=settings.max_transfers,
        registry_rate=settings.registry_rate,
        registry_burst=2 * settings.registry_rate,
    )
    controller: Controller

    def observe(kind: Kind, event_type: str | None, body: Mapping[str, Any]) -> None:
        controller.observe(kind, event_type, body)

    daemons = Daemons(
        engines=engines,
        default=settings.default_daemon,
        returned=lambda name: controller.daemon_returned(name),  # noqa: PLW0108 - the Controller is not made yet
        next_one=lambda uid: controller.wake_by_uid(uid),  # noqa: PLW0108
        limits=limits,
    )
    writer = StatusWriter(
        api,
        written=lambda key, status, stored: controller.written(key, status, stored),  # noqa: PLW0108
        counted=watcher.wrote,
    )
    marks = settings.gitops_marks
    operations = OperationDecider(
        api, store, daemons, observe, watcher, _clock, finalizes=not settings.namespaces, marks=marks
    )
    sessions = SessionDecider(api, store, daemons, observe, OPERATION_KINDS, marks)
    deciders: dict[Kind, Decider] = dict.fromkeys(OPERATION_KINDS, operations)
    controller = Controller(
        api=api,
        store=store,
        writer=writer,
        events=events,
        deciders=deciders | {SESSION: sessions},
        start=operations.start,
        watcher=watcher,
        left=daemons.forget,
        gone=operations.leave,
        clock=_clock,
    )
    health.daemons = daemons
    metrics.status_refused.set_function(lambda: sum(entry.unwritable for entry in store))
    metrics.watches_refused.set_function(lambda: len(health.watches.refused()))
    metrics.last_event_age.set_function(lambda: time.monotonic() - controller.last_event)
    async with _background(daemons.watch(), events.run()) as end_background:
        ready = asyncio.Event()
        watching = asyncio.create_task(_note_ready(ready, health))

        async def drain() -> None:
            await controller.drain(DRAIN_SECONDS)
            await writer.close()
            await events.drain(EVENT_SECONDS)
            await end_background()  # kopf would wait 5 s for tasks that go on

        health.watches.expect((kind.plural for kind in WATCHED), settings.namespaces)
        try:
            await watch(
                sink=controller,
                listener=health.watches,
                drain=drain,
                kubeconfig=settings.kubeconfig,
                namespaces=settings.namespaces,
                ready=ready,
            )
        finally:
            health.watching, health.problem = False, "ending"
            health.watches.expect(())
            watching.cancel()
            await daemons.close()


async def _note_ready(ready: asyncio.Event, health: _Health) -> None:
    await ready.wait()
    health.watching = True
    logger.info("watching")


@asynccontextmanager
async def _background(*work: Any) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Run coroutines beside the operator; they end with it, or when what this gives is called."""
    tasks = [asyncio.create_task(each) for each in work]

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        yield end
    finally:
        await end()


async def _wait_for_kinds(api: ApiServer) -> None:
    """Return when the API server serves all kinds: kopf would stay blind to those that appear after its start."""
    wanted = {kind.plural for kind in WATCHED}
    reported: set[str] = set()
    while True:
        try:
            served = await api.get(SERVED_GROUP)
            missing = wanted - {resource["name"] for resource in served.get("resources") or ()}
        except ApiError as error:
            missing = wanted
            logger.debug("the API server does not serve the group: %s", error)
        if not missing:
            return
        if missing != reported:
            logger.warning("waiting for the API server to serve %s; apply the CRDs", ", ".join(sorted(missing)))
            reported = missing
        await asyncio.sleep(KINDS_CHECK_SECONDS)


def _clock() -> datetime:
    return datetime.now(UTC)


def _scrape(metrics: Metrics, health: _Health) -> bytes:
    if health.daemons is not None:
        for name in health.daemons.engines:
            metrics.daemon_up.labels(name).set(health.daemons.is_up(name))
    return metrics.exposition()
