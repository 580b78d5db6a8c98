"""Carry plans out, several side by side, and those that want to be alone one after another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from devcluster.env import Environment
from faults.launcher import Launcher
from faults.plans import Plan, PlanClass, Verdict
from faults.site import Sites
from faults.world import World

Told = Callable[[PlanClass, Plan, Verdict], None]
Chosen = tuple[PlanClass, Plan]


@asynccontextmanager
async def worlds(cluster: Environment, count: int) -> AsyncIterator[list[World]]:
    """Set so many worlds up, each with what a clean run comes to in it."""
    launcher = await Launcher.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(launcher.close)
        sites = Sites(cluster)
        stack.callback(sites.close)
        opened = [await stack.enter_async_context(World.opened(cluster, launcher, sites)) for _ in range(count)]
        await asyncio.gather(*(world.prepare() for world in opened))
        yield opened


async def carry_out(cluster: Environment, chosen: Sequence[Chosen], *, lanes: int, told: Told) -> None:
    """Carry plans out in so many worlds; `told` hears of each as soon as it is done."""
    beside = asyncio.Queue[Chosen]()
    for one in chosen:
        if not one[0].alone:
            beside.put_nowait(one)
    async with worlds(cluster, max(1, min(lanes, len(chosen)))) as opened:

        async def work(world: World) -> None:
            while not beside.empty():
                await _one(world, beside.get_nowait(), told)

        await asyncio.gather(*(work(world) for world in opened))
        for one in chosen:
            if one[0].alone:
                await _one(opened[0], one, told)


async def _one(world: World, chosen: Chosen, told: Told) -> None:
    group, plan = chosen
    try:
        verdict = await plan.run(world)
    except Exception as error:  # noqa: BLE001 - the next plan is to run whatever became of this one
        verdict = Verdict(findings=(f"the trial itself failed: {type(error).__name__}: {error}",))
    if verdict.findings and world.last is not None:
        _keep(world, plan)
    told(group, plan, verdict)


def _keep(world: World, plan: Plan) -> None:
    """Write down what happened in a trial with findings."""
    record = world.last
    if record is None:
        return
    folder = Path(__file__).parents[1] / ".dev" / "faults"
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "struck": record.struck,
        "crashes": record.crashes,
        "calls": [f"{call.name} -> {call.status}" for call in record.calls],
        "states": [[state.type, state.plural, state.name, state.status] for state in record.states],
        "log": record.left.log.splitlines() if record.left is not None else [],
    }
    text = json.dumps(document, indent=1)
    for secret in record.secrets:
        text = text.replace(secret, "<password>")
    (folder / f"{plan.number}.json").write_text(text, encoding="utf-8")
