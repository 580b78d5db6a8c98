from __future__ import annotations

import asyncio

import pytest

from imageops.telemetry.watch_liveness import CLIENT_SECONDS, DEAD_SECONDS, SERVER_SECONDS, WatchLiveness
from tests.support.virtual_time import run


def test_the_times_follow_from_each_other() -> None:
    """A living watch is asked for anew by the API server's leave, a silent one by ours, and both before it is dead."""
    assert SERVER_SECONDS < CLIENT_SECONDS < DEAD_SECONDS < 90


@pytest.mark.feature("health.liveness")
def test_a_watch_without_an_answer_is_dead_and_lives_again_with_the_next() -> None:
    """Each kind for itself, from when it was first expected."""

    async def story() -> None:
        answers = WatchLiveness()
        await asyncio.sleep(1000)
        assert answers.dead() == []
        answers.expect(["imagepulls", "sessions"])
        await asyncio.sleep(DEAD_SECONDS - 1)
        answers.answered("sessions", None, None)
        answers.answered("version", None, None)
        assert answers.dead() == []
        await asyncio.sleep(1)
        assert answers.dead() == ["imagepulls"]
        answers.answered("imagepulls", None, None)
        assert answers.dead() == []
        await asyncio.sleep(DEAD_SECONDS)
        assert answers.dead() == ["imagepulls", "sessions"]
        answers.expect(())
        assert answers.dead() == []

    run(story())


def test_a_watch_has_begun_with_the_first_answer_that_is_no_refusal() -> None:
    """Each kind for itself, and anew when the kinds are expected anew."""
    answers = WatchLiveness()
    answers.expect(["imagepulls", "sessions"])
    for refusal in (None, 403, 500):
        answers.answered("imagepulls", None, refusal)
        assert answers.awaited() == ["imagepulls", "sessions"]
    answers.answered("imagepulls", None, 200)
    assert answers.awaited() == ["sessions"]
    answers.answered("sessions", None, 200)
    answers.answered("sessions", None, None)
    assert answers.awaited() == []
    answers.expect(["imagepulls"])
    assert answers.awaited() == ["imagepulls"]


@pytest.mark.feature("health.unreadable")
def test_a_namespace_that_may_not_be_read_holds_up_none_that_may(caplog: pytest.LogCaptureFixture) -> None:
    """It is named, and logged once when the rights go and when they are back; with none at all nothing begins."""
    answers = WatchLiveness()
    answers.expect(["imagepulls", "sessions"], ["team-a", "team-b"])
    for kind in ("imagepulls", "sessions"):
        answers.answered(kind, "team-b", 403)
    assert answers.awaited() == ["imagepulls", "sessions"]
    answers.answered("imagepulls", "team-a", 200)
    assert answers.awaited() == ["sessions"]
    answers.answered("sessions", "team-a", 200)
    answers.answered("sessions", "team-c", 403)
    for _ in range(100):
        answers.answered("imagepulls", "team-b", 403)
    assert (answers.awaited(), answers.refused()) == ([], ("namespace team-b",))
    answers.answered("imagepulls", "team-b", 500)
    assert answers.refused() == ("namespace team-b",)
    for kind in ("imagepulls", "sessions"):
        answers.answered(kind, "team-b", 200)
    assert answers.refused() == ()
    answers.answered("sessions", "team-a", 403)
    assert (answers.awaited(), answers.refused()) == ([], ("namespace team-a",))
    told = [record.getMessage().split(";")[0] for record in caplog.records if record.levelname == "WARNING"]
    assert told == [f"no right to list and watch in namespace team-{one}" for one in "ba"]


def test_a_watch_that_broke_is_told_of_by_its_kind() -> None:
    """For the metric."""
    broken: list[str] = []
    answers = WatchLiveness(broken.append)
    answers.failed("sessions")
    assert broken == ["sessions"]
    WatchLiveness().failed("sessions")
