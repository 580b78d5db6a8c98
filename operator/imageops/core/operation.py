"""Decide what happens next to one operation: the rules of life of ImagePull, ImagePush and ImageTag.

A run is what one version of the What fields asks for. A run makes attempts until one succeeds, one fails for good, or
its limits are reached. A wait is not an attempt. The decision is taken again from the start at every occasion (a watch
event, an outcome, a time that has come), so an occasion that was missed costs nothing.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from collections.abc import Mapping

from imageops.api.errors import MESSAGE_MAX_LENGTH, OperationError
from imageops.api.operations import OperationSpec
from imageops.api.reasons import Reason, ReasonClass
from imageops.api.status import ErrorStatus, HistoryEntry, OperationStatus, Phase, Trigger
from imageops.api.status import Outcome as HistoryOutcome
from imageops.core import history
from imageops.core.conditions import State
from imageops.core.effects import Decision, PassCheckpoint, StartAttempt, StopAttempt, Write
from imageops.core.outcome import Attempt, Facts, Outcome
from imageops.core.retry import retry_delay, wait_delay
from imageops.core.run import Subject, Turn, finished, run_trigger

SHOW_AFTER = timedelta(milliseconds=250)
"""An attempt that ends sooner is written once, with its end."""
PROGRESS_PERIOD = timedelta(seconds=2)
"""How often the progress of a running attempt is looked at."""

ACTIVITY = {"ImagePull": Reason.PULLING, "ImagePush": Reason.PUSHING, "ImageTag": Reason.TAGGING}
"""What a running operation of each kind gives as its reason."""

_HISTORY_OUTCOME = {
    Reason.CANCELLED: HistoryOutcome.CANCELLED,
    Reason.SUSPENDED: HistoryOutcome.SUSPENDED,
    Reason.INTERRUPTED: HistoryOutcome.INTERRUPTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Subject[OperationStatus]):
    """One ImagePull, ImagePush or ImageTag."""

    kind: str
    spec: OperationSpec | None
    """None when no model accepts it; `refusal` then says why."""
    daemon_up: bool = False
    """Whether the daemon answered the last look at it."""
    references: Mapping[str, str] = field(default_factory=dict)
    """`reference` and `source_reference`, normalised, for the status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The Session an operation belongs to, as far as it matters to the operation."""

    missing: bool = False
    cancel: bool = False
    """Cancelled, or past its deadline."""
    suspend: bool = False


def decide(
    operation: Operation,
    *,
    attempt: Attempt | None,
    parent: Parent | None,
    now: datetime,
    accepting: bool = True,
) -> Decision[OperationStatus]:
    """Return the status that holds now and what is to be done.

    Args:
        operation: The object.
        attempt: The attempt this process is carrying out for it, if any.
        parent: The Session it belongs to, if any.
        now: The present, in UTC.
        accepting: Whether new attempts may start; False while the process drains.

    """
    turn = _Turn(operation, now, operation.status, op=operation)
    if operation.deleting:
        turn.stop(attempt, Reason.CANCELLED)
        return Decision(status=turn.status, write=Write.NOTHING, effects=tuple(turn.effects))
    if attempt is None:
        turn.close_interrupted()
    else:
        turn.learn(attempt.facts)
        if attempt.outcome is not None:
            turn.close(attempt, attempt.outcome)
            attempt = None
    trigger = run_trigger(operation, turn.status)
    if trigger is not None and attempt is not None:
        turn.stop(attempt, Reason.INTERRUPTED)
        return turn.result(attempt)
    if trigger is not None:
        turn.begin(trigger)
    turn.take_notice()
    if not finished(turn.status):
        turn.advance(attempt, parent or Parent(), accepting=accepting)
    return turn.result(attempt)


@dataclass(slots=True)
class _Turn(Turn[OperationStatus]):
    op: Operation = field(kw_only=True)

    def stop(self, attempt: Attempt | None, reason: Reason) -> None:
        if attempt is not None and attempt.outcome is None and attempt.stopping is None:
            self.effects.append(StopAttempt(reason))

    def begin(self, trigger: Trigger) -> None:
        self.begin_run(
            trigger,
            next_retry_time=None,
            image=None,
            previous=None,
            progress=None,
            error=None,
            attempts=0,
            failed_attempts=0,
            **self.op.references,
        )

    def take_notice(self) -> None:
        """Let a changed How field take effect on a run in progress at once."""
        if self.how_changed():
            self.set(next_retry_time=None)
        self.observe()

    # --- attempts that ended

    def close_interrupted(self) -> None:
        """Close an attempt that a former process began and never finished."""
        if history.open_entry(self.status) is not None:
            self.status = history.closed(
                self.status, outcome=HistoryOutcome.INTERRUPTED, reason=Reason.INTERRUPTED, now=self.stamp,
            )
            self.set(next_retry_time=None)

    def learn(self, facts: Facts) -> None:
        known = {"daemon": facts.daemon, "auth": facts.auth, "image": facts.image, "previous": facts.previous}
        self.set(**{name: value for name, value in known.items() if value is not None})

    def close(self, attempt: Attempt, outcome: Outcome) -> None:
        reason = outcome.reason
        if reason.reason_class is ReasonClass.WAITING and reason is not Reason.SUSPENDED:
            self.wait(outcome, attempts=attempt.number - 1)
            return
        if attempt.progress is not None:
            self.set(progress=attempt.progress)
        image = attempt.facts.image
        succeeded = reason.reason_class is ReasonClass.SUCCESS
        stopped = reason in {Reason.INTERRUPTED, Reason.SUSPENDED}
        self.status = history.closed(
            self.status,
            outcome=_HISTORY_OUTCOME.get(reason, HistoryOutcome.SUCCEEDED if succeeded else HistoryOutcome.FAILED),
            reason=reason,
            now=self.stamp,
            duration_milliseconds=outcome.duration_milliseconds,
            digest=image.digest if image is not None and succeeded else None,
            bytes_transferred=outcome.bytes_transferred,
        )
        if stopped:
            return
        if reason.reason_class is ReasonClass.RETRYABLE:
            self.retry(outcome)
        else:
            self.end(reason, outcome.message, outcome.hint)

    def wait(self, outcome: Outcome, *, attempts: int) -> None:
        """Go on waiting for something outside; no attempt is used."""
        before = self.status.error
        same = before is not None and before.reason == outcome.reason.value
        delay = wait_delay(before.retry_after_seconds if before is not None and same else None)
        self.status = history.withdrawn(self.status)
        self.set(
            attempts=attempts,
            next_retry_time=_later(self.now, delay),
            error=_error(outcome.reason, outcome.message, outcome.hint, retry_after=delay),
        )
        if not same:
            self.event(outcome.reason, outcome.message, warning=True)
        self.state(State.PENDING, outcome.reason, outcome.message)

    def retry(self, outcome: Outcome) -> None:
        """Count the failure; plan the next attempt or give up."""
        failed = self.status.failed_attempts + 1
        limit = self.op.spec.backoff_limit if self.op.spec is not None else 0
        error = _error(outcome.reason, outcome.message, outcome.hint)
        self.set(failed_attempts=failed, error=error)
        if failed > limit:
            message = f"Gave up after {failed} failed attempts. The last one: {outcome.message}"
            self.end(Reason.BACKOFF_LIMIT_EXCEEDED, message, error=error)
            return
        delay = max(retry_delay(failed, key=f"{self.op.uid}/{self.status.run}"), outcome.retry_after or 0.0)
        at = _later(self.now, delay)
        self.set(next_retry_time=at, error=error.model_copy(update={"retry_after_seconds": math.ceil(delay)}))
        message = f"{outcome.message} Attempt {failed + 1} of {limit + 1} follows at {at:%H:%M:%S} UTC."
        self.state(State.PENDING, outcome.reason, message)
        self.event(Reason.RETRYING, outcome.message, warning=True)

    def end(
        self, reason: Reason, message: str, hint: str | None = None, *, error: ErrorStatus | None = None,
    ) -> None:
        """End the run."""
        state = _ended_state(reason)
        if state is not State.SUCCEEDED and error is None:
            error = _error(reason, message, hint)
        self.set(completion_time=self.stamp, next_retry_time=None, error=error)
        self.state(state, reason, message)
        self.event(reason, message, warning=state is not State.SUCCEEDED)

    # --- a run in progress

    def advance(self, attempt: Attempt | None, parent: Parent, *, accepting: bool) -> None:
        spec = self.op.spec
        if self.op.refusal is not None or spec is None:
            refusal = self.op.refusal or OperationError(Reason.INVALID_SPEC)
            self.leave(attempt, refusal.reason, refusal.message, refusal.hint)
        elif spec.cancel or parent.cancel:
            self.leave(attempt, Reason.CANCELLED)
        elif self.deadline_passed(spec):
            self.leave(attempt, Reason.DEADLINE_EXCEEDED)
        elif spec.suspend or parent.suspend:
            self.suspend(attempt)
        elif attempt is not None:
            self.go_on(attempt, spec)
        else:
            self.come_back()
            if accepting:
                self.start(spec, parent)
            elif self.status.phase == Phase.RUNNING:
                self.state(State.PENDING, Reason.INTERRUPTED)

    def leave(self, attempt: Attempt | None, reason: Reason, message: str | None = None, hint: str | None = None) -> None:
        """End the run, after the daemon call is stopped."""
        if attempt is not None:
            self.stop(attempt, reason)
        else:
            self.end(reason, message or reason.sentence, hint)

    def deadline_passed(self, spec: OperationSpec) -> bool:
        if spec.active_deadline_seconds is None or self.status.start_time is None:
            return False
        if self.was_suspended():
            return False
        deadline = self.status.start_time + timedelta(seconds=spec.active_deadline_seconds)
        if self.now >= deadline:
            return True
        self.wakes.append(deadline)
        return False

    def suspend(self, attempt: Attempt | None) -> None:
        self.wakes.clear()
        if attempt is not None:
            self.stop(attempt, Reason.SUSPENDED)
        else:
            self.set(next_retry_time=None)
            self.state(State.SUSPENDED, Reason.SUSPENDED)

    def go_on(self, attempt: Attempt, spec: OperationSpec) -> None:
        """Watch a running attempt: its time limit, its progress, its checkpoint."""
        limit = attempt.started + timedelta(seconds=spec.timeout_seconds)
        if self.now >= limit:
            self.stop(attempt, Reason.TIMED_OUT)
            return
        self.wakes.append(limit)
        shown = self.now >= attempt.started + SHOW_AFTER
        self.wakes.append(self.now + PROGRESS_PERIOD if shown else attempt.started + SHOW_AFTER)
        if attempt.progress is not None:
            self.set(progress=attempt.progress)
        if shown and self.status.error is not None and self.status.error.reason_class == ReasonClass.WAITING:
            self.set(error=None)
        if attempt.checkpoint:
            self.effects.append(PassCheckpoint())

    def start(self, spec: OperationSpec, parent: Parent) -> None:
        due = self.status.next_retry_time
        if due is not None and due > self.now and not self.daemon_returned():
            self.wakes.append(due)
            return
        if parent.missing:
            missing = Reason.SESSION_NOT_FOUND
            self.wait(Outcome(reason=missing, message=missing.sentence), attempts=self.status.attempts)
            self.wakes.append(self.status.next_retry_time or self.now)
            return
        number = self.status.attempts + 1
        run = self.status.run
        entry = HistoryEntry(run=run, trigger=self.run_trigger(run), attempt=number, start_time=self.stamp)
        self.status = history.opened(self.status, entry)
        self.set(attempts=number, next_retry_time=None, progress=None)
        reason = ACTIVITY[self.op.kind]
        self.state(State.RUNNING, reason)
        self.effects.append(StartAttempt(run=run, number=number))
        self.wakes.append(self.now + SHOW_AFTER)
        self.wakes.append(self.now + timedelta(seconds=spec.timeout_seconds))

    def daemon_returned(self) -> bool:
        """Tell whether what was waited for is there: the daemon answers again."""
        error = self.status.error
        return self.op.daemon_up and error is not None and error.reason == Reason.DAEMON_UNAVAILABLE

    def run_trigger(self, run: int) -> str:
        """Say what started the present run: this very decision, or what its former attempts recorded."""
        if self.begun_by is not None:
            return self.begun_by.value
        newest = history.newest(self.status)
        return newest.trigger if newest is not None and newest.run == run else Trigger.SPEC.value

    # --- the result

    def result(self, attempt: Attempt | None) -> Decision[OperationStatus]:
        return Decision(
            status=self.status,
            write=self.write(attempt),
            effects=tuple(self.effects),
            wake_at=min(self.wakes, default=None),
        )

    def write(self, attempt: Attempt | None) -> Write:
        if self.status == self.op.written:
            return Write.NOTHING
        if any(isinstance(effect, StartAttempt) for effect in self.effects):
            return Write.NOTHING
        if attempt is None or attempt.checkpoint:
            return Write.COMMIT
        shown = self.now >= attempt.started + SHOW_AFTER
        return Write.REPORT if shown else Write.NOTHING


def _ended_state(reason: Reason) -> State:
    if reason is Reason.CANCELLED:
        return State.CANCELLED
    return State.SUCCEEDED if reason.reason_class is ReasonClass.SUCCESS else State.FAILED


def _error(reason: Reason, message: str, hint: str | None, *, retry_after: float | None = None) -> ErrorStatus:
    return ErrorStatus(
        reason=reason.value,
        message=message[:MESSAGE_MAX_LENGTH],
        hint=hint or reason.hint,
        reason_class=reason.reason_class.value,
        retry_after_seconds=None if retry_after is None else math.ceil(retry_after),
    )


def _later(now: datetime, seconds: float) -> datetime:
    """Return a time at least that many seconds away, in the whole seconds that status carries."""
    exact = now + timedelta(seconds=seconds)
    whole = exact.replace(microsecond=0)
    return whole if whole == exact else whole + timedelta(seconds=1)
