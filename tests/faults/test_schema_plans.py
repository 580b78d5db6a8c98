from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from devcluster import env
from devcluster.install import install
from faults.plans import Plan, PlanClass, Verdict, sample
from faults.reference import Reference
from faults.running import carry_out
from faults.schema.plans import CLASS

PLANS = 6
SEED = 1
OPERATIONS = 100


@pytest.mark.feature("fault.schema-plans")
def test_specs_change_and_change_back_on_a_live_operator() -> None:
    """A fixed sample: nothing crashes, all comes to rest with a reason, and what is put back ends as before."""
    cluster = env.load()
    install(Path(cluster.kubeconfig))
    verdicts: dict[int, Verdict] = {}

    def told(_: PlanClass, plan: Plan, verdict: Verdict) -> None:
        verdicts[plan.number] = verdict

    chosen = [(CLASS, plan) for plan in sample(CLASS.make(Reference.load()), PLANS, SEED)]
    asyncio.run(carry_out(cluster, chosen, lanes=2, told=told))
    assert {number: verdict.findings for number, verdict in verdicts.items() if verdict.findings} == {}
    assert len(verdicts) == PLANS
    assert sum(verdict.operations for verdict in verdicts.values()) >= OPERATIONS
