"""The rules of a run that hold for every kind: what starts one, and how its state is shown."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.status import Phase, RunStatus, Trigger
from imageops.core import conditions
from imageops.core.api_refusal import ApiRefusal
from imageops.core.conditions import State
from imageops.core.effects import Effect, RecordEvent
from imageops.core.spechash import SpecHash

StatusT = TypeVar("StatusT", bound=RunStatus)

TOKEN_MAX_LENGTH = 200
"""Characters of the longest token that stands in a status as it is."""
UNWRITABLE = (
    "The API server does not take the status of this object, so it was stopped; the operator's log has the API server's"
    " words. It is tried again when the object changes."
)
"""Said by an Event, as the status cannot say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject(Generic[StatusT]):
    """An object as the API server last told it, with the status that was decided last."""

    uid: str
    generation: int
    spec_hash: SpecHash
    refusal: OperationError | None = None
    """Why the spec cannot be carried out at all, if it cannot."""
    requested_at: str | None = None
    deleting: bool = False
    unwritable: bool = False
    """Whether the API server refuses the status of this object for good, as the object stands."""
    managed: bool = False
    """Whether a GitOps tool keeps the object as its manifest says: it would make a deleted one again."""
    undeletable: ApiRefusal | None = None
    """What the API server said to the deletion of the object itself, whose time was over."""
    status: StatusT
    written: StatusT | None = None
    """The status the API server holds, as far as this process knows."""


def known_token(text: str | None) -> str | None:
    """Return the value of an annotation that asks for a run, as a status can hold it: a longer one by its hash.

    Annotations take any text up to 256 KiB, while a status that holds too long a one, or a control character, is
    refused as a whole.
    """
    if text is None or (len(text) <= TOKEN_MAX_LENGTH and text.isprintable()):
        return text
    return f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def finished(status: RunStatus) -> bool:
    """Tell whether the last run of an object has ended."""
    return status.completion_time is not None


def supersedes(stored: RunStatus, own: RunStatus) -> bool:
    """Tell whether a stored status that this process did not write makes its own void.

    A process that starts on an old view decides on what a former one has long gone beyond. A status that is not behind
    its own is that former one's; one that is, or is none, is somebody's tampering and does not undo a run.
    """
    return _place(stored) >= _place(own)


def _place(status: RunStatus) -> tuple[int, bool, int, int]:
    """Return how far an object has come in its life."""
    failed, attempts = (getattr(status, name, 0) for name in ("failed_attempts", "attempts"))
    return status.run, finished(status), failed, attempts


def wanted(token: str | None, handled: str | None, pending: str | None) -> str | None:
    """Return the token that asks for something: the one that stands there, else one that was seen and taken away."""
    return token if token and token != handled else pending


def run_trigger(subject: Subject[Any], status: RunStatus) -> Trigger | None:
    """Say what starts a new run, if anything does.

    A changed What field always does; a changed How field only after a failure; a new token after the present run.
    """
    stamped = SpecHash.parse(status.observed_spec_hash)
    if not status.run:
        return Trigger.SPEC
    if stamped is not None and stamped.what != subject.spec_hash.what:
        return Trigger.SPEC
    if not finished(status):
        return None
    if wanted(subject.requested_at, status.last_handled_requested_at, status.pending_requested_at):
        return Trigger.TOKEN
    how_changed = stamped is not None and stamped.how != subject.spec_hash.how
    return Trigger.SPEC if how_changed and status.phase == Phase.FAILED else None


@dataclass(slots=True)
class Turn(Generic[StatusT]):
    """One decision in the making."""

    subject: Subject[StatusT]
    now: datetime
    status: StatusT
    effects: list[Effect] = field(default_factory=list)
    wakes: list[datetime] = field(default_factory=list)
    begun_by: Trigger | None = None
    """What started the run that begins in this decision."""

    @property
    def stamp(self) -> datetime:
        """The present, in the whole seconds that status carries."""
        return self.now.replace(microsecond=0)

    def set(self, **changes: Any) -> None:
        """Change fields of the status; where nothing differs it stays the same object."""
        different = {name: value for name, value in changes.items() if getattr(self.status, name) is not value}
        if different:
            self.status = self.status.model_copy(update=different)

    def state(self, state: State, reason: Reason, message: str | None = None) -> None:
        """Show a state."""
        self.set(
            phase=state.phase.value,
            conditions=conditions.conditions(
                state,
                reason=reason,
                message=message or reason.sentence,
                generation=self.subject.generation,
                now=self.stamp,
                previous=self.status.conditions,
            ),
        )

    def event(self, reason: Reason, message: str, *, warning: bool) -> None:
        """Publish an Event after the status is written."""
        self.effects.append(RecordEvent(warning=warning, reason=reason, message=message))

    def begin_run(self, trigger: Trigger, **cleared: Any) -> None:
        """Start a run: its own counters and times, the history kept."""
        self.begun_by = trigger
        self.set(
            run=self.status.run + 1,
            trigger=trigger.value,
            observed_spec_hash=str(self.subject.spec_hash),
            # What stands there now, even where another token is answered: it was answered before, and is not new again.
            last_handled_requested_at=self.subject.requested_at
            or self.status.pending_requested_at
            or self.status.last_handled_requested_at,
            pending_requested_at=None,
            start_time=self.stamp,
            completion_time=None,
            **cleared,
        )
        self.state(State.PENDING, Reason.PENDING)

    def remember_token(self) -> None:
        """Put a token on record that cannot be answered yet: the next apply may take it away."""
        status = self.status
        token = wanted(self.subject.requested_at, status.last_handled_requested_at, status.pending_requested_at)
        if token != status.pending_requested_at:
            self.set(pending_requested_at=token)

    def how_changed(self) -> bool:
        """Tell whether a How field changed since the status was stamped."""
        stamped = SpecHash.parse(self.status.observed_spec_hash)
        return stamped is not None and stamped.how != self.subject.spec_hash.how

    def observe(self) -> None:
        """Echo the generation and the hash of the spec that this decision is about."""
        stamp = str(self.subject.spec_hash)
        if self.status.observed_generation != self.subject.generation or self.status.observed_spec_hash != stamp:
            self.set(
                observed_generation=self.subject.generation,
                observed_spec_hash=stamp,
                conditions=conditions.seen(self.status.conditions, self.subject.generation),
            )

    def was_suspended(self) -> bool:
        """Tell whether the status shows a suspended run."""
        return self.status.phase == Phase.SUSPENDED

    def come_back(self) -> None:
        """Resume if suspended: the deadline counts from now, as in Job."""
        if self.was_suspended():
            self.set(start_time=self.stamp)
            self.state(State.PENDING, Reason.PENDING)
