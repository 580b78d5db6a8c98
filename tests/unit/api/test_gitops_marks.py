from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imageops.api.gitops_marks import MARKS, Mark, is_managed

PAGE = Path(__file__).parents[3] / "docs" / "gitops.md"


def marked(mark: Mark, **changes: Any) -> dict[str, Any]:
    """Return the metadata of an object with a mark."""
    metadata: dict[str, Any] = {f"{mark.place}s": {mark.key: mark.value or "app"}}
    if mark.manager is not None:
        metadata["managedFields"] = [{"manager": f"{mark.manager}-controller"}, {}]
    return metadata | changes


@pytest.mark.feature("gitops.ttl")
@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: f"{mark.place}-{mark.key}")
def test_a_mark_is_known_where_it_stands(mark: Mark) -> None:
    """Not in the other place, not with another value, and not where its manager has to be another."""
    assert is_managed(marked(mark))
    assert not is_managed({"labels": {"app": "x"}, "annotations": None})
    other = "annotations" if mark.place == "label" else "labels"
    assert not mark.stands_on({other: {mark.key: mark.value or "app"}})
    if mark.value is not None:
        assert not is_managed({f"{mark.place}s": {mark.key: "disabled"}})
    if mark.manager is not None:
        assert not is_managed(marked(mark, managedFields=[{"manager": "kubectl"}]))
        assert not is_managed(marked(mark, managedFields=None))


@pytest.mark.feature("gitops.ttl")
def test_the_page_has_every_mark_and_no_other() -> None:
    """In the order of the code."""
    rows = [
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if "| label |" in line or "| annotation |" in line
    ]
    assert len(rows) == len(MARKS)
    for row, mark in zip(rows, MARKS, strict=True):
        tool, place, key = (cell.strip() for cell in row.strip("|").split("|"))
        assert (tool, place, key.split("`")[1]) == (mark.tool, mark.place.value, mark.key)
        assert (mark.value is None) or f"`{mark.value}`" in key
        assert (mark.manager is None) or f"`{mark.manager}…`" in key
