"""A process that begins on a stale cache of the objects, as an API server that lags behind gives it."""

from __future__ import annotations

import asyncio
import copy

import pytest

from imageops.api.kinds import IMAGE_PULL, SESSION
from tests.support.operator_bench import OperatorBench, play, settle
from tests.support.recording_engine import RecordingEngine, remote

REF = "registry.example/app:1"
SPEC = {"image": REF, "imagePullPolicy": "Always"}


def bench() -> OperatorBench:
    """Make a bench whose registry has the image."""
    return OperatorBench(engine=RecordingEngine(registry={REF: remote()}))


async def restart_on(mine: OperatorBench, path: str, old: dict[str, object]) -> None:
    """Kill the process, and start one that is listed an old version of an object."""
    await mine.kill()
    newest = mine.api.objects[path]
    mine.api.objects[path] = copy.deepcopy(old)
    mine.start()
    mine.api.objects[path] = newest


@pytest.mark.feature("status.recreated")
@pytest.mark.parametrize("told", [False, True], ids=["refused", "watched"])
def test_an_end_is_not_taken_back_by_a_process_that_does_not_know_of_it(*, told: bool) -> None:
    """Neither by progress nor by another end; whether its write is refused or a watch tells it, its call is stopped."""
    ends = []

    async def story(mine: OperatorBench) -> None:
        path = mine.path(IMAGE_PULL, "app")
        old = mine.apply(IMAGE_PULL, "app", SPEC)
        await settle()
        ends.append(copy.deepcopy(mine.api.objects[path]))
        mine.engine.gate = asyncio.Event()
        await restart_on(mine, path, old)
        if told:
            mine.api.watch("MODIFIED", copy.deepcopy(mine.api.objects[path]))
        await settle()
        ends.append(copy.deepcopy(mine.api.objects[path]))

    mine = play(story, bench())
    assert ends[0]["status"]["phase"] == "Succeeded"
    assert ends[1] == ends[0]
    assert [event for event in mine.events if event[1] == "Pulled"] == [("app", "Pulled")]


@pytest.mark.feature("fault.no-twice")
def test_nothing_is_pulled_on_an_old_view() -> None:
    """The first attempt of a process is on record before its call, where another process may have been at work."""
    calls = []

    async def story(mine: OperatorBench) -> None:
        path = mine.path(IMAGE_PULL, "app")
        old = mine.apply(IMAGE_PULL, "app", SPEC)
        await settle()
        calls.append(list(mine.engine.calls))
        await restart_on(mine, path, old)
        await settle()
        calls.append(list(mine.engine.calls))

    play(story, bench())
    assert calls[0]
    assert calls[1] == calls[0]


@pytest.mark.feature("status.recreated")
def test_counted_failures_are_not_forgotten_by_a_process_that_does_not_know_of_them() -> None:
    """The run goes on from where it really stands."""

    async def story(mine: OperatorBench) -> None:
        path = mine.path(IMAGE_PULL, "app")
        mine.engine.registry = {}
        old = mine.apply(IMAGE_PULL, "app", SPEC | {"backoffLimit": 3})
        mine.api.objects[path]["status"] = {"observedGeneration": -1, "phase": "Pending"}
        mine.api.objects[path]["metadata"]["resourceVersion"] = "9000"
        await settle(1.0)
        newest = mine.api.objects[path]
        stored = {"run": 1, "failedAttempts": 2, "attempts": 2, "phase": "Pending", "observedGeneration": 1}
        newest["status"] = {**newest["status"], **stored, "nextRetryTime": "2099-01-01T00:00:00Z"}
        del newest["status"]["completionTime"]
        newest["metadata"]["resourceVersion"] = "9999"
        await restart_on(mine, path, old)
        await settle(1.0)

    status = play(story, bench()).status(IMAGE_PULL, "app")
    assert (status["failedAttempts"], status["attempts"], status["phase"]) == (2, 2, "Pending")


@pytest.mark.feature("status.recreated")
def test_a_session_is_told_when_a_watch_catches_up() -> None:
    """It goes on from the end of its operation, which this process has not written."""

    async def story(mine: OperatorBench) -> None:
        steps = [{"name": "get", "pull": {"image": REF}}]
        mine.apply(SESSION, "release", {"steps": steps})
        await settle(0.05)
        child = next(path for path in mine.api.objects if "/imagepulls/" in path)
        old = copy.deepcopy(mine.api.objects[child]) | {"status": {}}
        open_session = copy.deepcopy(mine.api.objects[mine.path(SESSION, "release")])
        await settle()
        path = mine.path(SESSION, "release")
        mine.api.objects[path] = open_session
        await restart_on(mine, child, old)
        mine.api.watch("MODIFIED", copy.deepcopy(mine.api.objects[child]))
        await settle()

    assert play(story, bench()).status(SESSION, "release")["phase"] == "Succeeded"
