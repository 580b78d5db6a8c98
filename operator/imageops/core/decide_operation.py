"""Decide what happens next to one operation: the rules of life of ImagePull, ImagePush and ImageTag.

A run is what one version of the What fields asks for. A run makes attempts until one succeeds, one fails for good, or
its limits are reached. A wait is not an attempt. The decision is taken again from the start at every occasion (a watch
event, an outcome, a time that has come), so an occasion that was missed costs nothing.
"""

from datetime import datetime, timedelta

from imageops.api.errors import OperationError
from imageops.api.operations import OperationSpec
from imageops.api.reasons import Reason, ReasonClass
from imageops.api.status import HistoryEntry, OperationStatus, Phase, Trigger
from imageops.core import deletion, drift, history
from imageops.core.attempt import Attempt
from imageops.core.conditions import State
from imageops.core.effects import Decision, PassCheckpoint, Purpose, SetFinalizer, StartAttempt, Write
from imageops.core.operation import Operation, OperationDecision
from imageops.core.outcome import Outcome
from imageops.core.progress import PROGRESS_PERIOD_SECONDS
from imageops.core.retry import close, close_interrupted, end, learn, stop, wait, wait_for_return
from imageops.core.run import UNWRITABLE, finished, run_trigger
from imageops.core.session_constraints import SessionConstraints
from imageops.core.ttl import expire

SHOW_AFTER = timedelta(milliseconds=250)
"""An attempt that ends sooner is written once, with its end."""
ACTIVITY = {"ImagePull": Reason.PULLING, "ImagePush": Reason.PUSHING, "ImageTag": Reason.TAGGING}
"""What a running operation of each kind gives as its reason."""


def decide(
    operation: Operation,
    *,
    attempt: Attempt | None,
    constraints: SessionConstraints | None,
    now: datetime,
    accepting: bool = True,
) -> Decision[OperationStatus]:
    """Return the status that holds now and what is to be done.

    Args:
        operation: The object.
        attempt: What this process is carrying out for it, if anything.
        constraints: What the Session that it belongs to asks of it, if it belongs to one.
        now: The present, in UTC.
        accepting: Whether new attempts may start; False while the process drains.

    """
    decision, constraints = OperationDecision(operation, now, operation.status), constraints or SessionConstraints()
    if attempt is not None and attempt.queued and attempt.outcome is not None and not accepting:
        return decision.result(Write.NOTHING)  # nothing was begun, so there is nothing to tell
    if operation.unwritable and not operation.deleting:
        _give_up(decision, attempt)
        return decision.result(Write.NOTHING)
    attempt, drifted = _take_in(decision, attempt)
    if operation.deleting:
        deletion.leave(decision, attempt, accepting=accepting)
        return decision.result(Write.NOTHING)
    if _another_run(decision, attempt, drifted):
        _take_notice(decision)
        if not finished(decision.status):
            _advance(decision, attempt, constraints, accepting=accepting)
        if finished(decision.status):
            _rest(decision, attempt, constraints, accepting=accepting)
        deletion.release(decision)
    return decision.result(_write(decision, attempt))


def _take_in(decision: OperationDecision, attempt: Attempt | None) -> tuple[Attempt | None, Trigger | None]:
    """Take over what an attempt learned and how it ended; return it if it goes on, and what a check asks to be run."""
    if attempt is None:
        if not finished(decision.status):
            close_interrupted(decision)
        return None, None
    if attempt.purpose is Purpose.RUN:
        learn(decision, attempt.facts)
    if attempt.outcome is None:
        return attempt, None
    match attempt.purpose:
        case Purpose.RUN:
            close(decision, attempt, attempt.outcome)
        case Purpose.CHECK:
            return None, drift.checked(decision, attempt.outcome)
        case Purpose.REMOVAL:
            deletion.removed(decision, attempt.outcome)
    return None, None


def _give_up(decision: OperationDecision, attempt: Attempt | None) -> None:
    """End in memory what cannot be put on record, so that it holds nothing that others wait for.

    Whatever the attempt came to: what is not on record has not been done.
    """
    stop(decision, attempt, Reason.INTERRUPTED)
    given_up = decision.status.error is not None and decision.status.error.reason == Reason.ADMISSION_DENIED
    if not given_up and (attempt is None or attempt.outcome is not None):
        end(decision, Reason.ADMISSION_DENIED, UNWRITABLE)


def _another_run(decision: OperationDecision, attempt: Attempt | None, drifted: Trigger | None) -> bool:
    """Begin another run if there is cause; False = what runs has to stop first."""
    trigger = drifted or run_trigger(decision.view, decision.status) or drift.due_run(decision)
    if trigger is not None and attempt is not None:
        stop(decision, attempt, Reason.INTERRUPTED)
        return False
    ends_now = finished(decision.status) and not finished(decision.view.status)
    if trigger is Trigger.TOKEN and ends_now:
        return True  # the end of the present run is written first
    if trigger is not None:
        _begin(decision, trigger)
    return True


def _rest(
    decision: OperationDecision, attempt: Attempt | None, constraints: SessionConstraints, *, accepting: bool
) -> None:
    """Look after an object whose run has ended."""
    if run_trigger(decision.view, decision.status) is not None:
        decision.wakes.append(decision.now)
    spec = decision.view.spec
    if spec is None:
        return
    if deletion.needs_finalizer(decision.view) and decision.status.phase == Phase.SUCCEEDED:
        decision.effects.append(SetFinalizer(present=True))
    expire(decision, spec.ttl_seconds_after_finished)
    if attempt is not None:
        if decision.now >= attempt.started + drift.CHECK_TIMEOUT:
            stop(decision, attempt, Reason.TIMED_OUT)
        else:
            decision.wakes.append(attempt.started + drift.CHECK_TIMEOUT)
        return
    if (
        constraints.remove_image
        and decision.status.image is not None
        and decision.status.image.present
        and not decision.view.held_by_others
    ):
        deletion.remove(decision, None, accepting=accepting)
        return
    tick = drift.next_tick(decision)
    if tick is None or not accepting:
        return
    if tick > decision.now:
        decision.wakes.append(tick)
    elif decision.status.phase == Phase.SUCCEEDED:
        decision.effects.append(StartAttempt(run=decision.status.run, number=0, purpose=Purpose.CHECK))
        decision.wakes.append(decision.now + drift.CHECK_TIMEOUT)


def _begin(decision: OperationDecision, trigger: Trigger) -> None:
    decision.begin_run(
        trigger,
        next_retry_time=None,
        daemon=None,
        auth=None,
        image=None,
        previous=drift.former_image(decision.status) if trigger is Trigger.INTERVAL else None,
        progress=None,
        error=None,
        attempts=0,
        failed_attempts=0,
        **decision.view.references,
    )


def _take_notice(decision: OperationDecision) -> None:
    """Let a changed How field take effect on a run in progress at once."""
    if decision.how_changed():
        decision.set(next_retry_time=None)
    decision.observe()
    decision.remember_token()


# --- a run in progress


def _advance(
    decision: OperationDecision, attempt: Attempt | None, constraints: SessionConstraints, *, accepting: bool
) -> None:
    spec = decision.view.spec
    if decision.view.refusal is not None or spec is None:
        refusal = decision.view.refusal or OperationError(Reason.INVALID_SPEC)
        _leave(decision, attempt, refusal.reason, refusal.message, refusal.hint)
    elif spec.cancel or constraints.cancel:
        _leave(decision, attempt, Reason.CANCELLED)
    elif _deadline_passed(decision, spec):
        _leave(decision, attempt, Reason.DEADLINE_EXCEEDED)
    elif spec.suspend or constraints.suspend:
        _suspend(decision, attempt)
    elif attempt is not None:
        _go_on(decision, attempt, spec)
    else:
        decision.come_back()
        if accepting:
            _start(decision, constraints)
        elif decision.status.phase == Phase.RUNNING:
            decision.state(State.PENDING, Reason.INTERRUPTED)


def _leave(
    decision: OperationDecision,
    attempt: Attempt | None,
    reason: Reason,
    message: str | None = None,
    hint: str | None = None,
) -> None:
    """End the run, after the daemon call is stopped."""
    if attempt is not None:
        stop(decision, attempt, reason)
    else:
        end(decision, reason, message or reason.sentence, hint)


def _deadline_passed(decision: OperationDecision, spec: OperationSpec) -> bool:
    if spec.active_deadline_seconds is None or decision.status.start_time is None or decision.was_suspended():
        return False
    deadline = decision.status.start_time + timedelta(seconds=spec.active_deadline_seconds)
    if decision.now >= deadline:
        return True
    decision.wakes.append(deadline)
    return False


def _suspend(decision: OperationDecision, attempt: Attempt | None) -> None:
    decision.wakes.clear()
    if attempt is not None:
        stop(decision, attempt, Reason.SUSPENDED)
    else:
        decision.set(next_retry_time=None)
        decision.state(State.SUSPENDED, Reason.SUSPENDED)


def _go_on(decision: OperationDecision, attempt: Attempt, spec: OperationSpec) -> None:
    """Watch a running attempt: its time limit, its progress, its checkpoint."""
    if attempt.queued:
        return
    limit = attempt.started + timedelta(seconds=spec.timeout_seconds)
    if decision.now >= limit:
        stop(decision, attempt, Reason.TIMED_OUT)
        return
    decision.wakes.append(limit)
    shown = _is_shown(decision, attempt)
    decision.wakes.append(
        decision.now + timedelta(seconds=PROGRESS_PERIOD_SECONDS) if shown else attempt.started + SHOW_AFTER
    )
    if attempt.progress is not None:
        decision.set(progress=attempt.progress)
    if shown and decision.status.error is not None and decision.status.error.reason_class == ReasonClass.WAITING:
        decision.set(error=None)
    if attempt.checkpoint:
        decision.effects.append(PassCheckpoint())


def _is_shown(decision: OperationDecision, attempt: Attempt) -> bool:
    return not attempt.queued and decision.now >= attempt.started + SHOW_AFTER


def _start(decision: OperationDecision, constraints: SessionConstraints) -> None:
    due = decision.status.next_retry_time
    if due is not None and due > decision.now and not _wait_is_over(decision):
        decision.wakes.append(due)
        return
    if constraints.missing:
        missing = Reason.SESSION_NOT_FOUND
        wait(decision, Outcome(reason=missing, message=missing.sentence), attempts=decision.status.attempts)
        decision.wakes.append(decision.status.next_retry_time or decision.now)
        return
    refused = _refused_by(decision, constraints)
    if refused is not None:
        end(decision, refused, refused.sentence)
        return
    if decision.view.daemon_away:
        wait_for_return(decision, Reason.DAEMON_UNAVAILABLE)
        return
    if deletion.needs_finalizer(decision.view):
        decision.effects.append(SetFinalizer(present=True))
        return
    number, run = decision.status.attempts + 1, decision.status.run
    trigger = decision.status.trigger or Trigger.SPEC
    entry = HistoryEntry(run=run, trigger=trigger, attempt=number, start_time=decision.stamp)
    decision.status = history.opened(decision.status, entry)
    decision.set(attempts=number, next_retry_time=None, progress=None)
    decision.state(State.RUNNING, ACTIVITY.get(decision.view.kind, Reason.RUNNING))
    decision.effects.append(StartAttempt(run=run, number=number))


def _refused_by(decision: OperationDecision, constraints: SessionConstraints) -> Reason | None:
    error = decision.status.error
    joins = decision.begun_by is not None or (error is not None and error.reason == Reason.SESSION_NOT_FOUND)
    if constraints.closed and joins:
        return Reason.SESSION_CLOSED
    return Reason.SESSION_LIMIT_EXCEEDED if constraints.over_limit and not decision.status.attempts else None


def _wait_is_over(decision: OperationDecision) -> bool:
    error = decision.status.error
    return error is not None and error.reason in decision.view.arrived


# --- the result


def _write(decision: OperationDecision, attempt: Attempt | None) -> Write:
    if decision.status is decision.view.written:
        return Write.NOTHING
    if attempt is not None and attempt.purpose is Purpose.RUN and not attempt.checkpoint:
        written = decision.view.written
        if written is None or decision.status.pending_requested_at != written.pending_requested_at:
            return Write.REPORT
        return Write.REPORT if _is_shown(decision, attempt) else Write.NOTHING
    if decision.status == decision.view.written:
        return Write.NOTHING
    starts = any(isinstance(effect, StartAttempt) and effect.purpose is Purpose.RUN for effect in decision.effects)
    # Who starts on a stale cache is told by a refused write, before the daemon does anything twice.
    return Write.NOTHING if starts and decision.view.confirmed else Write.COMMIT
