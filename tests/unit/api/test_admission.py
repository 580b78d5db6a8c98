from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageops.api.admission import check, parse_spec
from imageops.api.errors import OperationError
from imageops.api.kinds import ALL_KINDS, IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, OPERATION_KINDS, SESSION, Kind
from imageops.api.reasons import Reason
from tests.support.admission import Case, cases

A64 = "a" * 64
PULL_A: dict[str, Any] = {"image": "a"}


def refusal(kind: Kind, spec: dict[str, Any]) -> OperationError:
    """Return how the second gate refuses a spec."""
    with pytest.raises(OperationError) as caught:
        check(kind, parse_spec(kind, spec))
    return caught.value


@pytest.mark.parametrize("case", cases("valid"), ids=lambda case: case.name[:40])
def test_valid_corpus_passes_the_second_gate(case: Case) -> None:
    """What the API server takes parses, and only what is meant for the second gate is refused by it."""
    assert isinstance(case.spec, dict)
    spec = parse_spec(case.kind, case.spec)
    if case.name.startswith("second-gate-"):
        with pytest.raises(OperationError) as caught:
            check(case.kind, spec)
        assert caught.value.reason in {Reason.INVALID_REFERENCE, Reason.INVALID_SPEC}
    else:
        check(case.kind, spec)


@pytest.mark.feature("admission.second-gate")
@pytest.mark.parametrize(
    ("kind", "spec", "path"),
    [
        (IMAGE_PULL, {"image": A64}, "spec.image"),
        (IMAGE_PULL, {"image": "a.example/" + "p" * 300}, "spec.image"),
        (IMAGE_PUSH, {"image": "my_host.example/app"}, "spec.image"),
        (IMAGE_PUSH, {"image": f"app@sha256:{A64}"}, "spec.image"),
        (IMAGE_TAG, {"source": A64, "target": "b"}, "spec.source"),
        (IMAGE_TAG, {"source": "a", "target": A64}, "spec.target"),
        (IMAGE_TAG, {"source": "a", "target": f"b@sha256:{A64}"}, "spec.target"),
        (SESSION, {"steps": [{"name": "s", "pull": {"image": A64}}]}, "spec.steps[0].pull.image"),
        (SESSION, {"steps": [{"name": "s", "push": {"image": "A"}}]}, "spec.steps[0].push.image"),
        (SESSION, {"steps": [{"name": "s", "tag": {"source": "a", "target": "B"}}]}, "spec.steps[0].tag.target"),
        (
            SESSION,
            {"steps": [{"name": "r", "pull": PULL_A}, {"name": "s", "promote": {"source": A64, "target": "b"}}]},
            "spec.steps[1].promote.source",
        ),
    ],
)
def test_bad_grammar_is_an_invalid_reference(kind: Kind, spec: dict[str, Any], path: str) -> None:
    """A reference that slips through the CRD's pattern is refused, with the field named."""
    error = refusal(kind, spec)
    assert error.reason is Reason.INVALID_REFERENCE
    assert error.message.startswith(f"{path}: ")


@pytest.mark.feature("admission.second-gate")
@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (IMAGE_TAG, {"source": "app", "target": "docker.io/library/app:latest"}),
        (IMAGE_TAG, {"source": "index.docker.io/team/app:1", "target": "team/app:1"}),
        (SESSION, {"steps": [{"name": "s", "tag": {"source": "app", "target": "app"}}]}),
        (SESSION, {"steps": [{"name": "s", "promote": {"source": "app", "target": "library/app:latest"}}]}),
    ],
)
def test_source_equal_to_target_is_an_invalid_spec(kind: Kind, spec: dict[str, Any]) -> None:
    """The comparison is made after normalisation."""
    error = refusal(kind, spec)
    assert error.reason is Reason.INVALID_SPEC
    assert "are the same reference" in error.message


def test_digest_of_the_same_name_is_another_source() -> None:
    """A tag may be made from a digest of its own repository, and from an image id."""
    for source in (f"app@sha256:{A64}", f"app:latest@sha256:{A64}", f"sha256:{A64}"):
        check(IMAGE_TAG, parse_spec(IMAGE_TAG, {"source": source, "target": "app"}))


@pytest.mark.feature("session.invalid-steps")
@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            [
                {"name": "a", "runAfter": ["c"], "pull": PULL_A},
                {"name": "b", "runAfter": ["a"], "pull": PULL_A},
                {"name": "c", "runAfter": ["b"], "pull": PULL_A},
            ],
            "runAfter goes in a circle",
        ),
        ([{"name": "a", "runAfter": ["a"], "pull": PULL_A}], "runAfter goes in a circle"),
        ([{"name": "a", "runAfter": ["b"], "pull": PULL_A}], "every name in runAfter"),
        ([{"name": "a", "pull": PULL_A}, {"name": "a", "pull": PULL_A}], "a name of its own"),
        ([{"name": "a"}], "exactly one of"),
        ([{"name": "a", "pull": PULL_A, "push": {"image": "a"}}], "exactly one of"),
    ],
)
def test_steps_that_cannot_be_ordered_are_an_invalid_spec(steps: list[dict[str, Any]], message: str) -> None:
    """A circle, an unknown or doubled name, and a step without one action are refused."""
    error = refusal(SESSION, {"steps": steps})
    assert error.reason is Reason.INVALID_SPEC
    assert message in error.message


def test_spec_of_another_kind_is_refused() -> None:
    """A spec is checked as the kind it belongs to."""
    with pytest.raises(OperationError, match="not that of the kind ImageTag"):
        check(IMAGE_TAG, parse_spec(IMAGE_PULL, {"image": "a"}))


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        (IMAGE_PULL, {}, "spec.image is required."),
        (IMAGE_PULL, {"image": 5}, "spec.image must be text."),
        (IMAGE_PULL, {"image": "a", "extra": 1}, "spec.extra is not a field of this kind."),
        (IMAGE_PULL, {"image": "a", "not a name": 1}, "spec is not a field of this kind."),
        (IMAGE_PULL, {"image": "a", "timeoutSeconds": 0}, "spec.timeoutSeconds must be at least 1."),
        (IMAGE_PULL, {"image": "a", "backoffLimit": 11}, "spec.backoffLimit must be at most 10."),
        (IMAGE_PULL, {"image": "a", "backoffLimit": "x"}, "spec.backoffLimit must be a whole number."),
        (IMAGE_PULL, {"image": "a", "suspend": "perhaps"}, "spec.suspend must be true or false."),
        (IMAGE_PULL, {"image": "a", "platforms": []}, "spec.platforms must have at least 1 entries."),
        (IMAGE_PULL, {"image": "a", "platforms": "x"}, "spec.platforms must be a list."),
        (IMAGE_PULL, {"image": "a", "secretRef": "x"}, "spec.secretRef must be an object."),
        (
            IMAGE_PULL,
            {"image": "a", "secretRef": {"name": "A B"}},
            "spec.secretRef.name does not have the required form.",
        ),
        (
            IMAGE_TAG,
            {"source": "a", "target": "b", "ifExists": "Skip"},
            "spec.ifExists has a value that is not allowed.",
        ),
        (SESSION, {"steps": [{"name": "x" * 41}]}, "spec.steps[0].name must have at most 40 characters."),
    ],
)
def test_refusal_names_the_field(kind: Kind, spec: dict[str, Any], message: str) -> None:
    """A spec that does not parse is InvalidSpec with a sentence of our own."""
    with pytest.raises(OperationError) as caught:
        parse_spec(kind, spec)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.message == message


CANARY = "hunter2-canary"
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.just(CANARY), st.text(max_size=5))
values = (
    scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from(["name", "digest"]), scalars, max_size=2)
)
known = st.sampled_from(sorted({str(f.alias) for kind in ALL_KINDS for f in kind.spec_model.model_fields.values()}))


@given(kind=st.sampled_from([*OPERATION_KINDS, SESSION]), spec=st.dictionaries(known, values, max_size=6))
@pytest.mark.feature("error.own-words")
def test_no_refusal_repeats_a_value(kind: Kind, spec: dict[str, Any]) -> None:
    """Whatever a spec holds, it passes or ends in a reason whose text has none of its values."""
    error = None
    try:
        check(kind, parse_spec(kind, spec))
    except OperationError as caught:
        error = caught
    assert error is None or error.reason in {Reason.INVALID_SPEC, Reason.INVALID_REFERENCE}
    assert CANARY not in str(error)
    assert error is None or error.__cause__ is None
