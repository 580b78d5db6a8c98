from __future__ import annotations

from typing import Any

from faults.reference import Reference
from faults.report import render
from faults.schema.plans import CLASS

NOTES: dict[str, Any] = {"found": [], "alarms": []}
RESULT = {"passed": True, "reached": True, "crashes": 0, "seconds": 6.0, "findings": [], "taken": "2026-01-02"}


def test_what_was_not_touched_is_said() -> None:
    """With the number of operations, and how much there was to cover."""
    plan = CLASS.make(Reference.load())[0]
    to_cover = sorted(CLASS.covers())
    done = RESULT | {"title": plan.title, "operations": 40, "covered": to_cover[1:]}
    page = render({str(plan.number): done}, NOTES, {CLASS: [plan]})
    assert f"made 40 operations, and touched {len(to_cover) - 1} of {len(to_cover)} things to cover" in page
    assert f"* not touched: {to_cover[0]}" in page


def test_fuzzing_has_a_table_of_its_own() -> None:
    """One line a parser, with its inputs and seconds."""
    targets = [{"target": "stream", "inputs": 1_000_000, "seconds": 61.2, "findings": 0}]
    page = render({}, NOTES, {CLASS: []}, {"seed": 1, "taken": "2026-01-02", "targets": targets})
    assert "| stream | 1,000,000 | 61 | 0 |" in page
    assert "## Fuzzing" not in render({}, NOTES, {CLASS: []})
