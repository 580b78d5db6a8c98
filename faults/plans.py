"""What a plan is, and how it is numbered, found and judged."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from faults.director import Director
from faults.oracles import judge
from faults.reference import Reference
from faults.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a plan."""

    findings: tuple[str, ...] = ()
    """What is wrong, a sentence each; none: it passed."""
    reached: bool = True
    """Whether its fault took place. One that never came to it proves nothing."""
    crashes: int = 0
    seconds: float = 0.0
    measured: str = ""
    """A figure that people want to know, in a sentence."""
    operations: int = 0
    """Requests of its own that were judged one by one; 0 where the workload is judged as a whole."""
    covered: frozenset[str] = frozenset()
    """What it touched of all that its class has to cover."""

    @property
    def passed(self) -> bool:
        """Whether the fault took place and nothing is wrong."""
        return self.reached and not self.findings


class Plan(Protocol):
    """One fault at one point."""

    @property
    def number(self) -> int:
        """Its number, the same in every version."""
        ...

    @property
    def title(self) -> str:
        """What it does, in a few words."""
        ...

    async def run(self, world: World) -> Verdict:
        """Carry it out."""
        ...


@dataclass(frozen=True, slots=True)
class PlanClass:
    """Plans of one kind."""

    name: str
    first: int
    """The number of its first plan; 1,000 numbers belong to it."""
    meaning: str
    """A sentence for the report."""
    make: Callable[[Reference], Sequence[Plan]]
    covers: Callable[[], frozenset[str]] = frozenset
    """What its plans have to touch, all of them together."""
    alone: bool = False
    """Whether nothing may run beside a plan: it disturbs parts that others use too, or needs its share of them."""
    sampled: bool = True
    """Whether samples have plans of it; those that take long have tests of their own with a part of them."""


@dataclass(frozen=True, slots=True)
class WorkloadPlan:
    """Plays the workload with a director's fault, and asks all oracles."""

    number: int
    title: str
    director: Callable[[], Director]

    async def run(self, world: World) -> Verdict:
        """Play it."""
        began = time.monotonic()
        record = await world.play(self.director())
        return Verdict(
            findings=judge(record, world.clean),
            reached=record.struck is not None,
            crashes=record.crashes,
            seconds=round(time.monotonic() - began, 1),
        )


def sample(plans: Sequence[Plan], count: int, seed: int) -> list[Plan]:
    """Return so many of the plans, the same ones for the same seed, in order."""
    chosen = random.Random(seed).sample(list(plans), min(count, len(plans)))  # noqa: S311 - it guards nothing
    return sorted(chosen, key=lambda plan: plan.number)
