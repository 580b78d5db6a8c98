from __future__ import annotations

from typing import Any

import pytest

from faults.schema import crd
from imageops.api.kinds import IMAGE_PULL, IMAGE_TAG, OPERATION_KINDS, SESSION, Kind
from tests.support.admission import Case, cases

KINDS = (*OPERATION_KINDS, SESSION)
PULL = {"image": "registry.test/team/app:1"}


def of_kinds(folder: str) -> list[Case]:
    """Return the cases of the admission corpus that are about a whole spec of one of the kinds with a status."""
    return [case for case in cases(folder) if case.kind in KINDS and isinstance(case.spec, dict)]


@pytest.mark.parametrize("case", of_kinds("valid"), ids=lambda case: case.name)
def test_nothing_is_wrong_with_what_the_api_server_takes(case: Case) -> None:
    """The corpus of valid specs, which a real API server judges elsewhere."""
    assert not list(crd.problems(crd.schema(case.kind, "spec"), case.spec))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"image": 7}, "spec.image: is no string"),
        ({"image": ""}, "spec.image: has another form"),
        ({"image": "registry.test/App"}, "spec.image: has another form"),
        ({"image": "registry.test/app\n"}, "spec.image: has another form"),
        ({"imagePullPolicy": "Sometimes"}, "spec.imagePullPolicy: is none of the words"),
        ({"backoffLimit": 11}, "spec.backoffLimit: is out of range"),
        ({"backoffLimit": True}, "spec.backoffLimit: is no integer"),
        ({"platforms": []}, "spec.platforms: has too few"),
        ({"platforms": ["linux"]}, "spec.platforms[0]: has another form"),
        ({"secretRef": {}}, "spec.secretRef.name: is required"),
        ({"nonsense": 1}, "spec.nonsense: is unknown"),
    ],
)
def test_a_wrong_value_is_found_where_it_is(change: dict[str, Any], problem: str) -> None:
    """With its path."""
    (found, *_) = crd.problems(crd.schema(IMAGE_PULL, "spec"), PULL | change, "spec")
    assert found.startswith(problem)


def test_an_entry_may_not_be_there_twice() -> None:
    """By its key where the list is a map, by its value where it is a set."""
    steps = {"steps": [{"name": "a"}, {"name": "a"}]}
    assert any("twice" in problem for problem in crd.problems(crd.schema(SESSION, "spec"), steps))
    conditions = {"conditions": [{"type": "Ready"}, {"type": "Ready"}]}
    assert any("twice" in problem for problem in crd.problems(crd.schema(IMAGE_TAG, "status"), conditions))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_properties_and_rules_are_read_from_the_committed_files(kind: Kind) -> None:
    """Every field of the model is a property, by its name on the wire."""
    names = {field.alias for field in kind.spec_model.model_fields.values()}
    assert {path[0] for path in crd.properties(kind)} == names
    assert any("immutable" in rule or "taken back" in rule for rule in crd.rules(kind))
