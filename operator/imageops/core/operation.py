"""Decide what happens next to one operation: the rules of life of ImagePull, ImagePush and ImageTag.

A run is what one version of the What fields asks for. A run makes attempts until one succeeds, one fails for good, or
its limits are reached. A wait is not an attempt. The decision is taken again from the start at every occasion (a watch
event, an outcome, a time that has come), so an occasion that was missed costs nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from imageops.api.errors import OperationError
from imageops.api.operations import OperationSpec
from imageops.api.reasons import Reason, ReasonClass
from imageops.api.status import HistoryEntry, OperationStatus, Phase, Trigger
from imageops.core import afterlife, history
from imageops.core.attempts import Operation, OperationTurn
from imageops.core.conditions import State
from imageops.core.effects import Decision, PassCheckpoint, Purpose, SetFinalizer, StartAttempt, Write
from imageops.core.outcome import Attempt, Outcome
from imageops.core.run import UNWRITABLE, finished, run_trigger

SHOW_AFTER = timedelta(milliseconds=250)
"""An attempt that ends sooner is written once, with its end."""
PROGRESS_PERIOD = timedelta(seconds=2)
"""How often the progress of a running attempt is looked at."""

ACTIVITY = {"ImagePull": Reason.PULLING, "ImagePush": Reason.PUSHING, "ImageTag": Reason.TAGGING}
"""What a running operation of each kind gives as its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The Session an operation belongs to, as far as it matters to the operation."""

    missing: bool = False
    cancel: bool = False
    """Cancelled, or past its deadline."""
    suspend: bool = False
    closed: bool = False
    """Takes no further run; those that have begun go on."""
    over_limit: bool = False
    """Has used up its limits: nothing that has made no attempt yet may start."""
    remove_image: bool = False
    """Has no further use for what the operation left on the daemon."""


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
        attempt: What this process is carrying out for it, if anything.
        parent: The Session it belongs to, if any.
        now: The present, in UTC.
        accepting: Whether new attempts may start; False while the process drains.

    """
    turn = _Turn(operation, now, operation.status, op=operation)
    if attempt is not None and attempt.queued and attempt.outcome is not None and not accepting:
        return turn.result(Write.NOTHING)  # nothing was begun, so there is nothing to tell
    if operation.unwritable and not operation.deleting:
        turn.give_up(attempt)
        return turn.result(Write.NOTHING)
    attempt = turn.take_in(attempt)
    if operation.deleting:
        afterlife.leave(turn, attempt, accepting=accepting)
        return turn.result(Write.NOTHING)
    if turn.another_run(attempt):
        turn.take_notice()
        if not finished(turn.status):
            turn.advance(attempt, parent or Parent(), accepting=accepting)
        if finished(turn.status):
            turn.rest(attempt, parent or Parent(), accepting=accepting)
        afterlife.release(turn)
    return turn.result(turn.write(attempt))


@dataclass(slots=True)
class _Turn(OperationTurn):
    begun_by_check: Trigger | None = field(default=None, kw_only=True)

    def take_in(self, attempt: Attempt | None) -> Attempt | None:
        """Take over what an attempt learned and how it ended; return it if it goes on."""
        if attempt is None:
            if not finished(self.status):
                self.close_interrupted()
            return None
        if attempt.purpose is Purpose.RUN:
            self.learn(attempt.facts)
        if attempt.outcome is None:
            return attempt
        match attempt.purpose:
            case Purpose.RUN:
                self.close(attempt, attempt.outcome)
            case Purpose.CHECK:
                self.begun_by_check = afterlife.checked(self, attempt.outcome)
            case Purpose.REMOVAL:
                afterlife.removed(self, attempt.outcome)
        return None

    def give_up(self, attempt: Attempt | None) -> None:
        """End in memory what cannot be put on record, so that it holds nothing that others wait for.

        Whatever the attempt came to: what is not on record has not been done.
        """
        self.stop(attempt, Reason.INTERRUPTED)
        given_up = self.status.error is not None and self.status.error.reason == Reason.ADMISSION_DENIED
        if not given_up and (attempt is None or attempt.outcome is not None):
            self.end(Reason.ADMISSION_DENIED, UNWRITABLE)

    def another_run(self, attempt: Attempt | None) -> bool:
        """Begin another run if there is cause; False = what runs has to stop first."""
        trigger = self.begun_by_check or run_trigger(self.op, self.status) or afterlife.due_run(self)
        if trigger is not None and attempt is not None:
            self.stop(attempt, Reason.INTERRUPTED)
            return False
        ends_now = finished(self.status) and not finished(self.op.status)
        if trigger is Trigger.TOKEN and ends_now:
            return True  # the end of the present run is written first
        if trigger is not None:
            self.begin(trigger)
        return True

    def rest(self, attempt: Attempt | None, parent: Parent, *, accepting: bool) -> None:
        """Look after an object whose run has ended."""
        if run_trigger(self.op, self.status) is not None:
            self.wakes.append(self.now)
        afterlife.settle(self, attempt, unused=parent.remove_image, accepting=accepting)

    def begin(self, trigger: Trigger) -> None:
        self.begin_run(
            trigger,
            next_retry_time=None,
            daemon=None,
            auth=None,
            image=None,
            previous=afterlife.former_image(self.status) if trigger is Trigger.INTERVAL else None,
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
        self.remember_token()

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
                self.start(parent)
            elif self.status.phase == Phase.RUNNING:
                self.state(State.PENDING, Reason.INTERRUPTED)

    def leave(
        self,
        attempt: Attempt | None,
        reason: Reason,
        message: str | None = None,
        hint: str | None = None,
    ) -> None:
        """End the run, after the daemon call is stopped."""
        if attempt is not None:
            self.stop(attempt, reason)
        else:
            self.end(reason, message or reason.sentence, hint)

    def deadline_passed(self, spec: OperationSpec) -> bool:
        if spec.active_deadline_seconds is None or self.status.start_time is None or self.was_suspended():
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
        if attempt.queued:
            return
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

    def start(self, parent: Parent) -> None:
        due = self.status.next_retry_time
        if due is not None and due > self.now and not self.wait_is_over():
            self.wakes.append(due)
            return
        if parent.missing:
            missing = Reason.SESSION_NOT_FOUND
            self.wait(Outcome(reason=missing, message=missing.sentence), attempts=self.status.attempts)
            self.wakes.append(self.status.next_retry_time or self.now)
            return
        refused = self.refused_by(parent)
        if refused is not None:
            self.end(refused, refused.sentence)
            return
        if self.op.daemon_away:
            self.wait_for_return(Reason.DAEMON_UNAVAILABLE)
            return
        if afterlife.needs_finalizer(self.op):
            self.effects.append(SetFinalizer(present=True))
            return
        number, run = self.status.attempts + 1, self.status.run
        trigger = self.status.trigger or Trigger.SPEC
        entry = HistoryEntry(run=run, trigger=trigger, attempt=number, start_time=self.stamp)
        self.status = history.opened(self.status, entry)
        self.set(attempts=number, next_retry_time=None, progress=None)
        self.state(State.RUNNING, ACTIVITY.get(self.op.kind, Reason.RUNNING))
        self.effects.append(StartAttempt(run=run, number=number))

    def refused_by(self, parent: Parent) -> Reason | None:
        error = self.status.error
        joins = self.begun_by is not None or (error is not None and error.reason == Reason.SESSION_NOT_FOUND)
        if parent.closed and joins:
            return Reason.SESSION_CLOSED
        return Reason.SESSION_LIMIT_EXCEEDED if parent.over_limit and not self.status.attempts else None

    def wait_is_over(self) -> bool:
        error = self.status.error
        return error is not None and error.reason in self.op.arrived

    # --- the result

    def result(self, write: Write) -> Decision[OperationStatus]:
        return Decision(
            status=self.status,
            write=write,
            effects=tuple(self.effects),
            wake_at=min(self.wakes, default=None),
        )

    def write(self, attempt: Attempt | None) -> Write:
        if self.status is self.op.written:
            return Write.NOTHING
        if attempt is not None and attempt.purpose is Purpose.RUN and not attempt.checkpoint:
            if self.op.written is None or self.status.pending_requested_at != self.op.written.pending_requested_at:
                return Write.REPORT
            shown = not attempt.queued and self.now >= attempt.started + SHOW_AFTER
            return Write.REPORT if shown else Write.NOTHING
        if self.status == self.op.written:
            return Write.NOTHING
        starts = any(isinstance(effect, StartAttempt) and effect.purpose is Purpose.RUN for effect in self.effects)
        # Who starts on a view of the past is told by a refused write, before the daemon does anything twice.
        return Write.NOTHING if starts and self.op.confirmed else Write.COMMIT
