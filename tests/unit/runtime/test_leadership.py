from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from imageops.cluster import lease as leases
from imageops.cluster.lease import Lease
from imageops.core.lease import Timing
from imageops.runtime import leadership
from imageops.runtime.leadership import Leadership, Watchdog
from tests.support.scripted_api import ScriptedApi, unreachable
from tests.support.virtual_time import monotonic, run

SECONDS = 60.0


def led(api: ScriptedApi) -> Leadership:
    """Make a candidate on an API server in memory."""
    server: Any = api
    return Leadership(Lease(server, "system", "imageops", identity="mine", timing=Timing(15)))


async def test_without_a_lease_a_process_may_always_work() -> None:
    """Nothing is asked, waited for or watched."""
    async with Leadership.candidate(None, None) as alone:
        assert (alone.lease, alone.permit) == (None, None)
        await alone.gain()
        async with alone.kept():
            assert "lease-watchdog" not in {thread.name for thread in threading.enumerate()}


def test_a_lost_lease_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the event loop, as soon as it knows; and it may act only until then."""
    ended = asyncio.Event()
    monkeypatch.setattr(leases, "clock", monotonic)
    monkeypatch.setattr(leadership, "end_process", ended.set)
    monkeypatch.setattr(leadership, "Watchdog", lambda *_: _NoWatchdog())

    async def story() -> None:
        api = ScriptedApi()
        mine = led(api)
        assert mine.permit is not None
        assert not mine.permit()
        await mine.gain()
        assert mine.permit()
        async with mine.kept():
            await asyncio.sleep(60)
            assert (mine.permit(), ended.is_set()) == (True, False)
            api.script = [unreachable() for _ in range(99)]
            await asyncio.wait_for(ended.wait(), 10)
            assert not mine.permit()

    run(story())


def test_a_lease_is_given_back_when_the_work_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """And that ends no process."""
    monkeypatch.setattr(leases, "clock", monotonic)
    monkeypatch.setattr(leadership, "end_process", lambda: pytest.fail("ended"))
    monkeypatch.setattr(leadership, "Watchdog", lambda *_: _NoWatchdog())

    async def story() -> None:
        api = ScriptedApi()
        mine = led(api)
        await mine.gain()
        async with mine.kept():
            await asyncio.sleep(30)
        assert [body["spec"]["holderIdentity"] for body in api.objects.values()] == [""]
        assert mine.permit is not None
        assert not mine.permit()

    run(story())


class _NoWatchdog:
    """Stands where time is not real."""

    def stop(self) -> None:
        """Do nothing."""


def test_the_watchdog_ends_what_a_blocked_loop_cannot() -> None:
    """Its thread needs nobody's leave; time that is added in time counts."""
    until, ended = [time.monotonic() + 0.05], threading.Event()
    began = time.monotonic()

    def remaining() -> float:
        if len(until) > 1 and time.monotonic() >= until[0]:
            del until[0]
        return until[0] - time.monotonic()

    until.append(began + 0.2)
    Watchdog(remaining, ended.set)
    assert ended.wait(SECONDS)
    assert time.monotonic() - began >= 0.2


def test_a_watchdog_that_was_stopped_ends_nothing() -> None:
    """Although no time is left then."""
    left, ended = [1000.0], threading.Event()
    watchdog = Watchdog(lambda: left[0], ended.set)
    watchdog.stop()
    left[0] = -1.0
    [thread] = [one for one in threading.enumerate() if one.name == "lease-watchdog"]
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert not ended.is_set()
