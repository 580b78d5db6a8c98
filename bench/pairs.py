"""Judge figures that two commits were measured for in turn: what else a machine does meets both sides of a pair."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich import box
from rich.table import Table

BAR = 0.03
"""The share by which a figure may grow and still count as the same."""
LEAST_PAIRS = 15
"""Fewer give an interval that a few disturbed pairs make too wide to tell anything."""
_CONFIDENCE = 0.95


class Verdict(StrEnum):
    """What the pairs say of a figure; all figures are times, so more is worse."""

    WORSE = "worse"
    BETTER = "better"
    NOT_WORSE = "not worse"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure by both commits, one number of each in a pair."""

    name: str
    unit: str
    old: Sequence[float]
    new: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """How many times as long the new commit took, by pair."""
        return [new / old for old, new in zip(self.old, self.new, strict=True)]

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the median ratio."""
        return median_interval(self.ratios)

    @property
    def verdict(self) -> Verdict:
        """Say worse, or better, only if the interval lies wholly beyond the bar."""
        low, high = self.interval
        if low > 1 + BAR:
            return Verdict.WORSE
        if high < 1 / (1 + BAR):
            return Verdict.BETTER
        return Verdict.NOT_WORSE


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the narrowest pair of order statistics, alike from both ends, that holds the median with 95 % at least.

    So it rests on no form of the distribution: each value lies above the true median with a chance of one half, so the
    k smallest and the k largest leave it out as often as a coin shows heads fewer than k times.

    Raises:
        ValueError: There are so few values that even all of them do not hold it that surely.

    """
    ordered, count = sorted(values), len(values)
    tail, cut = 0.0, 0
    while 2 * (tail := tail + math.comb(count, cut) / 2**count) <= 1 - _CONFIDENCE:
        cut += 1
    if not cut:
        msg = f"{count} values do not hold their median with {_CONFIDENCE:.0%}"
        raise ValueError(msg)
    return ordered[cut - 1], ordered[count - cut]


def comparisons_table(comparisons: Sequence[Comparison]) -> Table:
    """Show the verdicts."""
    columns = ("what", "pairs", "unit", "old P50", "new P50", "new / old", "95 % interval", "verdict")
    table = Table(*columns, title="New against old", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for each in comparisons:
        low, high = each.interval
        table.add_row(
            each.name,
            str(len(each.ratios)),
            each.unit,
            f"{statistics.median(each.old):.2f}",
            f"{statistics.median(each.new):.2f}",
            f"{statistics.median(each.ratios):.3f}",
            f"{low:.3f} - {high:.3f}",
            each.verdict,
        )
    return table


def raw_lines(comparison: Comparison) -> list[str]:
    """Return both sides' numbers in the order of the pairs."""
    sides = {"old": comparison.old, "new": comparison.new}
    return [f"{comparison.name.strip()}, {side}: {' '.join(f'{one:.2f}' for one in sides[side])}" for side in sides]
