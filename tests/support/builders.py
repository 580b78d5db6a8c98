"""Build specs, statuses and the subjects of decisions, each with one line where only one thing matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from imageops.api.base import to_wire
from imageops.api.errors import OperationError
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, SESSION, Kind
from imageops.api.operations import ImagePullSpec, ImagePushSpec, ImageTagSpec, OperationSpec
from imageops.api.progress import LayerRecord, LayerState
from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec
from imageops.api.session_status import SessionStatus
from imageops.api.status import ImageStatus, OperationStatus, Phase, Progress
from imageops.core.attempt import Attempt
from imageops.core.decide_operation import decide
from imageops.core.decide_session import decide_session
from imageops.core.effects import CreateChild
from imageops.core.operation import Operation
from imageops.core.outcome import Facts, Outcome
from imageops.core.session import Session
from imageops.core.session_constraints import SessionConstraints
from imageops.core.session_summary import Member
from imageops.core.spechash import SpecHash
from tests.support.contract import assert_consistent

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""The moment at which the story of a test begins."""
UID = "6f1f4f0e-1111-4222-8333-444455556666"
DIGEST = f"sha256:{'a' * 64}"
OTHER_DIGEST = f"sha256:{'b' * 64}"
IMAGE_ID = f"sha256:{'1' * 64}"
OTHER_ID = f"sha256:{'2' * 64}"

OPERATION_SPECS: Mapping[str, dict[str, Any]] = {
    "ImagePull": {"image": "registry.example/app:1"},
    "ImagePush": {"image": "registry.example/app:1"},
    "ImageTag": {"source": "registry.example/app:1", "target": "registry.example/app:2"},
}
"""The shortest spec of each operation, by kind."""
KINDS: Mapping[str, Kind] = {kind.kind: kind for kind in (IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, SESSION)}


def at(seconds: float) -> datetime:
    """Return the moment so many seconds after the beginning."""
    return NOW + timedelta(seconds=seconds)


# --- specs


def pull_spec(**fields: Any) -> ImagePullSpec:
    """Make the spec of an ImagePull; field names as in Python."""
    return ImagePullSpec.model_validate({**OPERATION_SPECS["ImagePull"], **fields})


def push_spec(**fields: Any) -> ImagePushSpec:
    """Make the spec of an ImagePush."""
    return ImagePushSpec.model_validate({**OPERATION_SPECS["ImagePush"], **fields})


def tag_spec(**fields: Any) -> ImageTagSpec:
    """Make the spec of an ImageTag."""
    return ImageTagSpec.model_validate({**OPERATION_SPECS["ImageTag"], **fields})


def pull_step(name: str, *, run_after: Iterable[str] = (), **fields: Any) -> dict[str, Any]:
    """Make a step that pulls."""
    return _step(name, run_after) | {"pull": {"image": f"registry.example/{name}:1"}} | fields


def promote_step(name: str, *, run_after: Iterable[str] = (), **fields: Any) -> dict[str, Any]:
    """Make a step that promotes; the fields are those of the promotion."""
    promotion = {"source": f"staging.example/{name}:1", "target": f"prod.example/{name}:1", **fields}
    return _step(name, run_after) | {"promote": promotion}


def session_spec(*steps: Mapping[str, Any], **fields: Any) -> SessionSpec:
    """Make the spec of a Session."""
    return SessionSpec.model_validate({"steps": list(steps), **fields})


def _step(name: str, run_after: Iterable[str]) -> dict[str, Any]:
    names = list(run_after)
    return {"name": name} | ({"runAfter": names} if names else {})


# --- operations


def operation(
    spec: OperationSpec | None = None,
    status: OperationStatus | None = None,
    *,
    written: OperationStatus | None = None,
    kind: str = "ImagePull",
    **fields: Any,
) -> Operation:
    """Make an operation; without `written` the API server holds the status that is given."""
    spec = spec if spec is not None else pull_spec()
    status = status if status is not None else OperationStatus()
    given: dict[str, Any] = {
        "uid": UID,
        "generation": 1,
        "spec_hash": SpecHash.of(spec),
        "spec": spec,
        "references": {"reference": "registry.example/app:1"},
    }
    return Operation(status=status, written=written if written is not None else status, kind=kind, **(given | fields))


def refused(error: OperationError, raw_spec: Mapping[str, Any], status: OperationStatus | None = None) -> Operation:
    """Make an operation whose spec cannot be carried out."""
    return replace(operation(status=status, refusal=error, spec_hash=SpecHash.of_refused(raw_spec)), spec=None)


def attempt(*, run: int = 1, number: int = 1, started: datetime = NOW, **fields: Any) -> Attempt:
    """Make an attempt in progress."""
    return Attempt(run=run, number=number, started=started, **fields)


def ended(reason: Reason, *, run: int = 1, number: int = 1, started: datetime = NOW, **fields: Any) -> Attempt:
    """Make an attempt that ended with a reason; `retry_after` and the like go into its outcome."""
    facts = fields.pop("facts", Facts())
    progress: Progress | None = fields.pop("progress", None)
    outcome = Outcome(reason=reason, message=fields.pop("message", reason.sentence), **fields)
    return Attempt(run=run, number=number, started=started, facts=facts, progress=progress, outcome=outcome)


def image(**fields: Any) -> ImageStatus:
    """Make the evidence of an image."""
    return ImageStatus(**({"id": IMAGE_ID, "digest": DIGEST, "size_bytes": 1024, "present": True} | fields))


def decided(
    subject: Operation,
    *,
    running: Attempt | None = None,
    constraints: SessionConstraints | None = None,
    now: datetime = NOW,
) -> OperationStatus:
    """Decide, check the status against the contract, and return it."""
    status = decide(subject, attempt=running, constraints=constraints, now=now).status
    assert_good(subject.kind, status)
    return status


def running_status(spec: OperationSpec | None = None, *, now: datetime = NOW, **fields: Any) -> OperationStatus:
    """Return the status of an operation whose first attempt has begun."""
    return decided(operation(spec, **fields), now=now)


def finished_status(
    reason: Reason = Reason.PULLED,
    spec: OperationSpec | None = None,
    **fields: Any,
) -> OperationStatus:
    """Return the status of an operation whose first run ended at the first attempt."""
    before = running_status(spec, **fields)
    return decided(operation(spec, before, **fields), running=ended(reason, facts=Facts(image=image())), now=at(1))


# --- Sessions


def session(
    spec: SessionSpec | None,
    status: SessionStatus | None = None,
    *,
    written: SessionStatus | None = None,
    members: Iterable[Member] = (),
    **fields: Any,
) -> Session:
    """Make a Session; the daemon has a containerd store unless told otherwise."""
    status = status if status is not None else SessionStatus()
    given: dict[str, Any] = {
        "uid": UID,
        "generation": 1,
        "spec_hash": SpecHash.of(spec) if spec is not None else SpecHash.of_refused({}),
        "name": "release",
        "image_store": "containerd",
        "written": written if written is not None else status,
    }
    return Session(spec=spec, status=status, members=tuple(members), **(given | fields))


def session_decided(subject: Session, *, now: datetime = NOW) -> SessionStatus:
    """Decide, check the status against the contract, and return it."""
    status = decide_session(subject, now=now).status
    assert_good("Session", status)
    return status


def child_status(phase: Phase, reason: Reason | None = None, **fields: Any) -> OperationStatus:
    """Return the status of a child in a phase: enough for its Session, made by the operation's own rules."""
    match phase:
        case Phase.PENDING:
            status = OperationStatus()
        case Phase.RUNNING:
            status = running_status()
        case Phase.SUCCEEDED:
            status = finished_status(reason or Reason.PULLED)
        case Phase.FAILED:
            status = finished_status(reason or Reason.IMAGE_NOT_FOUND)
        case Phase.CANCELLED:
            status = decided(operation(pull_spec(cancel=True)))
        case _:
            status = decided(operation(pull_spec(suspend=True)))
    return status.model_copy(update=fields)


# --- the rest


def layer(id_: str, state: LayerState, current: int | None = None, total: int | None = None) -> LayerRecord:
    """Make a record of one layer."""
    return LayerRecord(id=id_, state=state, current=current, total=total)


def assert_good(kind: str, status: OperationStatus | SessionStatus) -> None:
    """Check that a status keeps the contract of conditions, and that the API server's schema would take it."""
    wire = to_wire(status)
    assert type(status).model_validate(wire) == status
    if status.conditions and status.conditions[0].reason == Reason.OPEN:
        shown = {condition.type: condition.status for condition in status.conditions}
        assert (status.phase, shown) == (Phase.RUNNING, {"Succeeded": "Unknown", "Ready": "True"})
        return
    assert_consistent({"kind": kind, "status": wire})


def finished_session(spec: SessionSpec, phase: Phase = Phase.SUCCEEDED) -> tuple[SessionStatus, list[Member]]:
    """Play the first run of a Session whose operations all end in one phase, and return how it stands at the end."""
    status, members = SessionStatus(), list[Member]()
    for turn in range(4 * len(spec.steps) + 2):
        decision = decide_session(session(spec, status, members=members), now=at(turn))
        status = decision.status
        assert_good("Session", status)
        if status.completion_time is not None:
            return status, members
        for effect in decision.effects:
            if isinstance(effect, CreateChild):
                members.append(Member(effect.kind, effect.name, f"uid-of-{effect.name}", child_status(phase)))
    raise AssertionError(status)
