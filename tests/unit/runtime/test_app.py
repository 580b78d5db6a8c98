from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.kinds import GROUP, VERSION
from imageops.api.reasons import Reason
from imageops.cluster import lease as leases
from imageops.cluster.lease import Lease
from imageops.core.lease import Timing
from imageops.runtime import app
from imageops.runtime.daemons import Daemons, Limits
from imageops.runtime.leadership import Leadership
from imageops.telemetry import watch_liveness
from imageops.telemetry.metrics import Metrics
from tests.support.recording_engine import RecordingEngine
from tests.support.scripted_api import ScriptedApi
from tests.support.virtual_time import monotonic, run

GROUP_PATH = f"/apis/{GROUP}/{VERSION}"


def daemons(**engines: RecordingEngine) -> Daemons:
    """Make daemons of which nobody is told anything."""
    return Daemons(
        engines=engines,
        default=next(iter(engines)),
        returned=lambda _: None,
        next_one=lambda _: None,
        limits=Limits(transfers=1, registry_rate=1.0, registry_burst=1.0),
    )


def test_the_operator_waits_until_all_kinds_are_served(caplog: pytest.LogCaptureFixture) -> None:
    """It says which ones are missing, once for each change."""

    async def story() -> None:
        api = ScriptedApi()
        server: Any = api
        waiting = asyncio.create_task(app._wait_for_kinds(server))
        await asyncio.sleep(10 * app.KINDS_CHECK_SECONDS)
        api.put(GROUP_PATH, {"resources": [{"name": kind.plural} for kind in app.WATCHED[:3]]})
        await asyncio.sleep(10 * app.KINDS_CHECK_SECONDS)
        assert not waiting.done()
        api.put(GROUP_PATH, {"resources": [{"name": kind.plural} for kind in app.WATCHED]})
        await asyncio.wait_for(waiting, 2 * app.KINDS_CHECK_SECONDS)

    run(story())
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [
        "waiting for the API server to serve imagepulls, imagepushes, imagetags, sessions; apply the CRDs",
        "waiting for the API server to serve sessions; apply the CRDs",
    ]


@pytest.mark.feature("scale.failover")
def test_a_standby_is_ready_as_soon_as_it_knows_the_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a rollout goes on; whoever cannot read the Lease is of no use, and says so."""
    monkeypatch.setattr(leases, "clock", monotonic)

    async def story() -> None:
        api = ScriptedApi()
        server: Any = api
        api.put(GROUP_PATH, {"resources": [{"name": kind.plural} for kind in app.WATCHED]})
        first, second = (
            Leadership(Lease(server, "system", "imageops", identity=name, timing=Timing(15)))
            for name in ("first", "second")
        )
        await first.gain()
        health = app._Health()
        api.delay = 1.0
        waiting = asyncio.create_task(app._prepare(server, second, health))
        await asyncio.sleep(1.5)
        assert (health.ready().good, health.ready().text) == (False, "waiting for the Lease")
        await asyncio.sleep(1)
        assert (health.ready().good, health.ready().text) == (True, "standby: first leads")
        assert health.alive().good
        await waiting
        assert (health.ready().good, health.ready().text) == (False, "starting to watch")

    run(story())


@pytest.mark.feature("scale.failover")
async def test_a_process_that_waits_ends_at_a_signal() -> None:
    """It would be ignored by the first process of a container otherwise; work that fails tells why."""
    before = signal.getsignal(signal.SIGTERM)

    async def waits() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    async def done() -> None:
        await asyncio.sleep(0)

    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError

    assert not await app._unless_ended(waits())
    assert await app._unless_ended(done())
    with pytest.raises(LookupError):
        await app._unless_ended(fails())
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.feature("health.liveness")
def test_a_dead_watch_is_no_life() -> None:
    """/healthz names the kinds, until an answer comes."""

    async def story() -> None:
        health = app._Health()
        health.watches.expect(["imagepulls", "sessions"])
        assert health.alive().good
        await asyncio.sleep(watch_liveness.DEAD_SECONDS)
        assert (health.alive().good, health.alive().text) == (False, "no answer to the watch of imagepulls, sessions")
        for kind in ("imagepulls", "sessions"):
            health.watches.answered(kind, None, 200)
        assert health.alive().good

    run(story())


async def test_ready_means_watching_and_a_daemon_that_is_away_only_degrades() -> None:
    """Alive is the process that answers, whatever it waits for."""
    away = RecordingEngine(failures={"ping": OperationError(Reason.DAEMON_UNAVAILABLE)})
    mine = daemons(default=RecordingEngine(), old=away)
    health, metrics = app._Health(), Metrics()
    assert (health.alive().good, health.ready().good) == (True, False)
    assert "waiting for the API server" in health.ready().text
    assert app._scrape(metrics, health)
    health.daemons = mine
    ready = asyncio.Event()
    noting = asyncio.create_task(app._note_ready(ready, health))
    ready.set()
    await noting
    health.watches.expect(["imagepulls", "sessions"])
    health.watches.answered("imagepulls", None, 200)
    assert (health.ready().good, health.ready().text) == (False, "waiting for the API server to list sessions")
    health.watches.answered("sessions", None, 200)
    for name in mine.engines:
        await mine._look(name)
    assert (health.ready().good, health.ready().text) == (True, "degraded: daemon old does not answer")
    health.watches.answered("sessions", None, 403)
    both = "degraded: daemon old does not answer; no right to list and watch in the cluster"
    assert (health.ready().good, health.ready().text) == (True, both)
    health.watches.answered("sessions", None, 200)
    app._scrape(metrics, health)
    up = {name: metrics.registry.get_sample_value("imageops_daemon_up", {"daemon": name}) for name in mine.engines}
    assert up == {"default": 1.0, "old": 0.0}
    away.failures.clear()
    await mine._look("old")
    assert health.ready().text == "ok"
