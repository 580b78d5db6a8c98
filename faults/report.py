"""Keep the last result of each plan, and write docs/reliability.md from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from faults.classes import all_plans
from faults.plans import Plan, PlanClass, Verdict
from faults.reference import Reference

_DOCS = Path(__file__).parents[1] / "docs"
PAGE = _DOCS / "reliability.md"
RESULTS = _DOCS / "reliability.json"
"""Written by runs of whole classes, and by those that are asked to."""
FUZZED = _DOCS / "fuzzing.json"
"""Written by whole runs of `python -m faults.fuzz`."""
FINDINGS = Path(__file__).with_name("findings.yaml")
"""Written by people: what plans found, where it was fixed, and which alarms were false."""

Results = Mapping[str, Any]


def keep(plan: Plan, verdict: Verdict) -> None:
    """Put the result of a plan in place of its last one."""
    document = load()
    document[str(plan.number)] = {
        "title": plan.title,
        "passed": verdict.passed,
        "reached": verdict.reached,
        "crashes": verdict.crashes,
        "seconds": verdict.seconds,
        "findings": list(verdict.findings),
        **({"operations": verdict.operations, "covered": sorted(verdict.covered)} if verdict.operations else {}),
        "taken": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    lines = (f"{json.dumps(number)}: {json.dumps(document[number])}" for number in sorted(document, key=int))
    fresh = RESULTS.with_suffix(".new")
    fresh.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    fresh.replace(RESULTS)


def keep_fuzzing(targets: Sequence[Mapping[str, Any]], *, seed: int) -> None:
    """Put the result of fuzzing in place of its last one."""
    document = {"seed": seed, "taken": datetime.now(UTC).strftime("%Y-%m-%d"), "targets": list(targets)}
    FUZZED.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load() -> dict[str, Any]:
    """Read the last result of each plan, by number."""
    document: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return document


def render(
    results: Results,
    notes: Mapping[str, Any],
    classes: Mapping[PlanClass, Sequence[Plan]],
    fuzzed: Results | None = None,
) -> str:
    """Return the page; a result of a plan that is another one by now is left out."""
    lines = [*_HEAD, "| class | numbers | plans | run | passed | failed | not reached | kills | minutes | last run |"]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    failures: list[str] = []
    for group, plans in classes.items():
        done = [results[str(plan.number)] for plan in plans if _is_of(plan, results.get(str(plan.number)))]
        lines.append(_row(group, len(plans), done))
        failures += [f"* {one['title']}: {'; '.join(one['findings'])}" for one in done if one["findings"]]
    lines += ["", *(f"* `{group.name}`: {group.meaning}" for group in classes), "", *_READING, ""]
    lines += [line for group, plans in classes.items() for line in _coverage(group, plans, results)]
    lines += _fuzzing(fuzzed)
    lines += ["## Failures of the last run", "", *(failures or ["None."])]
    lines += ["", "## What plans found", ""]
    lines += [f"* `{one['class']}`: {one['what']} {one['fixed']}" for one in notes["found"]] or ["Nothing."]
    lines += ["", "## False alarms", "", "Findings that were the plan's or the oracle's own fault, mended since.", ""]
    lines += [f"* `{one['class']}`: {one['what']}" for one in notes["alarms"]] or ["None."]
    return "\n".join(lines) + "\n"


def write() -> None:
    """Write the page from the results and the notes."""
    notes = yaml.safe_load(FINDINGS.read_text(encoding="utf-8"))
    fuzzed = json.loads(FUZZED.read_text(encoding="utf-8")) if FUZZED.exists() else None
    PAGE.write_text(render(load(), notes, all_plans(Reference.load()), fuzzed), encoding="utf-8")


def _is_of(plan: Plan, result: Results | None) -> bool:
    return result is not None and result["title"] == plan.title


def _row(group: PlanClass, planned: int, done: Sequence[Results]) -> str:
    cells = (
        planned,
        len(done),
        sum(one["passed"] for one in done),
        sum(bool(one["findings"]) for one in done),
        sum(not one["reached"] and not one["findings"] for one in done),
        sum(one["crashes"] for one in done),
        round(sum(one["seconds"] for one in done) / 60),
        max((one["taken"] for one in done), default="-"),
    )
    return f"| `{group.name}` | {group.first} to {group.first + planned - 1} | {' | '.join(map(str, cells))} |"


def _coverage(group: PlanClass, plans: Sequence[Plan], results: Results) -> list[str]:
    to_cover = group.covers()
    if not to_cover:
        return []
    done = [results[str(plan.number)] for plan in plans if _is_of(plan, results.get(str(plan.number)))]
    missing = sorted(to_cover.difference(*(one.get("covered", ()) for one in done)))
    operations = sum(one.get("operations", 0) for one in done)
    covered = f"{len(to_cover) - len(missing)} of {len(to_cover)}"
    return [
        f"The plans of `{group.name}` made {operations:,} operations, and touched {covered} things to cover.",
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
last run of each plan, on real parts: a kube-apiserver with etcd, two Docker Engines, three registries.

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
are those of the trials, several of which run side by side.
""".splitlines()
