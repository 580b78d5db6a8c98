from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from imageops.api.base import to_wire
from imageops.api.kinds import IMAGE_PULL
from imageops.api.status import OperationStatus, Progress
from imageops.cluster.objects import ObjectKey
from imageops.cluster.status_writer import (
    REPORTS_PER_SECOND,
    Basis,
    GoneError,
    RefusedError,
    StaleError,
    StatusWriter,
)
from imageops.core.progress import PROGRESS_PERIOD_SECONDS
from tests.support.scripted_api import ScriptedApi, api_error, unreachable
from tests.support.virtual_time import run


def progress(percent: int) -> OperationStatus:
    """Make a status that differs from others."""
    return OperationStatus(run=1, progress=Progress(percent=percent))


class Bench:
    """A writer, its API server, and what it told."""

    def __init__(self, *, objects: int = 1) -> None:
        self.api = ScriptedApi()
        self.counted: list[str] = []
        self.written: list[tuple[str, OperationStatus, str]] = []
        self.keys = [self.key(f"app-{number}") for number in range(objects)]
        api: Any = self.api
        self.writer = StatusWriter(
            api,
            written=lambda key, status, stored: self.written.append(
                (key.name, status, stored["metadata"]["resourceVersion"]),  # type: ignore[arg-type]
            ),
            counted=lambda _, result: self.counted.append(result),
        )

    def key(self, name: str) -> ObjectKey:
        """Make an object and return its key."""
        path = f"/apis/imageops.dev/v1alpha1/namespaces/team/imagepulls/{name}"
        body = self.api.put(path, {"spec": {}})
        return ObjectKey(IMAGE_PULL, "team", name, body["metadata"]["uid"])

    def version(self, key: ObjectKey) -> str:
        """Return the version of an object."""
        return str(self.api.objects[str(key.path)]["metadata"]["resourceVersion"])

    async def commit(self, status: OperationStatus, *, basis: str | None = None, void: bool = False) -> None:
        """Commit on the present version, or on another."""
        key = self.keys[0]
        await self.writer.commit(key, status, basis=lambda: None if void else Basis(basis or self.version(key)))

    def report(
        self,
        status: OperationStatus,
        key: ObjectKey | None = None,
        *,
        basis: str | None = None,
        held: OperationStatus | None = None,
    ) -> None:
        """Report on the version that is present when it is written, or on another; `-` is a void decision."""
        about = key or self.keys[0]
        self.writer.report(
            about,
            status,
            basis=lambda: None if basis == "-" else Basis(basis or self.version(about), held),
            failed=lambda error: self.counted.append(type(error).__name__),
        )

    @property
    def percents(self) -> list[int]:
        """The statuses in the order in which they were asked to be stored."""
        return [request.body[-1]["value"]["progress"]["percent"] for request in self.api.of("PATCH")]


def play(story: Callable[[Bench], Awaitable[None]], *, objects: int = 1) -> Bench:
    """Run a story in virtual time."""

    async def told() -> Bench:
        bench = Bench(objects=objects)
        await story(bench)
        await bench.writer.close()
        return bench

    return run(told())


def test_every_write_tests_the_uid_first() -> None:
    """Then the version; the whole status comes last."""

    async def story(bench: Bench) -> None:
        versions = [bench.version(bench.keys[0])]
        await bench.commit(progress(1))
        versions.append(bench.version(bench.keys[0]))
        bench.report(progress(2))
        await asyncio.sleep(10)
        assert [request.body for request in bench.api.of("PATCH")] == [
            [
                {"op": "test", "path": "/metadata/uid", "value": bench.keys[0].uid},
                {"op": "test", "path": "/metadata/resourceVersion", "value": version},
                {"op": "add", "path": "/status", "value": to_wire(progress(number))},
            ]
            for number, version in enumerate(versions, start=1)
        ]

    bench = play(story)
    assert {request.path for request in bench.api.of("PATCH")} == {f"{bench.keys[0].path}/status"}
    assert (bench.counted, [status for _, status, _ in bench.written]) == (["ok", "ok"], [progress(1), progress(2)])


def test_progress_is_written_alone_where_all_the_rest_is_known_to_be_there() -> None:
    """What comes out is the same; where anything else differs, or nobody knows, the whole status is written."""
    held = progress(1)
    steps: list[tuple[OperationStatus, OperationStatus | None, str]] = [
        (held, None, "/status"),
        (progress(2), held, "/status/progress"),
        (progress(3), None, "/status"),
        (progress(4).model_copy(update={"run": 2}), progress(3), "/status"),
        (OperationStatus(run=2), progress(4).model_copy(update={"run": 2}), "/status"),
        (progress(5).model_copy(update={"run": 2}), OperationStatus(run=2), "/status/progress"),
    ]

    async def story(bench: Bench) -> None:
        for status, before, path in steps:
            bench.report(status, held=before)
            await asyncio.sleep(3)
            assert bench.api.of("PATCH")[-1].body[-1]["path"] == path
            assert bench.api.objects[str(bench.keys[0].path)]["status"] == to_wire(status)

    assert play(story).counted == ["ok"] * len(steps)


def test_an_object_is_written_from_the_sending_to_the_answer() -> None:
    """A commit also between its tries; a report that waits for its next try is not on its way."""

    async def story(bench: Bench) -> None:
        uid = bench.keys[0].uid
        seen = [bench.writer.is_writing(uid)]
        bench.api.delay = 1.0
        bench.api.script = [None, unreachable(), None, unreachable()]
        bench.report(progress(1))
        await asyncio.sleep(0.5)
        seen.append(bench.writer.is_writing(uid))
        bench.report(progress(2))
        await asyncio.sleep(1.0)
        seen.append(bench.writer.is_writing(uid))
        await asyncio.sleep(3.0)  # the second report was not answered, and waits
        seen.append(bench.writer.is_writing(uid))
        await asyncio.sleep(10.0)
        commit = asyncio.create_task(bench.commit(progress(3)))
        await asyncio.sleep(1.05)
        seen.append(bench.writer.is_writing(uid))
        await commit
        seen.append(bench.writer.is_writing(uid))
        assert seen == [False, True, False, False, True, False]

    play(story)


def test_a_status_that_is_sent_again_and_again_is_kept_once() -> None:
    """However often it is tried, those that were sent before it are still known; a refusal forgets no earlier try."""

    async def story(bench: Bench) -> None:
        uid = bench.keys[0].uid
        bench.api.script = [unreachable(), *[api_error(503)] * 12, api_error(409, "Conflict")]
        bench.report(progress(1))
        await asyncio.sleep(0.01)
        with pytest.raises(StaleError):
            await bench.commit(progress(2))
        assert [bench.writer.has_sent(uid, to_wire(progress(number))) for number in (1, 2, 3)] == [True, True, False]

    play(story)


def test_a_commit_leaves_nothing_of_an_object_that_is_gone() -> None:
    """Also if it was forgotten while the commit was being tried."""

    async def story(bench: Bench) -> None:
        bench.api.script = [unreachable(), api_error(404, "NotFound")]
        commit = asyncio.create_task(bench.commit(progress(1)))
        await asyncio.sleep(0.01)
        bench.writer.forget(bench.keys[0].uid)
        with pytest.raises(GoneError):
            await commit
        assert bench.writer._queues == {}

    play(story)


def test_a_status_never_lands_on_a_successor_of_the_same_name() -> None:
    """Neither committed nor reported."""

    async def story(bench: Bench) -> None:
        bench.api.put(bench.keys[0].path, {"metadata": {"uid": "another"}})
        with pytest.raises(StaleError):
            await bench.commit(progress(1))
        bench.report(progress(2))
        await asyncio.sleep(10)
        assert "status" not in bench.api.objects[str(bench.keys[0].path)]

    bench = play(story)
    assert (bench.counted, bench.written) == (["stale", "stale", "StaleError"], [])


@pytest.mark.parametrize(
    ("refusal", "error", "result"),
    [
        (api_error(409, "Conflict"), StaleError, "stale"),
        (api_error(422, "Invalid"), StaleError, "stale"),
        (api_error(404, "NotFound"), GoneError, "gone"),
        (api_error(422, "Invalid", caused=True), RefusedError, "refused"),
        (api_error(403, "Forbidden"), RefusedError, "refused"),
    ],
)
def test_a_commit_says_why_it_was_not_stored(refusal: Any, error: type[Exception], result: str) -> None:
    """Once, without another try."""

    async def story(bench: Bench) -> None:
        bench.api.script = [refusal]
        with pytest.raises(error):
            await bench.commit(progress(1))

    bench = play(story)
    assert (bench.counted, len(bench.api.of("PATCH")), bench.written) == ([result], 1, [])


def test_a_commit_is_void_if_its_basis_is_gone() -> None:
    """Nothing is sent."""

    async def story(bench: Bench) -> None:
        with pytest.raises(StaleError):
            await bench.commit(progress(1), void=True)

    assert play(story).api.of("PATCH") == []


def test_a_commit_is_tried_until_the_api_server_answers() -> None:
    """With growing pauses, at least as long as the server asks, and at most 5 s otherwise."""

    async def story(bench: Bench) -> None:
        asked = api_error(429, "TooManyRequests", retry_after=30.0)
        bench.api.script = [unreachable(), api_error(500), api_error(503), asked, *[unreachable()] * 12]
        await bench.commit(progress(1))

    bench = play(story)
    assert bench.counted == [*["retried"] * 16, "ok"]
    times = [request.at for request in bench.api.of("PATCH")]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert [0.05 <= pauses[0] <= 0.1, 0.1 <= pauses[1] <= 0.2, 0.2 <= pauses[2] <= 0.4] == [True] * 3
    assert pauses[3] == pytest.approx(30.0)
    assert all(2.5 <= pause <= 5.0 for pause in pauses[8:])


def test_a_thousand_reports_in_a_second_are_one_write_in_two() -> None:
    """The newest of them each time, and the last one in the end."""

    async def story(bench: Bench) -> None:
        for number in range(10_000):
            bench.report(progress(number // 100))
            await asyncio.sleep(0.001)
        await asyncio.sleep(5)

    bench = play(story)
    times = [request.at for request in bench.api.of("PATCH")]
    assert min(later - earlier for earlier, later in pairwise(times)) >= PROGRESS_PERIOD_SECONDS
    assert len(times) == 6
    assert bench.percents == sorted(bench.percents)
    assert bench.percents[-1] == 99


def test_a_slow_api_server_has_one_report_in_flight_and_gets_the_newest() -> None:
    """Nobody waits for it: reporting takes no time."""

    async def story(bench: Bench) -> None:
        bench.api.delay = 3.0
        began = asyncio.get_running_loop().time()
        for number in range(100):
            bench.report(progress(number))
        assert asyncio.get_running_loop().time() == began
        await asyncio.sleep(1.0)
        bench.report(progress(100))
        assert len(bench.api.of("PATCH")) == 1
        await asyncio.sleep(20.0)

    bench = play(story)
    assert bench.percents == [99, 100]


def test_a_commit_comes_after_the_report_in_flight_and_drops_the_waiting_one() -> None:
    """So an older progress never stands over a newer end."""

    async def story(bench: Bench) -> None:
        bench.api.delay = 3.0
        bench.report(progress(1))
        await asyncio.sleep(1.0)
        bench.report(progress(2))
        await bench.commit(progress(3))
        await asyncio.sleep(20.0)
        assert bench.api.objects[str(bench.keys[0].path)]["status"] == to_wire(progress(3))

    assert play(story).percents == [1, 3]


@pytest.mark.feature("status.recreated")
def test_a_report_that_fails_while_a_commit_waits_is_not_tried_again() -> None:
    """It would put an older progress over the end."""

    async def story(bench: Bench) -> None:
        bench.api.delay = 3.0
        bench.api.script = [unreachable()]
        bench.report(progress(1))
        await asyncio.sleep(1.0)
        await bench.commit(progress(2))
        await asyncio.sleep(20.0)
        assert bench.api.objects[str(bench.keys[0].path)]["status"] == to_wire(progress(2))

    assert play(story).percents == [1, 2]


def test_a_report_that_failed_is_tried_again_unless_a_newer_one_has_come() -> None:
    """One that was refused for good is dropped."""

    async def story(bench: Bench) -> None:
        bench.api.script = [unreachable()]
        bench.report(progress(1))
        await asyncio.sleep(30.0)
        bench.api.script = [unreachable()]
        bench.api.delay = 1.0
        bench.report(progress(2))
        await asyncio.sleep(0.5)
        bench.report(progress(3))
        await asyncio.sleep(30.0)
        bench.api.script = [api_error(403, "Forbidden")]
        bench.report(progress(4))
        await asyncio.sleep(30.0)

    bench = play(story)
    assert bench.percents == [1, 1, 2, 3, 4]
    assert bench.counted == ["retried", "ok", "retried", "ok", "refused", "RefusedError"]


def test_a_report_on_an_old_version_is_refused_and_told() -> None:
    """So is no void one, which is not sent; the next one is written."""

    async def story(bench: Bench) -> None:
        bench.report(progress(1), basis="1")
        await asyncio.sleep(10.0)
        bench.report(progress(2), basis="-")
        await asyncio.sleep(10.0)
        bench.report(progress(3))
        await asyncio.sleep(10.0)

    bench = play(story)
    assert bench.percents == [1, 3]
    assert bench.counted == ["stale", "StaleError", "ok"]
    assert [status for _, status, _ in bench.written] == [progress(3)]


def test_a_dropped_report_is_not_written() -> None:
    """Dropping what nobody knows is nothing."""

    async def story(bench: Bench) -> None:
        bench.writer.drop("nobody")
        bench.report(progress(1))
        bench.writer.drop(bench.keys[0].uid)
        await asyncio.sleep(10.0)

    assert play(story).percents == []


def test_a_status_that_was_sent_and_not_answered_is_known_again() -> None:
    """Until one is answered; what was refused, or never sent, is not."""

    async def story(bench: Bench) -> None:
        key = bench.keys[0]

        def known() -> list[int]:
            return [number for number in range(5) if bench.writer.has_sent(key.uid, to_wire(progress(number)))]

        assert known() == []
        bench.api.script = [unreachable(), unreachable(), api_error(409, "Conflict")]
        bench.report(progress(1))
        await asyncio.sleep(0.01)
        assert known() == [1]
        bench.report(progress(2))
        await asyncio.sleep(2.5)
        assert known() == [1, 2]
        await asyncio.sleep(10.0)
        assert known() == [1, 2]  # the last try was refused, the one before may yet be stored
        await bench.commit(progress(3))
        assert known() == []

    play(story)


def test_all_objects_together_keep_the_budget() -> None:
    """A thousand of them report all the time; ends are not held back."""

    async def story(bench: Bench) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        for number in range(40):
            for key in bench.keys:
                bench.report(progress(number), key)
            await asyncio.sleep(0.25)
        asked = clock()
        await bench.commit(progress(99))
        assert clock() == asked
        assert len(bench.api.of("PATCH")) <= 50 + REPORTS_PER_SECOND * (asked - began + 1)

    bench = play(story, objects=1000)
    assert len(bench.api.of("PATCH")) > 400


def test_an_object_at_rest_is_forgotten_and_a_busy_one_is_not() -> None:
    """Forgetting one that nobody knows is nothing."""

    async def story(bench: Bench) -> None:
        key = bench.keys[0]
        bench.writer.forget(key.uid)
        bench.report(progress(1))
        bench.writer.forget(key.uid)
        assert list(bench.writer._queues) == [key.uid]
        await asyncio.sleep(10.0)
        bench.writer.forget(key.uid)
        assert bench.writer._queues == {}

    play(story)


def test_closing_stops_what_waits_to_be_reported() -> None:
    """No task is left behind."""

    async def story(bench: Bench) -> None:
        bench.report(progress(1))
        await asyncio.sleep(1.0)
        bench.report(progress(2))
        await bench.writer.close()
        await asyncio.sleep(10.0)

    assert play(story).percents == [1]


@pytest.mark.feature("fault.no-twice")
@pytest.mark.parametrize("sent", [1, 8, 9, 90])
def test_every_status_that_was_sent_without_an_answer_is_known_again(sent: int) -> None:
    """The API server may have stored any of them; an answer ends the doubt, and no other status is taken for one."""

    async def story(bench: Bench) -> None:
        uid = bench.keys[0].uid
        bench.api.script = [unreachable()] * 10_000
        for number in range(sent):
            bench.report(progress(number))
            await asyncio.sleep(20.0)
        known = [bench.writer.has_sent(uid, to_wire(progress(number))) for number in range(sent)]
        assert (all(known), bench.writer.has_sent(uid, to_wire(progress(sent + 1)))) == (True, False)
        bench.api.script.clear()
        await asyncio.sleep(20.0)
        assert not any(bench.writer.has_sent(uid, to_wire(progress(number))) for number in range(sent))

    play(story)
