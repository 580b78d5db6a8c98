"""A fixed part of the plans, drawn by a seed, on the development cluster; `make faults` runs them all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from devcluster import env
from devcluster.install import install
from faults.classes import all_plans
from faults.plans import Plan, PlanClass, Verdict, sample
from faults.planted import PLANTED
from faults.record import Record
from faults.reference import Reference
from faults.running import carry_out, worlds
from faults.world import World

pytestmark = pytest.mark.integration

COUNT, SEED, LANES = 60, 1, 3
SAMPLED = frozenset({"crash", "unobserved", "stale", "answers"})
"""The classes whose plans take seconds."""


@pytest.mark.feature(
    "fault.crash-plans",
    "fault.stale-plans",
    "fault.no-twice",
    "session.no-twin-child",
    "resume.interrupted",
    "resume.already-done",
    "status.recreated",
    "status.consistent",
)
def test_a_sample_of_plans_has_no_findings() -> None:
    """Every one ends as an undisturbed run does; a few may not come to their fault, as progress is written by time."""
    cluster = env.load()
    install(Path(cluster.kubeconfig))
    everything = [
        (group, plan) for group, plans in all_plans(Reference.load()).items() if group.name in SAMPLED for plan in plans
    ]
    drawn = {plan.number for plan in sample([plan for _, plan in everything if not _is_slow(plan)], COUNT, SEED)}
    verdicts: dict[str, Verdict] = {}

    def told(_: PlanClass, plan: Plan, verdict: Verdict) -> None:
        verdicts[f"{plan.number} {plan.title}"] = verdict

    asyncio.run(carry_out(cluster, [one for one in everything if one[1].number in drawn], lanes=LANES, told=told))
    assert len(verdicts) == COUNT
    assert {title: verdict.findings for title, verdict in verdicts.items() if verdict.findings} == {}
    assert sum(verdict.reached for verdict in verdicts.values()) > COUNT * 0.8


@pytest.mark.feature("fault.oracles")
def test_each_planted_defect_is_brought_to_light() -> None:
    """By the oracle that is there for it."""
    found: dict[str, tuple[str, ...]] = {}
    missed: dict[str, str] = {}

    async def look() -> None:
        left = list(PLANTED)

        async def work(world: World) -> None:
            while left:
                planted = left.pop(0)
                found[planted.defect] = await planted.findings(world)
                if not found[planted.defect]:
                    missed[planted.defect] = _told(world.last)

        async with worlds(env.load(), LANES) as opened:
            await asyncio.gather(*(work(world) for world in opened))

    install(Path(env.load().kubeconfig))
    asyncio.run(look())
    assert missed == {}
    assert found.keys() == {one.defect for one in PLANTED}


def _told(record: Record | None) -> str:
    if record is None:
        return "no trial"
    return f"struck {record.struck}, {record.crashes} crashes, still waiting for {record.unfinished}"


def _is_slow(plan: Plan) -> bool:
    return "silent" in plan.title
