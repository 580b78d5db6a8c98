from __future__ import annotations

from typing import Any

import pytest

from faults.schema import crd
from faults.schema.probes import Probe, When, sequences
from faults.schema.subjects import SUBJECTS, Site, Subject, difference, with_value
from faults.schema.values import ABSENT
from imageops.api.kinds import OPERATION_KINDS, SESSION

SITE = Site.imagined()
ALL = [(sequence.subject, probe) for sequence in sequences() for probe in sequence.probes]


def is_taken(subject: Subject, probe: Probe) -> bool:
    """Tell whether the schema takes a value."""
    spec = SITE.real(with_value(subject.spec, probe.path, probe.candidate.value))
    return not list(crd.problems(crd.schema(subject.kind, "spec"), spec))


@pytest.mark.feature("fault.schema-plans")
def test_every_property_is_tried_with_a_good_and_a_bad_value() -> None:
    """Of every kind that has a spec of ours to carry out."""
    for kind in (*OPERATION_KINDS, SESSION):
        tried = [(subject, probe) for subject, probe in ALL if subject.kind is kind]
        for wanted in (True, False):
            paths = {probe.path for subject, probe in tried if is_taken(subject, probe) is wanted}
            above = {path[:length] for path in paths for length in range(1, len(path) + 1)}
            assert above >= set(crd.properties(kind)), wanted


@pytest.mark.feature("fault.schema-plans")
def test_there_are_enough_and_always_the_same() -> None:
    """More than 1,000 values, at every time of an object's life, in the same order each time."""
    assert len(ALL) > 1_000
    assert {probe.when for _, probe in ALL} == set(When)
    assert sequences() == sequences()


def test_the_first_spec_of_every_subject_is_good() -> None:
    """By its schema."""
    for subject in SUBJECTS:
        assert not list(crd.problems(crd.schema(subject.kind, "spec"), SITE.real(subject.spec))), subject.name


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("image",), "b", {"image": "b", "steps": [{"name": "a"}, {"name": "z"}]}),
        (("image",), ABSENT, {"steps": [{"name": "a"}, {"name": "z"}]}),
        (
            ("limits", "operations"),
            1,
            {"image": "a", "steps": [{"name": "a"}, {"name": "z"}], "limits": {"operations": 1}},
        ),
        (("steps", "[]", "name"), "b", {"image": "a", "steps": [{"name": "b"}, {"name": "z"}]}),
        (("steps", "[]"), {"name": "b"}, {"image": "a", "steps": [{"name": "b"}, {"name": "z"}]}),
        (("platforms", "[]"), "All", {"image": "a", "steps": [{"name": "a"}, {"name": "z"}], "platforms": ["All"]}),
        (
            ("steps", "[]", "runAfter", "[]"),
            "a",
            {"image": "a", "steps": [{"name": "a"}, {"name": "z", "runAfter": ["a"]}]},
        ),
    ],
)
def test_a_value_takes_its_place(path: crd.Path_, value: object, expected: dict[str, Any]) -> None:
    """What is above it is made; the spec it came from stays as it was."""
    spec = {"image": "a", "steps": [{"name": "a"}, {"name": "z"}]}
    assert with_value(spec, path, value) == expected
    assert spec == {"image": "a", "steps": [{"name": "a"}, {"name": "z"}]}


def test_a_difference_is_a_merge_patch() -> None:
    """What is gone is null, lists are replaced whole."""
    before = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": 1}
    after = {"a": 1, "b": {"c": 2}, "e": [1, 2]}
    assert difference(before, after) == {"b": {"c": 2, "d": None}, "e": [1, 2], "f": None}


def test_real_names_are_put_in_at_any_depth() -> None:
    """The longer name first where one begins as another."""
    site = Site({"a": "1", "ab": "2"})
    assert site.real({"x": ["$ab/$a", 3, {"y": "$a"}]}) == {"x": ["2/1", 3, {"y": "1"}]}
