"""List the classes of plans, and find plans by number."""

from __future__ import annotations

from collections.abc import Sequence

from faults import (
    answers,
    api_outage,
    crash,
    daemon_killed,
    daemon_lies,
    failover,
    liveness,
    patience,
    registry_refusals,
    stale,
    unobserved,
)
from faults.plans import Plan, PlanClass
from faults.reference import Reference
from faults.schema import plans as schema_plans

CLASSES: tuple[PlanClass, ...] = (
    crash.CLASS,
    unobserved.CLASS,
    stale.CLASS,
    answers.CLASS,
    failover.CLASS,
    liveness.CLASS,
    daemon_killed.CLASS,
    registry_refusals.CLASS,
    daemon_lies.CLASS,
    api_outage.CLASS,
    patience.CLASS,
    schema_plans.CLASS,
)


def all_plans(reference: Reference) -> dict[PlanClass, Sequence[Plan]]:
    """Make all plans of all classes."""
    return {each: each.make(reference) for each in CLASSES}
