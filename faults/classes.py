"""List the classes of plans, and find plans by number."""

from __future__ import annotations

from collections.abc import Sequence

from faults import answers, crash, failover, liveness, stale, unobserved
from faults.plans import Plan, PlanClass
from faults.reference import Reference

CLASSES: tuple[PlanClass, ...] = (
    crash.CLASS,
    unobserved.CLASS,
    stale.CLASS,
    answers.CLASS,
    failover.CLASS,
    liveness.CLASS,
)


def all_plans(reference: Reference) -> dict[PlanClass, Sequence[Plan]]:
    """Make all plans of all classes."""
    return {each: each.make(reference) for each in CLASSES}
