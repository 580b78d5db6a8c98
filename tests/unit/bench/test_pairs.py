from __future__ import annotations

import random
import statistics
from collections.abc import Sequence

import pytest

from bench import against
from bench.__main__ import main
from bench.against import comparisons
from bench.pairs import LEAST_PAIRS, Comparison, Verdict, median_interval, raw_lines


def compared(ratios: Sequence[float]) -> Comparison:
    """Return a figure whose pairs have these ratios, on a machine that becomes slower and slower."""
    old = [100.0 * (pair + 1) for pair in range(len(ratios))]
    return Comparison("a thing", "ms", old, [each * ratio for each, ratio in zip(old, ratios, strict=True)])


@pytest.mark.parametrize(("count", "low", "high"), [(6, 1, 6), (15, 4, 12), (20, 6, 15), (25, 8, 18), (100, 40, 61)])
def test_the_interval_is_that_of_the_tables(count: int, low: int, high: int) -> None:
    """The ranks are those that tables of the sign test give for 95 %."""
    assert median_interval(range(count, 0, -1)) == (low, high)


def test_too_few_values_have_no_interval() -> None:
    """Five can all lie on one side of their median by chance, once in sixteen times."""
    with pytest.raises(ValueError, match="5 values"):
        median_interval([1.0] * 5)


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    """Of 2,000 samples of a lopsided distribution, 95 % at least have its median in their interval."""
    draw = random.Random(7)  # noqa: S311 - the same numbers in each run
    intervals = [median_interval([draw.lognormvariate(0, 1) for _ in range(LEAST_PAIRS)]) for _ in range(2_000)]
    assert 0.95 <= statistics.mean(low <= 1 <= high for low, high in intervals) <= 0.98


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([1.04] * 15, Verdict.WORSE),
        ([1.04] * 12 + [0.5] * 3, Verdict.WORSE),
        ([1.04] * 11 + [1.02] * 4, Verdict.NOT_WORSE),
        ([1.02] * 15, Verdict.NOT_WORSE),
        ([1.0] * 4 + [1.5] * 11, Verdict.NOT_WORSE),
        ([0.98] * 15, Verdict.NOT_WORSE),
        ([0.9] * 15, Verdict.BETTER),
    ],
    ids=["by 4 %", "three outliers", "interval meets the bar", "by 2 %", "torn", "a little better", "better"],
)
def test_worse_is_said_only_of_an_interval_wholly_beyond_the_bar(ratios: list[float], verdict: Verdict) -> None:
    """Neither a few outliers nor a machine that slows down decide, as each number is held against its own pair's."""
    assert compared(ratios).verdict is verdict


def test_both_sides_numbers_are_shown_in_the_order_of_the_pairs() -> None:
    """A reader can pair them again."""
    assert raw_lines(Comparison("  a part", "ms", [2, 1], [3, 4])) == [
        "a part, old: 2.00 1.00",
        "a part, new: 3.00 4.00",
    ]


def test_what_one_side_alone_measures_is_said_and_not_judged() -> None:
    """A figure that was added, or is told in another unit, has nothing to be held against."""
    old = [{("a", "ms"): 1.0, ("b", "ms"): 5.0}, {("a", "ms"): 2.0, ("b", "ms"): 5.0}]
    new = [{("a", "ms"): 3.0, ("c", "ms"): 5.0}, {("a", "ms"): 4.0, ("c", "ms"): 5.0}]
    said: list[str] = []
    assert comparisons(old, new, said.append) == [Comparison("a", "ms", [1.0, 2.0], [3.0, 4.0])]
    assert sorted(said) == ["only one side measures: b", "only one side measures: c"]


@pytest.mark.parametrize(("grown", "status"), [(1.1, 1), (1.0, 0), (0.8, 0)], ids=["worse", "same", "better"])
def test_the_exit_status_tells_of_a_figure_that_became_worse(
    grown: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One is enough; both sides' numbers are printed either way."""
    found = [compared([1.0] * LEAST_PAIRS), compared([grown] * LEAST_PAIRS)]
    monkeypatch.setattr(against, "compare", lambda *_: found)
    assert main(["--base", "a-commit"]) == status
    shown = capsys.readouterr().out
    assert f"{found[1].verdict} " in shown
    assert shown.count("a thing, old: 100.00 200.00") == 2


def test_a_commit_that_is_not_there_is_no_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status is neither that of a worse figure nor that of none."""
    assert main(["--base", "no-such-commit"]) == 2
    assert "no-such-commit" in capsys.readouterr().out


@pytest.mark.parametrize("pairs", ["14", "-20", "many"])
def test_fewer_pairs_than_tell_anything_are_refused(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is measured."""
    with pytest.raises(SystemExit):
        main(["--base", "HEAD", "--pairs", pairs])
    assert "15 pairs at least" in capsys.readouterr().err
