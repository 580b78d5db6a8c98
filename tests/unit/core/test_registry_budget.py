from __future__ import annotations

from imageops.core.registry_budget import PROBE_WAIT_SECONDS, RegistryBudget
from imageops.core.token_bucket import TokenBucket


def budget(*, rate: float = 2.0, burst: float = 4.0) -> RegistryBudget:
    """Make a budget at the moment 0."""
    return RegistryBudget(TokenBucket.full(rate, burst, 0.0))


def test_a_burst_is_served_and_then_the_rate() -> None:
    """Who is too many learns when to ask again."""
    mine = budget()
    assert [mine.enter(str(number), 0.0) for number in range(5)] == [0, 0, 0, 0, 0.5]
    assert mine.enter("4", 0.5) == 0
    assert mine.enter("5", 0.5) == 0.5
    assert not mine.idle(0.5)
    assert mine.idle(60.0)


def test_a_quiet_time_saves_up_no_more_than_a_burst() -> None:
    """However long it was."""
    mine = budget()
    assert [mine.enter(str(number), 1000.0) for number in range(5)][-1] == 0.5


def test_a_429_pauses_from_60_seconds_doubling_to_15_minutes() -> None:
    """Each pause follows from one that goes ahead and is refused again."""
    mine, now, lengths = budget(), 0.0, []
    for _ in range(6):
        assert mine.enter("a", now) == 0
        lengths.append(mine.refused(now, told=None))
        assert mine.enter("b", now) == lengths[-1]
        assert mine.enter("b", now + 1) == lengths[-1] - 1
        now += lengths[-1]
    assert lengths == [60, 120, 240, 480, 900, 900]
    assert not mine.idle(now)


def test_a_told_wait_counts_within_its_limits() -> None:
    """From a second to 15 minutes, longer or shorter than our own; without one our own doubles on."""
    assert [budget().refused(0.0, told=told) for told in (0.2, 7.0, 300.0, 5000.0)] == [1, 7, 300, 900]
    mine = budget()
    assert mine.refused(0.0, told=None) == 60
    assert mine.refused(60.0, told=7.0) == 7
    assert mine.refused(67.0, told=None) == 60


def test_those_under_way_when_a_pause_begins_do_not_lengthen_it() -> None:
    """Ten refusals of one second are one."""
    mine = budget()
    assert mine.refused(0.0, told=None) == 60
    assert mine.refused(10.0, told=None) == 50
    mine.passed(20.0)
    assert mine.enter("b", 30.0) == 30


def test_after_a_pause_one_goes_ahead() -> None:
    """The others wait for it; if it gets through they all may."""
    mine = budget()
    mine.refused(0.0, told=None)
    assert mine.enter("first", 60.0) == 0
    assert mine.enter("second", 60.0) == PROBE_WAIT_SECONDS
    assert mine.enter("first", 61.0) == 0
    mine.passed(62.0)
    assert mine.enter("second", 62.0) == 0


def test_one_that_ends_without_an_answer_lets_another_go_ahead() -> None:
    """Its leaving is no verdict; that of somebody else changes nothing."""
    mine = budget()
    mine.refused(0.0, told=None)
    assert mine.enter("first", 60.0) == 0
    mine.left("second")
    assert mine.enter("second", 60.0) == PROBE_WAIT_SECONDS
    mine.left("first")
    assert mine.enter("second", 60.0) == 0
