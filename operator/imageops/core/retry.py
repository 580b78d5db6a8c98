"""Close the attempts of an operation: what each end of an attempt means for its run."""

import math
from datetime import datetime, timedelta

from imageops.api.errors import MESSAGE_MAX_LENGTH
from imageops.api.reasons import Reason, ReasonClass
from imageops.api.status import ErrorStatus, HistoryOutcome
from imageops.core import history
from imageops.core.attempt import Attempt
from imageops.core.backoff import WAIT, retry_delay
from imageops.core.conditions import State
from imageops.core.effects import StopAttempt
from imageops.core.operation import OperationDecision
from imageops.core.outcome import Facts, Outcome

_HISTORY_OUTCOME = {
    Reason.CANCELLED: HistoryOutcome.CANCELLED,
    Reason.SUSPENDED: HistoryOutcome.SUSPENDED,
    Reason.INTERRUPTED: HistoryOutcome.INTERRUPTED,
}


def stop(decision: OperationDecision, attempt: Attempt | None, reason: Reason) -> None:
    """Have the daemon call closed, once."""
    if attempt is not None and attempt.outcome is None and attempt.stopping is None:
        decision.effects.append(StopAttempt(reason))


def learn(decision: OperationDecision, facts: Facts) -> None:
    """Take over what an attempt found out."""
    known = {"daemon": facts.daemon, "auth": facts.auth, "image": facts.image, "previous": facts.previous}
    decision.set(**{name: value for name, value in known.items() if value is not None})


def close_interrupted(decision: OperationDecision) -> None:
    """Close an attempt that a former process began and never finished."""
    if history.open_entry(decision.status) is not None:
        decision.status = history.closed(
            decision.status,
            outcome=HistoryOutcome.INTERRUPTED,
            reason=Reason.INTERRUPTED,
            now=decision.stamp,
        )
        decision.set(next_retry_time=None)


def close(decision: OperationDecision, attempt: Attempt, outcome: Outcome) -> None:
    """Close an attempt of a run."""
    reason = outcome.reason
    stopped = reason in {Reason.INTERRUPTED, Reason.SUSPENDED}
    if reason.reason_class is ReasonClass.WAITING and not stopped:
        wait(decision, outcome, attempts=attempt.number - 1)
        return
    if attempt.queued:  # it never began
        decision.status = history.withdrawn(decision.status)
        decision.set(attempts=attempt.number - 1)
    if attempt.progress is not None:
        decision.set(progress=attempt.progress)
    image = attempt.facts.image
    succeeded = reason.reason_class is ReasonClass.SUCCESS
    decision.status = history.closed(
        decision.status,
        outcome=_HISTORY_OUTCOME.get(reason, HistoryOutcome.SUCCEEDED if succeeded else HistoryOutcome.FAILED),
        reason=reason,
        now=decision.stamp,
        duration_milliseconds=outcome.duration_milliseconds,
        digest=image.digest if image is not None and succeeded else None,
        bytes_transferred=outcome.bytes_transferred,
    )
    if stopped:
        return
    if reason.reason_class is ReasonClass.RETRYABLE and outcome.repeated:
        _retry(decision, outcome)
    else:
        end(decision, reason, outcome.message, outcome.hint)


def wait(decision: OperationDecision, outcome: Outcome, *, attempts: int) -> None:
    """Go on waiting for something outside; no attempt is used."""
    before = decision.status.error
    same = before is not None and before.reason == outcome.reason.value
    delay = outcome.retry_after or WAIT.after_delay(before.retry_after_seconds if before is not None and same else None)
    decision.status = history.withdrawn(decision.status)
    decision.set(
        attempts=attempts,
        progress=None,
        next_retry_time=later(decision.now, delay),
        error=_error(outcome.reason, outcome.message, outcome.hint, retry_after=delay),
    )
    if not same and outcome.reason is not Reason.THROTTLED:
        decision.event(outcome.reason, outcome.message, warning=True)
    decision.state(State.PENDING, outcome.reason, outcome.message)


def wait_for_return(decision: OperationDecision, reason: Reason) -> None:
    """Wait for something whose return is told; until then nothing is tried."""
    if decision.status.error is None or decision.status.error.reason != reason:
        decision.event(reason, reason.sentence, warning=True)
    decision.set(next_retry_time=None, error=_error(reason, reason.sentence, None))
    decision.state(State.PENDING, reason)


def _retry(decision: OperationDecision, outcome: Outcome) -> None:
    """Count the failure; plan the next attempt or give up."""
    failed = decision.status.failed_attempts + 1
    limit = decision.view.spec.backoff_limit if decision.view.spec is not None else 0
    error = _error(outcome.reason, outcome.message, outcome.hint)
    decision.set(failed_attempts=failed, error=error)
    if failed > limit:
        message = f"Gave up after {failed} failed attempts. The last one: {outcome.message}"
        end(decision, Reason.BACKOFF_LIMIT_EXCEEDED, message, error=error)
        return
    delay = max(retry_delay(failed, key=f"{decision.view.uid}/{decision.status.run}"), outcome.retry_after or 0.0)
    at = later(decision.now, delay)
    decision.set(next_retry_time=at, error=error.model_copy(update={"retry_after_seconds": math.ceil(delay)}))
    message = f"{outcome.message} Attempt {failed + 1} of {limit + 1} follows at {at:%H:%M:%S} UTC."
    decision.state(State.PENDING, outcome.reason, message)
    decision.event(Reason.RETRYING, outcome.message, warning=True)


def end(
    decision: OperationDecision,
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
    decision.set(completion_time=decision.stamp, next_retry_time=None, error=error)
    decision.state(state, reason, message)
    decision.event(reason, message, warning=state is not State.SUCCEEDED)


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
