"""Let a deleted object go, and remove the image that is to go with it."""

from datetime import datetime, timedelta

from imageops.api.operations import DeletionPolicy, ImagePullSpec
from imageops.api.reasons import Reason, ReasonClass
from imageops.core.attempt import Attempt
from imageops.core.effects import Purpose, SetFinalizer, StartAttempt
from imageops.core.operation import Operation, OperationDecision
from imageops.core.outcome import Outcome
from imageops.core.retry import later, stop
from imageops.core.run import finished

REMOVAL_RETRY_SECONDS = 5.0
FINALIZER_PATIENCE = timedelta(minutes=10)
"""How long a deleted object waits for a daemon that does not answer."""


def _wants_removal(operation: Operation) -> bool:
    spec = operation.spec
    return isinstance(spec, ImagePullSpec) and spec.deletion_policy is DeletionPolicy.DELETE and not spec.dry_run


def needs_finalizer(operation: Operation) -> bool:
    """Tell whether the finalizer has to be set before the image is pulled."""
    return operation.finalizes and _wants_removal(operation) and not operation.finalizer


def release(decision: OperationDecision) -> None:
    """Take away a finalizer that has no use any more, or that this operator sets on nothing."""
    unwanted = decision.view.spec is not None and not _wants_removal(decision.view)
    if decision.view.finalizer and (unwanted or not decision.view.finalizes):
        decision.effects.append(SetFinalizer(present=False))


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


def leave(decision: OperationDecision, attempt: Attempt | None, *, accepting: bool) -> None:
    """Let a deleted object go: stop its daemon call, and remove its image if it is to go with it."""
    if attempt is not None and attempt.purpose is not Purpose.REMOVAL:
        stop(decision, attempt, Reason.CANCELLED)
        return
    if not decision.view.finalizer:
        return
    wait_until = (decision.view.deleted_at or decision.now) + FINALIZER_PATIENCE
    unconfigured = decision.view.refusal is not None and decision.view.refusal.reason is Reason.DAEMON_NOT_CONFIGURED
    if not _has_something_to_remove(decision) or decision.view.held_by_others:
        decision.effects.append(SetFinalizer(present=False))
    elif decision.now >= wait_until or unconfigured:
        stop(decision, attempt, Reason.CANCELLED)
        decision.event(Reason.FINALIZER_RELEASED, Reason.FINALIZER_RELEASED.sentence, warning=True)
        decision.effects.append(SetFinalizer(present=False))
    elif attempt is not None:
        decision.wakes.append(wait_until)
    else:
        remove(decision, wait_until, accepting=accepting)


def removed(decision: OperationDecision, outcome: Outcome) -> None:
    """Take in how the removal ended; one that failed is tried again."""
    image = decision.status.image
    if outcome.reason.reason_class is ReasonClass.SUCCESS and image is not None:
        decision.set(image=image.model_copy(update={"present": False}), next_retry_time=None)
    else:
        decision.set(next_retry_time=later(decision.now, REMOVAL_RETRY_SECONDS))


def remove(decision: OperationDecision, wait_until: datetime | None, *, accepting: bool) -> None:
    """Start to remove the image, if it is time; `wait_until` is when it is given up, if ever."""
    due = decision.status.next_retry_time
    waits = due is not None and due > decision.now
    if not waits and accepting:
        decision.effects.append(StartAttempt(run=decision.status.run, number=0, purpose=Purpose.REMOVAL))
    decision.wakes.extend(time for time in (due if waits else None, wait_until) if time is not None)


def _has_something_to_remove(decision: OperationDecision) -> bool:
    image = decision.status.image
    return _wants_removal(decision.view) and image is not None and bool(image.present)
