"""Keep the results of classes, and write docs/reliability.md from them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from faults.classes import CLASSES
from faults.plans import Plan, PlanClass, Verdict

_DOCS = Path(__file__).parents[1] / "docs"
PAGE = _DOCS / "reliability.md"
RESULTS = _DOCS / "reliability.json"
"""Written by runs of whole classes, and by those that are asked to."""
_JOURNAL = Path(__file__).parents[1] / ".dev" / "faults" / "verdicts.json"
FINDINGS = Path(__file__).with_name("findings.yaml")
"""Written by people: what plans found, where it was fixed, and which alarms were false."""

Results = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A plan with what came of it."""

    plan: Plan
    verdict: Verdict


class Journal:
    """The last verdict of each plan in this checkout, so that a class can be run in pieces."""

    def __init__(self, path: Path = _JOURNAL) -> None:
        """Read what is there."""
        self._path = path
        self._entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def add(self, outcome: Outcome) -> None:
        """Put a verdict in place of the plan's last one."""
        entry = {**asdict(outcome.verdict), "covered": sorted(outcome.verdict.covered)}
        self._entries[str(outcome.plan.number)] = {"title": outcome.plan.title, "verdict": entry}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._entries), encoding="utf-8")
        fresh.replace(self._path)

    def outcomes(self, plans: Sequence[Plan]) -> list[Outcome]:
        """Return what is known of these plans; a number whose plan is another one by now tells nothing."""
        known = ((plan, self._entries.get(str(plan.number))) for plan in plans)
        return [
            Outcome(plan, _verdict(entry["verdict"])) for plan, entry in known if entry and entry["title"] == plan.title
        ]


def _verdict(entry: Mapping[str, Any]) -> Verdict:
    return Verdict(**{**entry, "findings": tuple(entry["findings"]), "covered": frozenset(entry["covered"])})


def keep(group: PlanClass, outcomes: Sequence[Outcome], *, planned: int) -> None:
    """Put the result of a class, of so many plans, in place of its last one."""
    document = load()
    document[group.name] = summed(group, outcomes, planned=planned)
    RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def summed(group: PlanClass, outcomes: Sequence[Outcome], *, planned: int) -> dict[str, Any]:
    """Sum the verdicts of a class up."""
    outcomes = sorted(outcomes, key=lambda one: one.plan.number)
    seconds = sum(one.verdict.seconds for one in outcomes)
    return {
        "plans": planned,
        "run": len(outcomes),
        "passed": sum(one.verdict.passed for one in outcomes),
        "failed": sum(bool(one.verdict.findings) for one in outcomes),
        "unreached": sum(not one.verdict.reached and not one.verdict.findings for one in outcomes),
        "crashes": sum(one.verdict.crashes for one in outcomes),
        "operations": sum(one.verdict.operations for one in outcomes),
        "to_cover": len(group.covers()),
        "uncovered": sorted(group.covers().difference(*(one.verdict.covered for one in outcomes))),
        "minutes": round(seconds / 60, 1),
        "taken": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors",
        "failures": [
            {"number": one.plan.number, "title": one.plan.title, "findings": list(one.verdict.findings)}
            for one in outcomes
            if one.verdict.findings
        ],
    }


def keep_fuzzing(targets: Sequence[Mapping[str, Any]], *, seed: int) -> None:
    """Put the result of fuzzing in place of its last one."""
    document = load()
    document["fuzz"] = {"seed": seed, "taken": datetime.now(UTC).strftime("%Y-%m-%d"), "targets": list(targets)}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load() -> dict[str, Any]:
    """Read the results of all classes."""
    document: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return document


def render(results: Results, notes: Mapping[str, Any], classes: Sequence[PlanClass] = CLASSES) -> str:
    """Return the page."""
    lines = [*_HEAD, "| class | numbers | plans | run | passed | failed | not reached | kills | minutes | taken |"]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    lines += [_row(group, results[group.name]) for group in classes if group.name in results]
    lines += ["", *(f"* `{group.name}`: {group.meaning}" for group in classes), "", *_READING, ""]
    lines += [line for group in classes for line in _coverage(group, results.get(group.name, {}))]
    lines += _fuzzing(results.get("fuzz"))
    lines += ["## Failures of the last run", ""]
    failures = [failure for group in classes for failure in results.get(group.name, {}).get("failures", ())]
    lines += [f"* {one['number']}, {one['title']}: {'; '.join(one['findings'])}" for one in failures] or ["None."]
    lines += ["", "## What plans found", ""]
    lines += [f"* `{one['class']}`: {one['what']} {one['fixed']}" for one in notes["found"]] or ["Nothing."]
    lines += ["", "## False alarms", "", "Findings that were the plan's or the oracle's own fault, mended since.", ""]
    lines += [f"* `{one['class']}`: {one['what']}" for one in notes["alarms"]] or ["None."]
    return "\n".join(lines) + "\n"


def write() -> None:
    """Write the page from the results and the notes."""
    notes = yaml.safe_load(FINDINGS.read_text(encoding="utf-8"))
    PAGE.write_text(render(load(), notes), encoding="utf-8")


def _row(group: PlanClass, result: Results) -> str:
    result = {"run": result["plans"], **result}
    cells = (result[key] for key in ("plans", "run", "passed", "failed", "unreached", "crashes", "minutes", "taken"))
    return f"| `{group.name}` | {group.first} to {group.first + result['plans'] - 1} | {' | '.join(map(str, cells))} |"


def _coverage(group: PlanClass, result: Results) -> list[str]:
    if not result.get("to_cover"):
        return []
    missing = result["uncovered"]
    covered = f"{result['to_cover'] - len(missing)} of {result['to_cover']}"
    return [
        f"The plans of `{group.name}` made {result['operations']} operations, and touched {covered} things to cover.",
        *(f"* not touched: {one}" for one in missing),
        "",
    ]


def _fuzzing(result: Results | None) -> list[str]:
    if result is None:
        return []
    lines = [*_FUZZING, "| parser | inputs | seconds | findings |", "|---|---|---|---|"]
    lines += [
        f"| {one['target']} | {one['inputs']:,} | {one['seconds']:.0f} | {one['findings']} |"
        for one in result["targets"]
    ]
    return [*lines, "", f"Seed {result['seed']}, taken {result['taken']}.", ""]


_FUZZING = """\
## Fuzzing

`make fuzz` has libFuzzer make inputs of what engines said when they were recorded, and holds each parser of foreign
text to what it promises: `faults/fuzz/targets.py` says what. An expected refusal is no finding; any other exception, a
secret left in a log, other records when a stream is cut elsewhere, or an input that takes 10 s are.

""".splitlines()
_HEAD = """\
# Reliability

What was done to the operator, and what came of it. Generated by `python -m faults report`; the figures are those of the
last run of each class, on real parts: a kube-apiserver with etcd, two Docker Engines, three registries.

    make faults                    # all plans of all classes
    make faults PLAN=17            # one plan
    make faults SAMPLE=60 SEED=1   # some of them, the same ones for the same seed

Each plan plays one workload of all kinds with one fault in it. Two proxies, before the API server and before each
Engine, number the operator's requests and carry the fault out; the list of points is `faults/reference.json`, so a
plan's number stands for the same fault everywhere. Then everything has to end as in an undisturbed run.
`faults/oracles.py` says by what a plan is judged; `.dev/faults/<number>.json` keeps what happened in a plan with
findings. Plans of `schema` play no workload: each tries values on one object, puts its spec back after each, and
compares with the end that it came to first; `faults/schema/judging.py` says by what.
""".splitlines()
_READING = """\
*Not reached* are plans whose request or event did not come in that run, as progress is written by time; they prove
nothing and are not counted as passed. *Kills* counts how often the operator ended, by the plan or by itself; *minutes*
are those of the trials, several of which run side by side. No other operator may watch the cluster meanwhile.
""".splitlines()
