"""Rules for an operation whose run has ended: drift, time to live, and what is removed with the object."""

import hashlib
from datetime import datetime, timedelta

from imageops.api.operations import DeletionPolicy, ImagePullSpec
from imageops.api.reasons import Reason, ReasonClass
from imageops.api.status import OperationStatus, Phase, PreviousImage, Trigger
from imageops.core.attempts import Operation, OperationTurn, later
from imageops.core.effects import Purpose, SetFinalizer, StartAttempt
from imageops.core.outcome import Attempt, Outcome
from imageops.core.run import finished
from imageops.core.ttl import expire

JITTER_SHARE = 0.1
JITTER_LIMIT_SECONDS = 60.0
CHECK_TIMEOUT = timedelta(seconds=120)
REMOVAL_RETRY_SECONDS = 5.0
FINALIZER_PATIENCE = timedelta(minutes=10)
"""How long a deleted object waits for a daemon that does not answer."""


def settle(turn: OperationTurn, attempt: Attempt | None, *, unused: bool, accepting: bool) -> None:
    """Look after an object at rest; `unused` says that its image is to leave the daemon."""
    spec = turn.op.spec
    if spec is None:
        return
    if needs_finalizer(turn.op) and turn.status.phase == Phase.SUCCEEDED:
        turn.effects.append(SetFinalizer(present=True))
    expire(turn, spec.ttl_seconds_after_finished)
    if attempt is not None:
        if turn.now >= attempt.started + CHECK_TIMEOUT:
            turn.stop(attempt, Reason.TIMED_OUT)
        else:
            turn.wakes.append(attempt.started + CHECK_TIMEOUT)
        return
    if unused and turn.status.image is not None and turn.status.image.present and not turn.op.held_by_others:
        _remove(turn, None, accepting=accepting)
        return
    tick = _next_tick(turn)
    if tick is None or not accepting:
        return
    if tick > turn.now:
        turn.wakes.append(tick)
    elif turn.status.phase == Phase.SUCCEEDED:
        turn.effects.append(StartAttempt(run=turn.status.run, number=0, purpose=Purpose.CHECK))
        turn.wakes.append(turn.now + CHECK_TIMEOUT)


# --- drift


def due_run(turn: OperationTurn) -> Trigger | None:
    """Say whether a run that failed for good is to be made again: at the next tick of its interval."""
    tick = _next_tick(turn)
    due = tick is not None and tick <= turn.now and turn.status.phase == Phase.FAILED
    return Trigger.INTERVAL if due else None


def checked(turn: OperationTurn, outcome: Outcome) -> Trigger | None:
    """Take in what a check found; drift is a new run."""
    if outcome.reason.reason_class is ReasonClass.SUCCESS:
        return None
    if outcome.reason in {Reason.IMAGE_MISSING, Reason.REMOTE_DIGEST_CHANGED}:
        turn.event(outcome.reason, outcome.message, warning=True)
        return Trigger.INTERVAL
    if outcome.reason not in {Reason.INTERRUPTED, Reason.CANCELLED}:
        turn.event(Reason.CHECK_FAILED, f"{Reason.CHECK_FAILED.sentence} {outcome.message}", warning=True)
    return None


def former_image(status: OperationStatus) -> PreviousImage | None:
    """Return what the image was before the drift."""
    if status.image is None:
        return status.previous
    return PreviousImage(id=status.image.id, digest=status.image.digest)


def _next_tick(turn: OperationTurn) -> datetime | None:
    """Return the first tick of the interval after the last look, due or not; None without one."""
    spec, completion = turn.op.spec, turn.status.completion_time
    if not isinstance(spec, ImagePullSpec) or spec.interval_seconds is None or completion is None:
        return None
    if spec.suspend or spec.cancel or turn.op.refusal is not None:
        return None
    interval = timedelta(seconds=spec.interval_seconds)
    start = completion + _jitter(turn.op.uid, spec.interval_seconds)
    since = max(turn.op.looked_at or completion, completion)
    passed = max(0, (since - start) // interval)
    return start + interval * (passed + 1)


def _jitter(uid: str, interval_seconds: int) -> timedelta:
    draw = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4], "big") / 2**32
    return timedelta(seconds=min(interval_seconds * JITTER_SHARE, JITTER_LIMIT_SECONDS) * draw)


# --- deletion


def _wants_removal(operation: Operation) -> bool:
    spec = operation.spec
    return isinstance(spec, ImagePullSpec) and spec.deletion_policy is DeletionPolicy.DELETE and not spec.dry_run


def needs_finalizer(operation: Operation) -> bool:
    """Tell whether the finalizer has to be set before the image is pulled."""
    return operation.finalizes and _wants_removal(operation) and not operation.finalizer


def release(turn: OperationTurn) -> None:
    """Take away a finalizer that has no use any more, or that this operator sets on nothing."""
    unwanted = turn.op.spec is not None and not _wants_removal(turn.op)
    if turn.op.finalizer and (unwanted or not turn.op.finalizes):
        turn.effects.append(SetFinalizer(present=False))


def farewell(operation: Operation) -> StartAttempt | None:
    """Say whether the image of an object that is gone, and that no finalizer held back, is to be removed.

    That is an attempt like any other removal, of which nobody takes notice any more: there is no status to tell it in.
    """
    image = operation.status.image
    if operation.finalizer or not _wants_removal(operation) or operation.held_by_others:
        return None
    if image is None or not image.present or not finished(operation.status):
        return None
    return StartAttempt(run=operation.status.run, number=0, purpose=Purpose.REMOVAL)


def leave(turn: OperationTurn, attempt: Attempt | None, *, accepting: bool) -> None:
    """Let a deleted object go: stop its daemon call, and remove its image if it is to go with it."""
    if attempt is not None and attempt.purpose is not Purpose.REMOVAL:
        turn.stop(attempt, Reason.CANCELLED)
        return
    if not turn.op.finalizer:
        return
    wait_until = (turn.op.deleted_at or turn.now) + FINALIZER_PATIENCE
    unconfigured = turn.op.refusal is not None and turn.op.refusal.reason is Reason.DAEMON_NOT_CONFIGURED
    if not _has_something_to_remove(turn) or turn.op.held_by_others:
        turn.effects.append(SetFinalizer(present=False))
    elif turn.now >= wait_until or unconfigured:
        turn.stop(attempt, Reason.CANCELLED)
        turn.event(Reason.FINALIZER_RELEASED, Reason.FINALIZER_RELEASED.sentence, warning=True)
        turn.effects.append(SetFinalizer(present=False))
    elif attempt is not None:
        turn.wakes.append(wait_until)
    else:
        _remove(turn, wait_until, accepting=accepting)


def removed(turn: OperationTurn, outcome: Outcome) -> None:
    """Take in how the removal ended; one that failed is tried again."""
    image = turn.status.image
    if outcome.reason.reason_class is ReasonClass.SUCCESS and image is not None:
        turn.set(image=image.model_copy(update={"present": False}), next_retry_time=None)
    else:
        turn.set(next_retry_time=later(turn.now, REMOVAL_RETRY_SECONDS))


def _remove(turn: OperationTurn, wait_until: datetime | None, *, accepting: bool) -> None:
    due = turn.status.next_retry_time
    waits = due is not None and due > turn.now
    if not waits and accepting:
        turn.effects.append(StartAttempt(run=turn.status.run, number=0, purpose=Purpose.REMOVAL))
    turn.wakes.extend(time for time in (due if waits else None, wait_until) if time is not None)


def _has_something_to_remove(turn: OperationTurn) -> bool:
    image = turn.status.image
    return _wants_removal(turn.op) and image is not None and bool(image.present)
