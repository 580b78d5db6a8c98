"""Close the attempts of an operation: what each end of an attempt means for its run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from imageops.api.errors import MESSAGE_MAX_LENGTH
from imageops.api.operations import OperationSpec
from imageops.api.reasons import Reason, ReasonClass
from imageops.api.status import ErrorStatus, OperationStatus
from imageops.api.status import Outcome as HistoryOutcome
from imageops.core import history
from imageops.core.backoff import retry_delay, wait_delay
from imageops.core.conditions import State
from imageops.core.effects import StopAttempt
from imageops.core.outcome import Attempt, Facts, Outcome
from imageops.core.run import Subject, Turn

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
    arrived: frozenset[Reason] = frozenset()
    """The waiting reasons whose wait is over: what was waited for is there now."""
    daemon_away: bool = False
    """Whether the daemon is known not to answer; its return will be told."""
    references: Mapping[str, str] = field(default_factory=dict)
    """`reference` and `source_reference`, normalised, for the status."""
    finalizer: bool = False
    """Whether the operator's own finalizer stands on the object."""
    finalizes: bool = True
    """Whether this operator holds objects back by finalizers. One for chosen namespaces does not: whoever deletes
    such a namespace deletes its rights there too, and it could never let go."""
    deleted_at: datetime | None = None
    """When the deletion was asked for."""
    looked_at: datetime | None = None
    """When the image was last checked, or the object first seen, by this process."""
    confirmed: bool = True
    """Whether this decision is about no view of the past; a process that starts may be shown one."""
    held_by_others: bool = False
    """Whether other objects ask for the same image on the same daemon; only told of an object that is deleted."""


@dataclass(slots=True)
class OperationTurn(Turn[OperationStatus]):
    """One decision about an operation in the making."""

    op: Operation = field(kw_only=True)

    def stop(self, attempt: Attempt | None, reason: Reason) -> None:
        """Have the daemon call closed, once."""
        if attempt is not None and attempt.outcome is None and attempt.stopping is None:
            self.effects.append(StopAttempt(reason))

    def learn(self, facts: Facts) -> None:
        """Take over what an attempt found out."""
        known = {"daemon": facts.daemon, "auth": facts.auth, "image": facts.image, "previous": facts.previous}
        self.set(**{name: value for name, value in known.items() if value is not None})

    def close_interrupted(self) -> None:
        """Close an attempt that a former process began and never finished."""
        if history.open_entry(self.status) is not None:
            self.status = history.closed(
                self.status,
                outcome=HistoryOutcome.INTERRUPTED,
                reason=Reason.INTERRUPTED,
                now=self.stamp,
            )
            self.set(next_retry_time=None)

    def close(self, attempt: Attempt, outcome: Outcome) -> None:
        """Close an attempt of a run."""
        reason = outcome.reason
        stopped = reason in {Reason.INTERRUPTED, Reason.SUSPENDED}
        if reason.reason_class is ReasonClass.WAITING and not stopped:
            self.wait(outcome, attempts=attempt.number - 1)
            return
        if attempt.queued:  # it never began
            self.status = history.withdrawn(self.status)
            self.set(attempts=attempt.number - 1)
        if attempt.progress is not None:
            self.set(progress=attempt.progress)
        image = attempt.facts.image
        succeeded = reason.reason_class is ReasonClass.SUCCESS
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
        if reason.reason_class is ReasonClass.RETRYABLE and outcome.repeated:
            self.retry(outcome)
        else:
            self.end(reason, outcome.message, outcome.hint)

    def wait(self, outcome: Outcome, *, attempts: int) -> None:
        """Go on waiting for something outside; no attempt is used."""
        before = self.status.error
        same = before is not None and before.reason == outcome.reason.value
        delay = outcome.retry_after or wait_delay(before.retry_after_seconds if before is not None and same else None)
        self.status = history.withdrawn(self.status)
        self.set(
            attempts=attempts,
            progress=None,
            next_retry_time=later(self.now, delay),
            error=_error(outcome.reason, outcome.message, outcome.hint, retry_after=delay),
        )
        if not same and outcome.reason is not Reason.THROTTLED:
            self.event(outcome.reason, outcome.message, warning=True)
        self.state(State.PENDING, outcome.reason, outcome.message)

    def wait_for_return(self, reason: Reason) -> None:
        """Wait for something whose return is told; until then nothing is tried."""
        if self.status.error is None or self.status.error.reason != reason:
            self.event(reason, reason.sentence, warning=True)
        self.set(next_retry_time=None, error=_error(reason, reason.sentence, None))
        self.state(State.PENDING, reason)

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
        at = later(self.now, delay)
        self.set(next_retry_time=at, error=error.model_copy(update={"retry_after_seconds": math.ceil(delay)}))
        message = f"{outcome.message} Attempt {failed + 1} of {limit + 1} follows at {at:%H:%M:%S} UTC."
        self.state(State.PENDING, outcome.reason, message)
        self.event(Reason.RETRYING, outcome.message, warning=True)

    def end(
        self,
        reason: Reason,
        message: str,
        hint: str | None = None,
        *,
        error: ErrorStatus | None = None,
    ) -> None:
        """End the run."""
        state = _ended_state(reason)
        if state is not State.SUCCEEDED and error is None:
            error = _error(reason, message, hint, reason_class=ReasonClass.FINAL)
        self.set(completion_time=self.stamp, next_retry_time=None, error=error)
        self.state(state, reason, message)
        self.event(reason, message, warning=state is not State.SUCCEEDED)


def later(now: datetime, seconds: float) -> datetime:
    """Return a time at least that many seconds away, in the whole seconds that status carries."""
    exact = now + timedelta(seconds=seconds)
    whole = exact.replace(microsecond=0)
    return whole if whole == exact else whole + timedelta(seconds=1)


def _ended_state(reason: Reason) -> State:
    if reason is Reason.CANCELLED:
        return State.CANCELLED
    return State.SUCCEEDED if reason.reason_class is ReasonClass.SUCCESS else State.FAILED


def _error(
    reason: Reason,
    message: str,
    hint: str | None,
    *,
    retry_after: float | None = None,
    reason_class: ReasonClass | None = None,
) -> ErrorStatus:
    """Return what the status says of an error; what ends a run is final there, whatever its reason is elsewhere."""
    return ErrorStatus(
        reason=reason.value,
        message=message[:MESSAGE_MAX_LENGTH],
        hint=hint or reason.hint,
        reason_class=(reason_class or reason.reason_class).value,
        retry_after_seconds=None if retry_after is None else math.ceil(retry_after),
    )
