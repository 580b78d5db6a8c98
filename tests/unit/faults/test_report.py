from __future__ import annotations

from typing import Any

from faults.report import render
from faults.schema.plans import CLASS

NOTES: dict[str, Any] = {"found": [], "alarms": []}
RESULT = {"plans": 2, "passed": 1, "failed": 1, "unreached": 0, "crashes": 0, "minutes": 1.5, "taken": "2026-01-02"}
COVERAGE = {"operations": 40, "to_cover": 3, "uncovered": ["ImagePull image"], "failures": []}


def test_what_was_not_touched_is_said() -> None:
    """With the number of operations, and how much there was to cover."""
    page = render({CLASS.name: RESULT | COVERAGE}, NOTES, [CLASS])
    assert "made 40 operations, and touched 2 of 3 things to cover" in page
    assert "* not touched: ImagePull image" in page


def test_fuzzing_has_a_table_of_its_own() -> None:
    """One line a parser, with its inputs and seconds."""
    targets = [{"target": "stream", "inputs": 1_000_000, "seconds": 61.2, "findings": 0}]
    page = render({"fuzz": {"seed": 1, "taken": "2026-01-02", "targets": targets}}, NOTES, [CLASS])
    assert "| stream | 1,000,000 | 61 | 0 |" in page
    assert "## Fuzzing" not in render({}, NOTES, [CLASS])
