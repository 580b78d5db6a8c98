"""Put one decision together, for any kind of object: its status, effects, and when to decide again."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from imageops.api.reasons import Reason
from imageops.api.status import Phase, RunStatus, Trigger
from imageops.core import conditions
from imageops.core.conditions import State
from imageops.core.effects import Decision, Effect, RecordEvent, Write
from imageops.core.object_view import ObjectView
from imageops.core.run import wanted
from imageops.core.spechash import SpecHash

ViewT = TypeVar("ViewT", bound=ObjectView[Any])
StatusT = TypeVar("StatusT", bound=RunStatus)


@dataclass(slots=True)
class DecisionBuilder(Generic[ViewT, StatusT]):
    """One decision in the making: the status that will hold, and what is to be done."""

    view: ViewT
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
                generation=self.view.generation,
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
            observed_spec_hash=str(self.view.spec_hash),
            # What stands there now, even where another token is answered: it was answered before, and is not new again.
            last_handled_requested_at=self.view.requested_at
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
        token = wanted(self.view.requested_at, status.last_handled_requested_at, status.pending_requested_at)
        if token != status.pending_requested_at:
            self.set(pending_requested_at=token)

    def how_changed(self) -> bool:
        """Tell whether a How field changed since the status was stamped."""
        stamped = SpecHash.parse(self.status.observed_spec_hash)
        return stamped is not None and stamped.how != self.view.spec_hash.how

    def observe(self) -> None:
        """Echo the generation and the hash of the spec that this decision is about."""
        stamp = str(self.view.spec_hash)
        if self.status.observed_generation != self.view.generation or self.status.observed_spec_hash != stamp:
            self.set(
                observed_generation=self.view.generation,
                observed_spec_hash=stamp,
                conditions=conditions.seen(self.status.conditions, self.view.generation),
            )

    def was_suspended(self) -> bool:
        """Tell whether the status shows a suspended run."""
        return self.status.phase == Phase.SUSPENDED

    def come_back(self) -> None:
        """Resume if suspended: the deadline counts from now, as in Job."""
        if self.was_suspended():
            self.set(start_time=self.stamp)
            self.state(State.PENDING, Reason.PENDING)

    def result(self, write: Write) -> Decision[StatusT]:
        """Return the decision."""
        return Decision(
            status=self.status,
            write=write,
            effects=tuple(self.effects),
            wake_at=min(self.wakes, default=None),
        )
