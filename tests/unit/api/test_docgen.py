from __future__ import annotations

from pathlib import Path

import pytest

from imageops.api.committed import drift
from imageops.api.docgen.pages import reference_files
from imageops.api.kinds import ALL_KINDS
from imageops.api.reasons import Reason

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.feature("doc.reference")
def test_committed_pages_are_what_the_code_generates() -> None:
    """The pages on the API and the reasons equal what models and reasons generate."""
    assert drift(REFERENCE, reference_files()) == []


@pytest.mark.feature("error.closed-enum")
def test_every_reason_is_documented() -> None:
    """The page lists each reason once, with its sentence and hint."""
    page = reference_files()["reasons.md"]
    for reason in Reason:
        assert page.count(f"| `{reason.value}` | {reason.sentence} | {reason.hint} |") == 1


def test_every_field_is_documented() -> None:
    """The page has a row with a meaning for each top-level field of each kind."""
    page = reference_files()["api.md"]
    for kind in ALL_KINDS:
        section = page.partition(f"\n### {kind.kind} spec\n")[2].partition("\n## ")[0]
        for field in kind.spec_model.model_fields.values():
            assert f"\n| `{field.alias}` |" in section
            assert field.description
