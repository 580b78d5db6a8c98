"""Play the life of a Session: its decisions are carried out on operations that end as a test, or chance, wants."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec
from imageops.api.session_status import SessionStatus, StepStatus
from imageops.api.status import OperationStatus, Phase
from imageops.core.api_refusal import ApiRefusal
from imageops.core.decide_session import decide_session
from imageops.core.effects import CreateChild, Decision, DeleteChild, DeleteSelf, RecordEvent, WakeMembers, Write
from imageops.core.session import Session
from imageops.core.session_constraints import SessionConstraints, constraints_of
from imageops.core.session_summary import Member
from tests.support.builders import NOW, assert_good, child_status, image, session

SUCCESS = {"ImagePull": Reason.PULLED, "ImageTag": Reason.TAGGED, "ImagePush": Reason.PUSHED}
MAX_LOOKS = 20


@dataclass(slots=True)
class SessionLife:
    """One Session with its operations and the process that looks after it."""

    spec: SessionSpec
    now: datetime = NOW
    generation: int = 1
    requested_at: str | None = None
    retry_failed_at: str | None = None
    image_store: str | None = "containerd"
    foreign: frozenset[str] = frozenset()
    managed: bool = False
    known: SessionStatus = field(default_factory=SessionStatus)
    written: SessionStatus = field(default_factory=SessionStatus)
    members: dict[str, Member] = field(default_factory=dict)
    """By name."""
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Code and message by which the API server refuses the operations of a step; those of others it makes."""
    refused: dict[str, ApiRefusal] = field(default_factory=dict)
    """What it said, by the name of the operation."""
    writes: int = 0
    """How often the status was written."""
    made: list[CreateChild] = field(default_factory=list)
    """All operations that were ever asked for."""
    removed: list[str] = field(default_factory=list)
    events: list[RecordEvent] = field(default_factory=list)
    wakes: int = 0
    """How often the operations were woken."""
    wake_at: datetime | None = None
    deleted: bool = False

    # --- what happens

    def look(self, now: datetime | None = None) -> Decision[SessionStatus]:
        """Decide and carry out, again while the Session asks to be looked at once more; return the first decision."""
        self.now = now or self.now
        first = self._turn()
        for _ in range(MAX_LOOKS):
            if self.wake_at is None or self.wake_at > self.now:
                return first
            self._turn()
        raise AssertionError(self.known)

    def change(self, **fields: Any) -> None:
        """Edit the spec."""
        wire = self.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        kept = {name: value for name, value in (wire | fields).items() if value is not None}
        self.spec = SessionSpec.model_validate(kept)
        self.generation += 1

    def restart(self) -> None:
        """Forget all that is not written."""
        self.known = self.written
        self.refused.clear()

    def set(self, step: str, phase: Phase, **fields: Any) -> None:
        """Let the present operation of a step come to a phase."""
        one = self.operation(step)
        reason = fields.pop("reason", SUCCESS[one.kind] if phase is Phase.SUCCEEDED else None)
        status = child_status(phase, reason, **{"reference": f"of-{one.name}", "image": image()} | fields)
        self.members[one.name] = replace(one, status=status)

    def end(self, *steps: str, phase: Phase = Phase.SUCCEEDED, **fields: Any) -> None:
        """Let the present operations of some steps end, and look."""
        for step in steps:
            self.set(step, phase, **fields)
        self.look()

    def join(self, name: str, phase: Phase, **fields: Any) -> None:
        """Let an operation join by sessionRef, or one that joined come to a phase; and look."""
        self.members[name] = Member(
            "ImagePull",
            name,
            f"uid-of-{name}",
            child_status(phase, **fields),
            owned=False,
            tool="pull",
        )
        self.look()

    # --- how it stands

    @property
    def subject(self) -> Session:
        """What a decision is about."""
        return session(
            self.spec,
            self.known,
            written=self.written,
            members=self.members.values(),
            generation=self.generation,
            requested_at=self.requested_at,
            retry_failed_at=self.retry_failed_at,
            image_store=self.image_store,
            foreign=self.foreign,
            refused=dict(self.refused),
            managed=self.managed,
        )

    @property
    def status(self) -> SessionStatus:
        """The status that was decided last."""
        return self.known

    @property
    def reason(self) -> str:
        """What the Session says of itself."""
        return self.known.conditions[0].reason

    @property
    def phases(self) -> dict[str, str]:
        """The phase of each step."""
        return {row.name: row.phase for row in self.known.steps}

    def row(self, step: str) -> StepStatus:
        """Return the row of a step."""
        return next(row for row in self.known.steps if row.name == step)

    def operation(self, step: str) -> Member:
        """Return the present operation of a step."""
        reference = self.row(step).operation_ref
        assert reference is not None
        return self.members[reference.name]

    def demand(self, name: str) -> SessionConstraints:
        """Return what the Session demands of an operation."""
        one = self.members[name]
        return constraints_of(self.subject, owned=name if one.owned else None, now=self.now)

    # --- carrying out

    def _turn(self) -> Decision[SessionStatus]:
        decision = decide_session(self.subject, now=self.now)
        assert_good("Session", decision.status)
        assert_adds_up(decision.status)
        if decision.write is not Write.NOTHING:
            self.written = decision.status
            self.writes += 1
        self.known, self.wake_at = decision.status, decision.wake_at
        for effect in decision.effects:
            match effect:
                case CreateChild():
                    assert effect.name not in self.members, effect
                    self.made.append(effect)
                    self._create(effect)
                case DeleteChild(name=name, uid=uid):
                    assert self.members.pop(name).uid == uid
                    self.removed.append(name)
                case RecordEvent():
                    self.events.append(effect)
                case WakeMembers():
                    self.wakes += 1
                case DeleteSelf():
                    self.deleted = True
        return decision

    def _create(self, child: CreateChild) -> None:
        if child.step not in self.answers:
            self.refused.pop(child.name, None)
            self.members[child.name] = Member(
                child.kind,
                child.name,
                f"uid-of-{child.name}",
                OperationStatus(),
                tool="pull",
            )
            return
        code, message = self.answers[child.step]
        times = self.refused[child.name].times + 1 if child.name in self.refused else 1
        self.refused[child.name] = ApiRefusal(code=code, message=message, at=self.now, times=times)
        self.wake_at = self.now  # the runtime looks again at once


def assert_adds_up(status: SessionStatus) -> None:
    """Check that the counts of a Session add up, and say the same as its rows."""
    parts = (status.pending, status.running, status.succeeded, status.failed, status.cancelled, status.skipped)
    assert sum(parts) == status.total, status
    if status.steps:
        phases = [row.phase for row in status.steps]
        assert status.total == len(phases)
        counted = ("Pending", "Running", "Succeeded", "Failed", "Cancelled", "Skipped")
        assert parts == tuple(phases.count(phase) for phase in counted), status


def names(made: Iterable[CreateChild]) -> list[tuple[str, str]]:
    """Return step and kind of operations that were asked for."""
    return [(one.step, one.kind) for one in made]
