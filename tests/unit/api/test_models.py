from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from imageops.api.admission import parse_spec
from imageops.api.base import ApiModel, StatusModel, to_wire
from imageops.api.kinds import IMAGE_PULL, OPERATION_KINDS, SESSION, Kind
from imageops.api.operations import IfExists, ImagePullPolicy, ImagePullSpec, ImageTagSpec, OperationSpec
from imageops.api.session import ActionType, PromoteAction, SessionSpec
from imageops.api.status import Condition, ErrorStatus, OperationStatus, Phase
from tests.support.admission import Case, cases
from tests.support.full_status import FULL_OPERATION_STATUS, FULL_SESSION_STATUS
from tests.support.kinds import MODELLED_KINDS

A64 = "a" * 64


@pytest.mark.parametrize("case", cases("valid"), ids=lambda case: case.name[:40])
def test_spec_survives_the_way_to_the_wire_and_back(case: Case) -> None:
    """A parsed spec written and read again is equal, and holds everything that was given."""
    assert isinstance(case.spec, dict)
    spec = parse_spec(case.kind, case.spec)
    wire = to_wire(spec)
    assert parse_spec(case.kind, wire) == spec
    assert wire == {**wire, **{key: value for key, value in case.spec.items() if key != "steps"}}


def test_names_are_snake_case_here_and_camel_case_there() -> None:
    """Fields are set by Python names and written by wire names; absent ones and empty lists are not written."""
    spec = ImageTagSpec.model_validate(
        {"source": "a", "target": "b", "ifExists": "Replace", "preconditions": {"imageID": f"sha256:{A64}"}},
    )
    assert spec.if_exists is IfExists.REPLACE
    assert spec.preconditions is not None
    assert spec.preconditions.image_id == f"sha256:{A64}"
    assert to_wire(spec)["preconditions"] == {"imageID": f"sha256:{A64}"}
    assert to_wire(ImagePullSpec(image="a")) == {
        "image": "a",
        "imagePullPolicy": "IfNotPresent",
        "dryRun": False,
        "backoffLimit": 5,
        "suspend": False,
        "cancel": False,
        "timeoutSeconds": 600,
        "deletionPolicy": "Retain",
    }


def test_models_are_frozen() -> None:
    """A spec once read does not change."""
    spec = ImagePullSpec(image="a", image_pull_policy=ImagePullPolicy.ALWAYS)
    with pytest.raises(ValidationError):
        spec.image = "b"  # type: ignore[misc]


@pytest.mark.feature("run.what-and-how")
@pytest.mark.parametrize("kind", [*OPERATION_KINDS, SESSION], ids=lambda kind: kind.kind)
def test_what_and_how_are_those_of_the_design(kind: Kind) -> None:
    """Each field is What, How or neither, as the design lists them."""
    what = {
        "daemon_name",
        "dry_run",
        "image",
        "source",
        "target",
        "platforms",
        "image_pull_policy",
        "if_exists",
        "preconditions",
        "steps",
    }
    how = {
        "secret_ref",
        "service_account_name",
        "timeout_seconds",
        "active_deadline_seconds",
        "backoff_limit",
        "parallelism",
        "max_failed_steps",
        "limits",
    }
    model = kind.spec_model
    assert issubclass(model, OperationSpec | SessionSpec)
    fields = model.model_fields.keys()
    assert model.what_fields == what & fields
    assert model.how_fields == how & fields


def test_step_knows_its_action() -> None:
    """A step gives its one action and its name, with the defaults of the action."""
    spec = parse_spec(SESSION, {"steps": [{"name": "s", "promote": {"source": "a", "target": "b"}}]})
    assert isinstance(spec, SessionSpec)
    step = spec.steps[0]
    assert step.action_type is ActionType.PROMOTE
    assert isinstance(step.action, PromoteAction)
    assert (step.action.if_exists, step.action.digest_policy, step.action.local_images) == ("Fail", "Require", "Retain")
    assert (step.timeout_seconds, step.backoff_limit) == (None, None)


def test_time_is_utc_in_whole_seconds() -> None:
    """A time of any zone is written in UTC without a fraction, and read back aware."""
    moment = datetime(2026, 1, 2, 5, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=2)))
    status = OperationStatus(start_time=moment)
    assert status.start_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert to_wire(status)["startTime"] == "2026-01-02T03:04:05Z"
    assert OperationStatus.model_validate({"startTime": "2026-01-02T03:04:05Z"}) == status
    with pytest.raises(ValidationError):
        OperationStatus.model_validate({"startTime": "2026-01-02T03:04:05"})


@pytest.mark.feature("error.own-words")
def test_status_text_is_cut_and_cleaned() -> None:
    """A text too long or with control characters cannot make a status unwritable."""
    error = ErrorStatus(reason="TimedOut", reason_class="Retryable", message="a\n\x1b[31mb" + "x" * 600)
    assert error.message.startswith("a  [31mbx")
    assert len(error.message) == 512
    assert to_wire(error)["class"] == "Retryable"


def test_status_of_a_newer_operator_is_readable() -> None:
    """Unknown fields and unknown words of closed sets are no error."""
    status = OperationStatus.model_validate({"phase": "Dreaming", "newField": 1, "image": {"colour": "red"}})
    assert status.phase == "Dreaming"
    assert OperationStatus().phase == Phase.PENDING


def test_condition_has_the_common_form() -> None:
    """A condition has the fields all of Kubernetes uses."""
    condition = Condition(
        type="Ready",
        status="True",
        observed_generation=3,
        last_transition_time=datetime(2026, 1, 2, tzinfo=UTC),
        reason="Pulled",
        message="x",
    )
    assert set(to_wire(condition)) == {
        "type",
        "status",
        "observedGeneration",
        "lastTransitionTime",
        "reason",
        "message",
    }


def test_every_field_of_every_model_is_documented() -> None:
    """No model of the API has a field without a text, nor a model without one."""
    pending: list[type[ApiModel]] = [
        model for kind in MODELLED_KINDS for model in (kind.spec_model, kind.status_model) if model
    ]
    for model in {*pending, *_below(ApiModel)}:
        assert model.__doc__
        assert [name for name, field in model.model_fields.items() if not field.description] == []


def _below(model: type[ApiModel]) -> set[type[ApiModel]]:
    found = {child for child in model.__subclasses__() if child.__module__.startswith("imageops.")}
    return found.union(*(_below(child) for child in found))


def test_form_of_references_is_left_to_the_second_gate() -> None:
    """A spec with a bad reference parses, so that the check can say InvalidReference instead of InvalidSpec."""
    assert parse_spec(IMAGE_PULL, {"image": "NOT VALID"})


@pytest.mark.parametrize("status", [FULL_OPERATION_STATUS, FULL_SESSION_STATUS], ids=["operation", "session"])
def test_full_status_survives_the_way_to_the_wire_and_back(status: StatusModel) -> None:
    """A status with every field set is written with every field and read again as it was."""
    wire = to_wire(status)
    assert wire.keys() == {field.alias for field in type(status).model_fields.values()}
    assert type(status).model_validate(wire) == status


def test_wrong_type_in_a_status_text_is_refused() -> None:
    """Only text is cut and cleaned; anything else stays an error of the writer."""
    with pytest.raises(ValidationError):
        ErrorStatus.model_validate({"reason": "TimedOut", "class": "Final", "message": 5})
