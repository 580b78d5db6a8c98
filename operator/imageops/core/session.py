"""Decide what happens next to a Session.

A Session with steps makes an operation for each; an open one counts the operations that join it. Everything is
computed anew from the operations at every occasion. The name of an operation follows from the Session's uid, the run,
the step, the kind and the try, so one that was created before a crash is found again instead of made twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec
from imageops.api.session_status import RUNS_LENGTH, Evidence, FinishedRun, SessionStatus, StepStatus
from imageops.api.status import Phase, Trigger
from imageops.core import session_summary as summary
from imageops.core.api_refusal import ApiRefusal
from imageops.core.backoff import WAIT_LIMIT_SECONDS
from imageops.core.conditions import State
from imageops.core.effects import Decision, DeleteChild, WakeMembers, Write
from imageops.core.plan import ChildNames, kinds_of, leaves_nothing
from imageops.core.run import UNWRITABLE, Subject, Turn, finished, run_trigger, wanted
from imageops.core.session_stop import deadline_of, stop_reason, stopped_state
from imageops.core.session_summary import Member
from imageops.core.step_scheduler import SKIPPED, StepScheduler, failure, is_lost, is_running, retries_of, tally
from imageops.core.ttl import expire


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(Subject[SessionStatus]):
    """One Session."""

    name: str
    spec: SessionSpec | None
    """None when no model accepts it; `refusal` then says why."""
    members: Sequence[Member] = ()
    retry_failed_at: str | None = None
    foreign: frozenset[str] = frozenset()
    """Names that objects of other owners hold."""
    refused: Mapping[str, ApiRefusal] = field(default_factory=dict)
    """What the API server said to the creation, or to the deletion, of operations, by their names."""
    image_store: str | None = None
    """The image store of the daemon that the Session's operations use; None = not known yet."""


def decide_session(session: Session, *, now: datetime) -> Decision[SessionStatus]:
    """Return the status that holds now and what is to be done."""
    turn = _Turn(session, now, session.status, session=session)
    if session.deleting:
        return Decision(status=turn.status, write=Write.NOTHING)
    if session.unwritable:
        if not finished(turn.status):
            turn.end(State.FAILED, Reason.ADMISSION_DENIED, UNWRITABLE)
        return Decision(status=turn.status, write=Write.NOTHING, effects=tuple(turn.effects))
    trigger = run_trigger(session, turn.status)
    if trigger is not None:
        turn.begin(trigger)
    elif turn.wants_retry():
        turn.retry_failed()
    turn.observe()
    turn.remember_token()
    turn.set(pending_retry_failed_at=turn.retry_token())
    if session.spec is not None:
        turn.remove_former(session.spec)
    if not finished(turn.status):
        turn.advance()
        turn.sum_up()
    if finished(turn.status) and (run_trigger(session, turn.status) is not None or turn.wants_retry()):
        turn.wakes.append(now)
    if finished(turn.status) and session.spec is not None and not _is_busy(turn.session, turn.status, session.spec):
        expire(turn, session.spec.ttl_seconds_after_finished)
    return turn.result()


@dataclass(slots=True)
class _Turn(Turn[SessionStatus]):
    session: Session = field(kw_only=True)

    # --- runs

    def begin(self, trigger: Trigger) -> None:
        self.begin_run(
            trigger,
            **self.retry_answered(),
            expiration_time=None,
            steps=(),
            active=(),
            errors=(),
            evidence=(),
            statistics=None,
            **dict.fromkeys(("total", "pending", "running", "succeeded", "failed", "cancelled", "skipped"), 0),
        )

    def retry_token(self) -> str | None:
        status = self.status
        return wanted(self.session.retry_failed_at, status.last_handled_retry_failed_at, status.pending_retry_failed_at)

    def wants_retry(self) -> bool:
        return self.retry_token() is not None and finished(self.status)

    def retry_answered(self) -> dict[str, str | None]:
        token = self.session.retry_failed_at or self.retry_token() or self.status.last_handled_retry_failed_at
        return {"last_handled_retry_failed_at": token, "pending_retry_failed_at": None}

    def retry_failed(self) -> None:
        """Go on with the same run: the steps that did not succeed are made again."""
        self.set(**self.retry_answered())
        if self.session.spec is None or not any(is_lost(row) for row in self.status.steps):
            return
        board = self.board(self.session.spec)
        board.look()
        board.retry_failed()
        self.set(
            steps=tuple(board.rows[step.name] for step in self.session.spec.steps),
            start_time=self.stamp,
            completion_time=None,
            expiration_time=None,
            runs=tuple(done for done in self.status.runs if done.run != self.status.run),
        )
        self.state(State.PENDING, Reason.PENDING)

    def board(self, spec: SessionSpec) -> StepScheduler:
        names = child_names_of(self.session, self.status)
        rows = {row.name: row for row in self.status.steps}
        session = self.session
        return StepScheduler(spec, names, session.members, session.image_store, self.stamp, rows, session.refused)

    def members(self, spec: SessionSpec) -> Sequence[Member]:
        """Return the operations that belong to this run: the steps' own, or all that joined."""
        if not spec.steps:
            return [one for one in self.session.members if one.reason != Reason.SESSION_CLOSED]
        names = self.board(spec).names()
        return [one for one in self.session.members if (one.kind, one.name) in names]

    def remove_former(self, spec: SessionSpec) -> None:
        """Remove operations of former runs, of former tries, and of steps that are gone."""
        names = self.board(spec).names()
        for one in self.session.members:
            if not one.owned or (one.kind, one.name) in names:
                continue
            refused = self.session.refused.get(one.name)
            if refused is not None and refused.deletion:
                if refused.due > self.stamp:
                    self.wakes.append(refused.due)
                    continue
                said = f"{one.kind} {one.name}: {refused.text.rstrip('.')}. {Reason.FAILED_DELETE.hint}"
                self.event(Reason.FAILED_DELETE, said, warning=True)
            self.effects.append(DeleteChild(kind=one.kind, name=one.name, uid=one.uid))

    # --- a run in progress

    def advance(self) -> None:
        spec, refusal = self.session.spec, self.session.refusal
        if refusal is not None or spec is None:
            refusal = refusal or OperationError(Reason.INVALID_SPEC)
            self.end(State.FAILED, refusal.reason, refusal.message)
            return
        resumed = self.was_suspended() and not spec.suspend
        if resumed:
            self.come_back()
        stopping = stop_reason(spec, self.status, now=self.now)
        deadline = deadline_of(spec, self.status)
        if deadline is not None and stopping is None:
            self.wakes.append(deadline)
        demanding = stopping is not None or spec.suspend or resumed
        if demanding and any(not one.finished for one in self.session.members):
            self.effects.append(WakeMembers())
        if spec.steps:
            self.advance_steps(spec, stopping)
        else:
            self.advance_open(spec, stopping)

    def advance_steps(self, spec: SessionSpec, stopping: Reason | None) -> None:
        board = self.board(spec)
        board.look()
        blind = stopping is None and not spec.suspend and self.session.image_store is None
        if stopping is not None:
            board.cancel_the_rest()
        elif not (blind or spec.suspend):
            board.schedule()
        self.effects.extend(board.creations)
        rows = [board.rows[step.name] for step in spec.steps]
        self.show_steps(rows)
        self.show_denied(board)
        open_rows = [row for row in rows if is_running(row) or row.phase == Phase.PENDING]
        if open_rows and blind:
            self.state(State.PENDING, Reason.DAEMON_UNAVAILABLE)
            self.wakes.append(self.now + timedelta(seconds=WAIT_LIMIT_SECONDS))
            return
        if open_rows:
            self.show_state(spec, stopping, tally(rows), board)
            return
        failed = any(row.phase in {Phase.FAILED, Phase.CANCELLED} for row in rows)
        if stopping is not None and any(row.phase == Phase.CANCELLED for row in rows):
            self.end(stopped_state(stopping), stopping, stopping.sentence)
        elif failed:
            self.end(State.FAILED, Reason.STEP_FAILED, failure(rows, self.status.errors))
        else:
            self.end(State.SUCCEEDED, Reason.DRY_RUN_PASSED if spec.dry_run else Reason.COMPLETED, tally(rows))

    def advance_open(self, spec: SessionSpec, stopping: Reason | None) -> None:
        members = self.members(spec)
        busy = any(not one.at_rest for one in members)
        if busy:
            self.show_state(spec, stopping)
            if stopping is None and not spec.suspend and not spec.closed:
                self.state(State.OPEN, Reason.OPEN)
            return
        if stopping is not None:
            self.end(stopped_state(stopping), stopping, stopping.sentence)
        elif spec.closed or self.idle_too_long(spec):
            failed = [one for one in members if one.status.phase != Phase.SUCCEEDED]
            if failed:
                self.end(State.FAILED, Reason.MEMBER_FAILED, f"{len(failed)} of {len(members)} operations failed.")
            else:
                self.end(State.SUCCEEDED, Reason.COMPLETED, f"All {len(members)} operations succeeded.")
        elif spec.suspend:
            self.state(State.SUSPENDED, Reason.SUSPENDED)
        else:
            self.state(State.OPEN, Reason.OPEN)

    def idle_too_long(self, spec: SessionSpec) -> bool:
        if spec.idle_timeout_seconds is None or spec.suspend:
            return False
        ends = [one.status.completion_time for one in self.session.members if one.status.completion_time is not None]
        quiet_since = max([self.status.start_time or self.stamp, *ends])
        closing = quiet_since + timedelta(seconds=spec.idle_timeout_seconds)
        if self.now >= closing:
            return True
        self.wakes.append(closing)
        return False

    def show_state(
        self,
        spec: SessionSpec,
        stopping: Reason | None,
        message: str | None = None,
        board: StepScheduler | None = None,
    ) -> None:
        """Show a run in progress."""
        if spec.suspend and stopping is None:
            self.state(State.SUSPENDED, Reason.SUSPENDED)
        elif board is not None and board.waits_for_creation():
            self.show_wait(board)
        else:
            self.state(State.RUNNING, Reason.RUNNING, message)

    def show_denied(self, board: StepScheduler) -> None:
        """Put on record which operations the API server refused for good."""
        for step, refused in board.denied.items():
            operation = board.rows[step].operation_ref
            if operation is not None:
                self.set(errors=(*self.status.errors, refused.error_of(operation)))
            self.event(refused.reason, refused.told_of(step), warning=True)

    def show_wait(self, board: StepScheduler) -> None:
        """Show why an operation cannot be made now; what a former process said of it stands until that is known."""
        self.wakes.extend(refused.due for refused in board.waits.values() if refused.due > self.stamp)
        if not board.waits:
            return
        step, refused = next(iter(board.waits.items()))
        message = refused.told_of(step)
        if self.status.conditions[0].reason != refused.reason:
            self.event(refused.reason, message, warning=True)
        works = any(row.phase == Phase.RUNNING for row in board.rows.values())
        self.state(State.RUNNING if works else State.PENDING, refused.reason, message)

    # --- the whole

    def show_steps(self, rows: Sequence[StepStatus]) -> None:
        phases = [row.phase for row in rows]
        self.set(
            steps=tuple(rows),
            total=len(rows),
            pending=phases.count(Phase.PENDING.value),
            running=phases.count(Phase.RUNNING.value),
            succeeded=phases.count(Phase.SUCCEEDED.value),
            failed=phases.count(Phase.FAILED.value),
            cancelled=phases.count(Phase.CANCELLED.value),
            skipped=phases.count(SKIPPED),
        )

    def sum_up(self) -> None:
        """Bring the record of all operations up to date."""
        spec = self.session.spec
        if spec is None:
            return
        members = self.members(spec)
        if not spec.steps:
            phases = [one.status.phase for one in members]
            waiting = {Phase.PENDING.value, Phase.SUSPENDED.value}
            self.set(
                total=len(phases),
                pending=sum(phase in waiting for phase in phases),
                running=phases.count(Phase.RUNNING.value),
                succeeded=phases.count(Phase.SUCCEEDED.value),
                failed=phases.count(Phase.FAILED.value),
                cancelled=phases.count(Phase.CANCELLED.value),
            )
        self.set(
            active=summary.active(members),
            errors=summary.errors(members, self.status.errors),
            history=summary.history(members, self.status.history, limit=spec.history_limit),
            statistics=summary.statistics(members),
            evidence=self.proof(spec, members),
        )

    def proof(self, spec: SessionSpec, members: Sequence[Member]) -> tuple[Evidence, ...]:
        """Return what the operations of this run prove about what they pushed."""
        return summary.evidence(members, self.board(spec).promoted() if spec.steps else {})

    def end(self, state: State, reason: Reason, message: str) -> None:
        spec = self.session.spec
        ttl = spec.ttl_seconds_after_finished if spec is not None and not self.session.managed else None
        proof = self.proof(spec, self.members(spec)) if spec is not None else ()
        last = proof[-1] if proof else None
        done = FinishedRun(
            run=self.status.run,
            completion_time=self.stamp,
            phase=state.phase.value,
            reason=reason.value,
            source_digest=last.source_digest if last is not None else None,
            target_digest=last.target_digest if last is not None else None,
        )
        self.set(
            completion_time=self.stamp,
            expiration_time=self.stamp + timedelta(seconds=ttl) if ttl is not None else None,
            runs=(*self.status.runs, done)[-RUNS_LENGTH:],
        )
        self.state(state, reason, message)
        self.event(reason, message, warning=state is not State.SUCCEEDED)
        self.effects.append(WakeMembers())

    def result(self) -> Decision[SessionStatus]:
        return Decision(
            status=self.status,
            write=self.write(),
            effects=tuple(self.effects),
            wake_at=min(self.wakes, default=None),
        )

    def write(self) -> Write:
        if self.status == self.session.written:
            return Write.NOTHING
        settled = finished(self.status) or self.status.phase in {Phase.SUSPENDED, Phase.PENDING}
        return Write.COMMIT if settled else Write.REPORT


# --- what a Session comes to


def _is_busy(session: Session, status: SessionStatus, spec: SessionSpec) -> bool:
    """Tell whether an operation has something left to do, be it to remove its image after a promotion."""
    left_over = unused(session, status, spec)
    return any(
        not one.at_rest
        or (
            one.name in left_over
            and one.status.image is not None
            and one.status.image.present
            and not one.held_by_others
        )
        for one in session.members
    )


def unused(session: Session, status: SessionStatus, spec: SessionSpec) -> set[str]:
    """Return the operations of promotions that succeeded and are to keep nothing on the daemon."""
    rows = {row.name: row for row in status.steps if row.phase == Phase.SUCCEEDED}
    names = child_names_of(session, status)
    return {
        names.of(step.name, kind, retries_of(rows, step))
        for step in spec.steps
        if step.name in rows and leaves_nothing(step)
        for kind in kinds_of(step)
    }


def child_names_of(session: Session, status: SessionStatus) -> ChildNames:
    """Return what the names of the Session's operations are made of in its present run."""
    return ChildNames(session.name, session.uid, status.run, session.foreign)
