"""Run plans: `python -m faults`. All, or those that are named; a whole class that was run is kept as a result."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from devcluster import during, install
from devcluster.env import Environment
from devcluster.errors import DevClusterError
from faults import report
from faults.classes import CLASSES, all_plans
from faults.plans import Plan, PlanClass, Verdict, sample
from faults.reference import Reference
from faults.running import Chosen, carry_out, worlds

_LANES = 3
"""Worlds side by side: a trial waits more than it works."""
_CLEAN_RUNS = 3
_WIDTH = 160


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 1 if a plan has findings."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    if options.command == "report":
        report.write()
        return 0
    try:
        with during.cluster_up(lambda line: console.print(f"  {line}", markup=False, highlight=False)) as cluster:
            install.install(Path(cluster.kubeconfig))
            if options.command == "record":
                asyncio.run(_record(cluster))
                return 0
            return _run(cluster, options, console)
    except DevClusterError as error:
        console.print(f"faults: {error}", style="red", markup=False, highlight=False)
        return 1


async def _record(cluster: Environment) -> None:
    """Write the reference anew: every number changes its meaning then."""
    async with worlds(cluster, 1) as (world,):
        Reference.of([await world.play() for _ in range(_CLEAN_RUNS)]).save()


def _run(cluster: Environment, options: argparse.Namespace, console: Console) -> int:
    chosen, whole = choose(options)
    verdicts: list[Verdict] = []

    def told(group: PlanClass, plan: Plan, verdict: Verdict) -> None:
        verdicts.append(verdict)
        word = "ok" if verdict.passed else "FAILED" if verdict.findings else "not reached"
        line = f"{plan.number:5} {word:11} {verdict.seconds:5.1f} s  {group.name}: {plan.title}"
        console.print(line, markup=False, highlight=False)
        for finding in (verdict.measured, *verdict.findings) if verdict.measured else verdict.findings:
            console.print(f"      {finding}", markup=False, highlight=False)
        if whole or options.keep:
            report.keep(plan, verdict)
            report.write()

    began = time.monotonic()
    asyncio.run(carry_out(cluster, chosen, lanes=options.lanes, told=told))
    seconds = time.monotonic() - began
    failed = sum(bool(verdict.findings) for verdict in verdicts)
    passed = sum(verdict.passed for verdict in verdicts)
    console.print(
        f"{len(verdicts)} plans: {passed} passed, {failed} failed,"
        f" {len(verdicts) - passed - failed} not reached; {seconds / 60:.1f} min",
        highlight=False,
    )
    return 1 if failed else 0


def choose(options: argparse.Namespace) -> tuple[list[Chosen], bool]:
    """Return the plans that are asked for, and whether they are whole classes."""
    everything = [
        (group, plan)
        for group, plans in all_plans(Reference.load()).items()
        if options.only is None or group.name in options.only
        for plan in plans
    ]
    if options.plan:
        return [one for one in everything if one[1].number in options.plan], False
    if options.sample is not None:
        open_to_samples = [plan for group, plan in everything if group.sampled]
        numbers = {plan.number for plan in sample(open_to_samples, options.sample, options.seed)}
        return [one for one in everything if one[1].number in numbers], False
    return everything, True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument(
        "command",
        nargs="?",
        choices=("run", "record", "report"),
        default="run",
        help="run plans; record the reference anew; write docs/reliability.md",
    )
    parser.add_argument("--plan", type=int, action="append", metavar="NUMBER", help="run this plan; may be repeated")
    parser.add_argument("--sample", type=int, metavar="COUNT", help="run so many plans, drawn by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the results of single plans too")
    parser.add_argument("--only", action="append", choices=[group.name for group in CLASSES], help="only this class")
    parser.add_argument("--lanes", type=int, default=_LANES, help="trials side by side")
    return parser


if __name__ == "__main__":
    sys.exit(main())
