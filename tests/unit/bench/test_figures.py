from __future__ import annotations

import pytest

from bench.figures import Figure, Goal, Ratio


def figure(*samples: float, goal: Goal | None = None) -> Figure:
    """Return a figure of these samples."""
    return Figure("a thing", "ms", samples, "all of it", goal)


@pytest.mark.parametrize(
    ("count", "percent", "expected"), [(1, 99, 1), (5, 50, 3), (20, 95, 19), (100, 95, 95), (101, 95, 96)]
)
def test_percentiles_are_nearest_rank(count: int, percent: int, expected: float) -> None:
    """Every percentile is a sample that was measured."""
    assert figure(*range(count, 0, -1)).percentile(percent) == expected


def test_a_missed_goal_is_marked() -> None:
    """The report says so, and nothing fails."""
    assert figure(1, 2, 3, goal=Goal(95, 3.5)).verdict == "met: P95 < 3.5"
    assert figure(1, 2, 3, goal=Goal(95, 3.0)).verdict == "MISSED: P95 < 3"


def test_a_ratio_compares_medians() -> None:
    """One slow outlier on either side does not decide."""
    ratio = Ratio("a thing", ours=figure(3, 3, 90), bare=figure(2, 2, 2), limit=2)
    assert (ratio.value, ratio.verdict) == (1.5, "met: ratio of P50 < 2")


def test_all_samples_are_kept_with_what_the_clock_covers() -> None:
    """A reader can compute other percentiles."""
    document = figure(2, 1).document()
    assert document["samples"] == [2, 1]
    assert document["clock"] == "all of it"
