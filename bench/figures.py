"""Turn samples into percentiles, and percentiles into a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to stay under."""

    percentile: int
    limit: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured many times."""

    name: str
    unit: str
    samples: Sequence[float]
    clock: str
    """What is inside the clock, and what is not."""
    goal: Goal | None = None

    def percentile(self, percent: int) -> float:
        """Return the nearest-rank percentile: the smallest sample that so many percent of all do not exceed."""
        ordered = sorted(self.samples)
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]

    @property
    def verdict(self) -> str:
        """Say whether the goal was met; empty where there is none."""
        if self.goal is None:
            return ""
        met = self.percentile(self.goal.percentile) < self.goal.limit
        return f"{'met' if met else 'MISSED'}: P{self.goal.percentile} < {self.goal.limit:g}"

    def document(self) -> dict[str, object]:
        """Return the figure with every raw sample, as JSON can hold it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "clock": self.clock,
            "goal": self.verdict,
            "percentiles": {f"P{percent}": self.percentile(percent) for percent in PERCENTILES},
            "samples": list(self.samples),
        }


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure measured against another, at the median."""

    name: str
    ours: Figure
    bare: Figure
    limit: float

    @property
    def value(self) -> float:
        """Return how many times as long ours took."""
        return self.ours.percentile(50) / self.bare.percentile(50)

    @property
    def verdict(self) -> str:
        """Say whether the goal was met."""
        return f"{'met' if self.value < self.limit else 'MISSED'}: ratio of P50 < {self.limit:g}"


def figures_table(title: str, figures: Sequence[Figure]) -> Table:
    """Show figures; what is inside each clock stands below them."""
    columns = ("what", "n", "unit", *(f"P{percent}" for percent in PERCENTILES), "goal")
    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for figure in figures:
        values = (f"{figure.percentile(percent):.2f}" for percent in PERCENTILES)
        table.add_row(figure.name, str(len(figure.samples)), figure.unit, *values, figure.verdict)
    return table


def ratios_table(ratios: Sequence[Ratio]) -> Table:
    """Show ratios with both sides."""
    columns = ("what", "ours P50", "bare P50", "ratio", "goal")
    table = Table(*columns, title="Ratios", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for ratio in ratios:
        sides = (f"{side.percentile(50):.2f} {side.unit}" for side in (ratio.ours, ratio.bare))
        table.add_row(ratio.name, *sides, f"{ratio.value:.2f}", ratio.verdict)
    return table
