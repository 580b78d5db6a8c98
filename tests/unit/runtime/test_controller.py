from __future__ import annotations

import asyncio
import copy
from itertools import pairwise
from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG
from imageops.api.reasons import Reason
from tests.support.builders import DIGEST, OTHER_DIGEST, OTHER_ID
from tests.support.operator_bench import OperatorBench, play, settle
from tests.support.recording_engine import RecordingEngine, local, remote
from tests.support.scripted_api import api_error, unreachable

REF = "registry.example/app:1"
SPEC = {"image": REF}


def bench(**registry: str) -> OperatorBench:
    """Make a bench whose registry has the image, and further ones by name."""
    images = {REF: remote()} | {name: remote(digest) for name, digest in registry.items()}
    return OperatorBench(engine=RecordingEngine(registry=images))


def test_a_short_operation_is_one_write_and_one_event() -> None:
    """The last status alone is written, and every part of it is there."""

    async def story(mine: OperatorBench) -> None:
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle()

    mine = play(story, bench())
    status = mine.status(IMAGE_PULL, "app")
    assert (status["phase"], status["run"], status["image"]["digest"]) == ("Succeeded", 1, DIGEST)
    assert (len(mine.writes(IMAGE_PULL, "app")), mine.events) == (1, [("app", "Pulled")])
    assert mine.count("imageops_operations_total", kind="ImagePull", result="succeeded", reason="Pulled") == 1
    assert mine.count("imageops_operations_running", kind="ImagePull") == 0
    assert mine.count("imageops_bytes_total", direction="pull") == 1000
    assert mine.count("imageops_status_patch_total", kind="ImagePull", result="ok") == 1
    assert mine.count("imageops_operation_duration_seconds_count", kind="ImagePull", result="succeeded") == 1


def test_a_long_operation_shows_its_progress_at_most_every_two_seconds() -> None:
    """And ends with what it came to."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(20.0)
        assert mine.status(IMAGE_PULL, "app")["progress"]["percent"] == 50
        assert mine.count("imageops_operations_running", kind="ImagePull") == 1
        mine.engine.gate.set()
        await settle()

    mine = play(story, bench())
    writes = mine.writes(IMAGE_PULL, "app")
    times = [write.at for write in writes[:-1]]
    assert 2 <= len(writes) <= 12
    assert all(later - earlier >= 1.999_999 for earlier, later in pairwise(times))  # a sum of floats
    assert mine.status(IMAGE_PULL, "app")["progress"]["stage"] == "Complete"


def test_progress_is_written_alone_until_somebody_changes_the_status() -> None:
    """Then the whole status stands again with the next write, whether it was seen in time or the write came first."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(5.0)
        path = mine.path(IMAGE_PULL, "app")
        changed = copy.deepcopy(mine.api.objects[path])
        changed["status"]["phase"] = "Failed"
        changed["status"]["unknown"] = True
        mine.api.put(path, changed)
        await settle(2.5)
        assert (mine.status(IMAGE_PULL, "app")["phase"], "unknown" in mine.status(IMAGE_PULL, "app")) == (
            "Running",
            False,
        )
        await settle(5.0)

    writes = play(story, bench()).writes(IMAGE_PULL, "app")
    paths = [write.body[-1]["path"].removeprefix("/status") for write in writes]
    assert paths[:4] == ["", "/progress", "/progress", ""]
    assert set(paths[4:]) == {"/progress"}


def test_the_echo_of_a_write_is_no_news() -> None:
    """Neither after the answer nor before it; what people wrote is."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(5.0)
        controller, path = mine.controller, mine.path(IMAGE_PULL, "app")
        known = copy.deepcopy(mine.api.objects[path])
        assert not controller.is_news("MODIFIED", known)
        assert controller.is_news("DELETED", known)
        assert controller.is_news("ADDED", {"metadata": known["metadata"] | {"uid": "another"}})
        news: list[list[bool]] = []

        def watch(_: str, echo: Any) -> None:
            labelled = echo | {"metadata": echo["metadata"] | {"labels": {"team": "a"}}}
            news.append([controller.is_news("MODIFIED", one) for one in (labelled, echo)])

        mine.api.watch = watch
        await settle(5.0)
        assert news == [[True, False]] * 2

    play(story, bench())


@pytest.mark.feature("retry.limit")
@pytest.mark.parametrize("restarts", [False, True])
def test_a_lasting_error_is_tried_as_often_as_allowed(*, restarts: bool) -> None:
    """Also by a new process each time."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.failures["pull"] = OperationError(Reason.REGISTRY_UNAVAILABLE)
        mine.apply(IMAGE_PULL, "app", SPEC | {"backoffLimit": 2})
        for _ in range(10):
            await settle(6.0)
            if restarts:
                await mine.restart()

    mine = play(story, bench())
    status = mine.status(IMAGE_PULL, "app")
    assert (status["phase"], status["attempts"], len(mine.engine.seen("pull"))) == ("Failed", 3, 3)
    assert {condition["reason"] for condition in status["conditions"]} == {"BackoffLimitExceeded"}
    assert mine.events[-1] == ("app", "BackoffLimitExceeded")


def test_an_attempt_of_a_killed_process_is_taken_up_again() -> None:
    """Closed as Interrupted, and then made anew."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(5.0)
        await mine.restart()
        await settle(5.0)
        mine.engine.gate.set()
        await settle()

    mine = play(story, bench())
    assert [entry["outcome"] for entry in mine.status(IMAGE_PULL, "app")["history"]] == ["Interrupted", "Succeeded"]


def test_a_draining_process_writes_its_attempts_as_interrupted() -> None:
    """Within its time, and starts nothing new."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        for number in range(3):
            mine.apply(IMAGE_PULL, f"app-{number}", SPEC | {"image": f"{REF}{number}"})
            mine.engine.registry[f"{REF}{number}"] = remote()
        await settle(5.0)
        began = asyncio.get_running_loop().time()
        await mine.controller.drain(8.0)
        assert asyncio.get_running_loop().time() - began < 8.0
        mine.apply(IMAGE_PULL, "late", SPEC)
        await settle()

    mine = play(story, bench())
    outcomes = [mine.status(IMAGE_PULL, f"app-{number}") for number in range(3)]
    assert [status["history"][-1]["outcome"] for status in outcomes if status.get("history")] == ["Interrupted"] * 2
    assert mine.status(IMAGE_PULL, "late")["attempts"] == 0


def test_a_drain_that_takes_too_long_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """The process has to end."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(5.0)
        mine.api.script = [unreachable()] * 1000
        await mine.controller.drain(8.0)

    play(story, bench())
    assert "not everything was written within 8 s" in caplog.text


def test_a_change_in_mid_attempt_stops_it_and_runs_anew() -> None:
    """The end is that of the new image, with the new generation."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(5.0)
        mine.apply(IMAGE_PULL, "app", {"image": "registry.example/app:2"})
        mine.engine.gate.set()
        await settle()

    mine = play(story, bench(**{"registry.example/app:2": OTHER_DIGEST}))
    status = mine.status(IMAGE_PULL, "app")
    assert (status["run"], status["observedGeneration"], status["image"]["digest"]) == (2, 2, OTHER_DIGEST)
    assert [entry["outcome"] for entry in status["history"]] == ["Interrupted", "Succeeded"]


def test_a_change_that_comes_before_a_commit_is_decided_on_first() -> None:
    """A status decided on an older spec is never written over a newer one."""

    async def story(mine: OperatorBench) -> None:
        mine.api.delay = 1.0
        mine.engine.failures["pull"] = OperationError(Reason.AUTH_FAILED)
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(1.5)  # the ServiceAccount is read by now, and the end of the attempt is on its way
        mine.engine.failures.clear()
        mine.apply(IMAGE_PULL, "app", SPEC | {"image": "registry.example/app:2"})
        await settle()

    mine = play(story, bench(**{"registry.example/app:2": OTHER_DIGEST}))
    status = mine.status(IMAGE_PULL, "app")
    assert (status["phase"], status["observedGeneration"], status["image"]["digest"]) == ("Succeeded", 2, OTHER_DIGEST)
    assert mine.count("imageops_status_patch_total", kind="ImagePull", result="stale") >= 1


@pytest.mark.parametrize("after", [0.0, 5.0], ids=["at-once", "while-running"])
def test_a_deleted_object_stops_its_call_and_gets_no_status(after: float) -> None:
    """Nor does one that is made anew under its name get what was meant for it."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        body = mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(after)
        await mine.api.delete(mine.path(IMAGE_PULL, "app"), uid=body["metadata"]["uid"])
        await settle(1.0)
        mine.apply(IMAGE_PULL, "app", {"image": "registry.example/none:1"})
        mine.engine.gate.set()
        await settle()
        assert len(list(mine.store)) == 1

    mine = play(story, bench())
    status = mine.status(IMAGE_PULL, "app")
    assert (status["run"], status["error"]["reason"]) == (1, "ImageNotFound")


@pytest.mark.feature("gitops.ttl")
def test_an_object_that_is_changed_when_its_time_is_over_is_kept() -> None:
    """The deletion is of the version it was decided on: a change, and the run it asks for, are not lost."""

    async def story(mine: OperatorBench) -> None:
        mine.apply(IMAGE_PULL, "app", SPEC | {"ttlSecondsAfterFinished": 10})
        await settle(1.0)
        mine.api.delay = 2.0
        await settle(10.0)
        assert mine.api.of("DELETE")
        mine.apply(IMAGE_PULL, "app", {"image": "registry.example/app:2"})
        await settle()

    mine = play(story, bench(**{"registry.example/app:2": OTHER_DIGEST}))
    status = mine.status(IMAGE_PULL, "app")
    assert (status["phase"], status["run"], status["image"]["digest"]) == ("Succeeded", 2, OTHER_DIGEST)


def test_cancel_ends_the_daemon_call() -> None:
    """Within moments."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(5.0)
        mine.apply(IMAGE_PULL, "app", SPEC | {"cancel": True})
        await settle(1.0)
        assert mine.status(IMAGE_PULL, "app")["phase"] == "Cancelled"

    play(story, bench())


def test_an_attempt_that_is_stopped_before_its_task_began_is_closed() -> None:
    """It never called the daemon, and the object does not hang."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        mine.apply(IMAGE_PULL, "app", SPEC)
        for _ in range(50):
            await asyncio.sleep(0)
            if [entry for entry in mine.store if entry.attempt is not None]:
                break
        [entry] = mine.store
        assert entry.attempt is not None
        entry.attempt.stop(Reason.INTERRUPTED)
        await settle(5.0)
        mine.engine.gate.set()
        await settle()
        assert entry.attempt is None

    mine = play(story, bench())
    assert mine.status(IMAGE_PULL, "app")["phase"] == "Succeeded"
    assert len(mine.engine.seen("pull")) == 1


def test_objects_wait_for_their_daemon_and_go_on_when_it_returns() -> None:
    """No attempt is used up, and nobody waits for the rest of a pause."""

    async def story(mine: OperatorBench) -> None:
        away = OperationError(Reason.DAEMON_UNAVAILABLE)
        mine.engine.failures = {"ping": away, "describe": away}
        mine.daemons.suspect(None)
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(300.0)
        waiting = mine.status(IMAGE_PULL, "app")
        assert (waiting["phase"], waiting["error"]["reason"], waiting.get("attempts", 0)) == (
            "Pending",
            "DaemonUnavailable",
            0,
        )
        mine.engine.failures.clear()
        await settle(2.0)
        assert mine.status(IMAGE_PULL, "app")["phase"] == "Succeeded"

    play(story, bench())


def test_more_transfers_than_places_wait_and_are_served_in_turn() -> None:
    """Two at a time on this daemon; the others show Throttled."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        for number in range(5):
            name = f"registry.example/app:n{number}"
            mine.engine.registry[name] = remote()
            mine.apply(IMAGE_PULL, f"app-{number}", {"image": name})
        await settle(5.0)
        reasons = sorted(mine.status(IMAGE_PULL, f"app-{number}")["conditions"][0]["reason"] for number in range(5))
        assert reasons == ["Pulling", "Pulling", "Throttled", "Throttled", "Throttled"]
        mine.engine.gate.set()
        await settle(10.0)
        phases = {mine.status(IMAGE_PULL, f"app-{number}")["phase"] for number in range(5)}
        assert phases == {"Succeeded"}

    play(story, bench())


def test_what_a_tag_replaces_is_on_record_before_it_is_moved() -> None:
    """The commit comes before the call."""
    engine = RecordingEngine(images={REF: local(REF)})
    target = "registry.example/app:2"
    engine.images[target] = local(target, digest=OTHER_DIGEST, image_id=OTHER_ID)
    mine = OperatorBench(engine=engine)
    engine.during["tag"] = lambda: records.append(mine.status(IMAGE_TAG, "tag").get("previous"))
    records: list[Any] = []

    async def story(started: OperatorBench) -> None:
        started.apply(IMAGE_TAG, "tag", {"source": REF, "target": target, "ifExists": "Replace"})
        await settle()

    play(story, mine)
    assert records == [{"id": OTHER_ID, "digest": OTHER_DIGEST}]
    assert mine.status(IMAGE_TAG, "tag")["phase"] == "Succeeded"


def test_a_fault_of_our_own_is_survived(caplog: pytest.LogCaptureFixture) -> None:
    """The object is looked at again after a pause, also when the API server does not serve it."""

    async def story(mine: OperatorBench) -> None:
        mine.faults[:] = [RuntimeError("oops"), unreachable()]
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(4.0)
        assert mine.status(IMAGE_PULL, "app") == {}
        await settle()

    mine = play(story, bench())
    assert mine.status(IMAGE_PULL, "app")["phase"] == "Succeeded"
    assert mine.count("controller_runtime_reconcile_total", controller="imagepull", result="error") == 2
    assert "a decision about ImagePull team/app failed" in caplog.text


def test_a_status_that_the_api_server_does_not_take_now_is_tried_again_later() -> None:
    """And one whose object has gone meanwhile ends all work for it."""

    async def story(mine: OperatorBench) -> None:
        mine.api.script = [api_error(401, "Unauthorized"), api_error(409, "Conflict")]
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle()
        assert mine.status(IMAGE_PULL, "app")["phase"] == "Succeeded"
        mine.engine.during["pull"] = mine.api.objects.clear
        mine.apply(IMAGE_PULL, "app", SPEC | {"image": "registry.example/none:1"})
        await settle()
        assert [entry.gone for entry in mine.store] == [True]

    play(story, bench())


def test_a_push_after_a_restart_is_recognised_as_done() -> None:
    """The registry is asked first."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.images[REF] = local(REF)
        mine.apply(IMAGE_PUSH, "app", SPEC)
        await settle()
        assert mine.status(IMAGE_PUSH, "app")["conditions"][0]["reason"] == "AlreadyPushed"

    mine = play(story, bench())
    assert mine.engine.seen("push") == []
