"""Decide what happens next to a Session.

A Session with steps makes an operation for each; an open one counts the operations that join it. Everything is
computed anew from the operations at every occasion. The name of an operation follows from the Session's uid, the run,
the step, the kind and the try, so one that was created before a crash is found again instead of made twice.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec
from imageops.api.session_status import RUNS_LENGTH, Evidence, FinishedRun, SessionStatus, StepStatus
from imageops.api.status import Phase, Trigger
from imageops.core import session_summary as summary
from imageops.core.backoff import WAIT
from imageops.core.conditions import State
from imageops.core.effects import Decision, DeleteChild, WakeMembers, Write
from imageops.core.run import UNWRITABLE, finished, run_trigger, wanted
from imageops.core.session import Session, SessionDecision, child_names_of, unused
from imageops.core.session_stop import deadline_of, stop_reason, stopped_state
from imageops.core.session_summary import Member
from imageops.core.step_scheduler import SKIPPED, StepScheduler, failure, is_lost, is_running, tally
from imageops.core.ttl import expire


def decide_session(session: Session, *, now: datetime) -> Decision[SessionStatus]:
    """Return the status that holds now and what is to be done."""
    decision = SessionDecision(session, now, session.status)
    if session.deleting:
        return decision.result(Write.NOTHING)
    if session.unwritable:
        if not finished(decision.status):
            _end(decision, State.FAILED, Reason.ADMISSION_DENIED, UNWRITABLE)
        return decision.result(Write.NOTHING)
    trigger = run_trigger(session, decision.status)
    if trigger is not None:
        _begin(decision, trigger)
    elif _wants_retry(decision):
        _retry_failed(decision)
    decision.observe()
    decision.remember_token()
    decision.set(pending_retry_failed_at=_retry_token(decision))
    if session.spec is not None:
        _remove_former(decision, session.spec)
    if not finished(decision.status):
        _advance(decision)
        _sum_up(decision)
    if finished(decision.status) and (run_trigger(session, decision.status) is not None or _wants_retry(decision)):
        decision.wakes.append(now)
    if finished(decision.status) and session.spec is not None and not _is_busy(session, decision.status, session.spec):
        expire(decision, session.spec.ttl_seconds_after_finished)
    return decision.result(_write(decision))


# --- runs


def _begin(decision: SessionDecision, trigger: Trigger) -> None:
    decision.begin_run(
        trigger,
        **_retry_answered(decision),
        expiration_time=None,
        steps=(),
        active=(),
        errors=(),
        evidence=(),
        statistics=None,
        **dict.fromkeys(("total", "pending", "running", "succeeded", "failed", "cancelled", "skipped"), 0),
    )


def _retry_token(decision: SessionDecision) -> str | None:
    status = decision.status
    return wanted(decision.view.retry_failed_at, status.last_handled_retry_failed_at, status.pending_retry_failed_at)


def _wants_retry(decision: SessionDecision) -> bool:
    return _retry_token(decision) is not None and finished(decision.status)


def _retry_answered(decision: SessionDecision) -> dict[str, str | None]:
    token = decision.view.retry_failed_at or _retry_token(decision) or decision.status.last_handled_retry_failed_at
    return {"last_handled_retry_failed_at": token, "pending_retry_failed_at": None}


def _retry_failed(decision: SessionDecision) -> None:
    """Go on with the same run: the steps that did not succeed are made again."""
    decision.set(**_retry_answered(decision))
    if decision.view.spec is None or not any(is_lost(row) for row in decision.status.steps):
        return
    board = _board(decision, decision.view.spec)
    board.look()
    board.retry_failed()
    decision.set(
        steps=tuple(board.rows[step.name] for step in decision.view.spec.steps),
        start_time=decision.stamp,
        completion_time=None,
        expiration_time=None,
        runs=tuple(done for done in decision.status.runs if done.run != decision.status.run),
    )
    decision.state(State.PENDING, Reason.PENDING)


def _board(decision: SessionDecision, spec: SessionSpec) -> StepScheduler:
    names = child_names_of(decision.view, decision.status)
    rows = {row.name: row for row in decision.status.steps}
    session = decision.view
    return StepScheduler(spec, names, session.members, session.image_store, decision.stamp, rows, session.refused)


def _members(decision: SessionDecision, spec: SessionSpec) -> Sequence[Member]:
    """Return the operations that belong to this run: the steps' own, or all that joined."""
    if not spec.steps:
        return [one for one in decision.view.members if one.reason != Reason.SESSION_CLOSED]
    names = _board(decision, spec).names()
    return [one for one in decision.view.members if (one.kind, one.name) in names]


def _remove_former(decision: SessionDecision, spec: SessionSpec) -> None:
    """Remove operations of former runs, of former tries, and of steps that are gone."""
    names = _board(decision, spec).names()
    for one in decision.view.members:
        if not one.owned or (one.kind, one.name) in names:
            continue
        refused = decision.view.refused.get(one.name)
        if refused is not None and refused.deletion:
            if refused.due > decision.stamp:
                decision.wakes.append(refused.due)
                continue
            said = f"{one.kind} {one.name}: {refused.text.rstrip('.')}. {Reason.FAILED_DELETE.hint}"
            decision.event(Reason.FAILED_DELETE, said, warning=True)
        decision.effects.append(DeleteChild(kind=one.kind, name=one.name, uid=one.uid))


# --- a run in progress


def _advance(decision: SessionDecision) -> None:
    spec, refusal = decision.view.spec, decision.view.refusal
    if refusal is not None or spec is None:
        refusal = refusal or OperationError(Reason.INVALID_SPEC)
        _end(decision, State.FAILED, refusal.reason, refusal.message)
        return
    resumed = decision.was_suspended() and not spec.suspend
    if resumed:
        decision.come_back()
    stopping = stop_reason(spec, decision.status, now=decision.now)
    deadline = deadline_of(spec, decision.status)
    if deadline is not None and stopping is None:
        decision.wakes.append(deadline)
    demanding = stopping is not None or spec.suspend or resumed
    if demanding and any(not one.finished for one in decision.view.members):
        decision.effects.append(WakeMembers())
    if spec.steps:
        _advance_steps(decision, spec, stopping)
    else:
        _advance_open(decision, spec, stopping)


def _advance_steps(decision: SessionDecision, spec: SessionSpec, stopping: Reason | None) -> None:
    board = _board(decision, spec)
    board.look()
    blind = stopping is None and not spec.suspend and decision.view.image_store is None
    if stopping is not None:
        board.cancel_the_rest()
    elif not (blind or spec.suspend):
        board.schedule()
    decision.effects.extend(board.creations)
    rows = [board.rows[step.name] for step in spec.steps]
    _show_steps(decision, rows)
    _show_denied(decision, board)
    open_rows = [row for row in rows if is_running(row) or row.phase == Phase.PENDING]
    if open_rows and blind:
        decision.state(State.PENDING, Reason.DAEMON_UNAVAILABLE)
        decision.wakes.append(decision.now + timedelta(seconds=WAIT.limit))
        return
    if open_rows:
        _show_state(decision, spec, stopping, tally(rows), board)
        return
    failed = any(row.phase in {Phase.FAILED, Phase.CANCELLED} for row in rows)
    if stopping is not None and any(row.phase == Phase.CANCELLED for row in rows):
        _end(decision, stopped_state(stopping), stopping, stopping.sentence)
    elif failed:
        _end(decision, State.FAILED, Reason.STEP_FAILED, failure(rows, decision.status.errors))
    else:
        _end(decision, State.SUCCEEDED, Reason.DRY_RUN_PASSED if spec.dry_run else Reason.COMPLETED, tally(rows))


def _advance_open(decision: SessionDecision, spec: SessionSpec, stopping: Reason | None) -> None:
    members = _members(decision, spec)
    busy = any(not one.at_rest for one in members)
    if busy:
        _show_state(decision, spec, stopping)
        if stopping is None and not spec.suspend and not spec.closed:
            decision.state(State.OPEN, Reason.OPEN)
        return
    if stopping is not None:
        _end(decision, stopped_state(stopping), stopping, stopping.sentence)
    elif spec.closed or _idle_too_long(decision, spec):
        failed = [one for one in members if one.status.phase != Phase.SUCCEEDED]
        if failed:
            _end(decision, State.FAILED, Reason.MEMBER_FAILED, f"{len(failed)} of {len(members)} operations failed.")
        else:
            _end(decision, State.SUCCEEDED, Reason.COMPLETED, f"All {len(members)} operations succeeded.")
    elif spec.suspend:
        decision.state(State.SUSPENDED, Reason.SUSPENDED)
    else:
        decision.state(State.OPEN, Reason.OPEN)


def _idle_too_long(decision: SessionDecision, spec: SessionSpec) -> bool:
    if spec.idle_timeout_seconds is None or spec.suspend:
        return False
    ends = [one.status.completion_time for one in decision.view.members if one.status.completion_time is not None]
    quiet_since = max([decision.status.start_time or decision.stamp, *ends])
    closing = quiet_since + timedelta(seconds=spec.idle_timeout_seconds)
    if decision.now >= closing:
        return True
    decision.wakes.append(closing)
    return False


def _show_state(
    decision: SessionDecision,
    spec: SessionSpec,
    stopping: Reason | None,
    message: str | None = None,
    board: StepScheduler | None = None,
) -> None:
    """Show a run in progress."""
    if spec.suspend and stopping is None:
        decision.state(State.SUSPENDED, Reason.SUSPENDED)
    elif board is not None and board.waits_for_creation():
        _show_wait(decision, board)
    else:
        decision.state(State.RUNNING, Reason.RUNNING, message)


def _show_denied(decision: SessionDecision, board: StepScheduler) -> None:
    """Put on record which operations the API server refused for good."""
    for step, refused in board.denied.items():
        operation = board.rows[step].operation_ref
        if operation is not None:
            decision.set(errors=(*decision.status.errors, refused.error_of(operation)))
        decision.event(refused.reason, refused.told_of(step), warning=True)


def _show_wait(decision: SessionDecision, board: StepScheduler) -> None:
    """Show why an operation cannot be made now; what a former process said of it stands until that is known."""
    decision.wakes.extend(refused.due for refused in board.waits.values() if refused.due > decision.stamp)
    if not board.waits:
        return
    step, refused = next(iter(board.waits.items()))
    message = refused.told_of(step)
    if decision.status.conditions[0].reason != refused.reason:
        decision.event(refused.reason, message, warning=True)
    works = any(row.phase == Phase.RUNNING for row in board.rows.values())
    decision.state(State.RUNNING if works else State.PENDING, refused.reason, message)


# --- the whole


def _show_steps(decision: SessionDecision, rows: Sequence[StepStatus]) -> None:
    phases = [row.phase for row in rows]
    decision.set(
        steps=tuple(rows),
        total=len(rows),
        pending=phases.count(Phase.PENDING.value),
        running=phases.count(Phase.RUNNING.value),
        succeeded=phases.count(Phase.SUCCEEDED.value),
        failed=phases.count(Phase.FAILED.value),
        cancelled=phases.count(Phase.CANCELLED.value),
        skipped=phases.count(SKIPPED),
    )


def _sum_up(decision: SessionDecision) -> None:
    """Bring the record of all operations up to date."""
    spec = decision.view.spec
    if spec is None:
        return
    members = _members(decision, spec)
    if not spec.steps:
        phases = [one.status.phase for one in members]
        waiting = {Phase.PENDING.value, Phase.SUSPENDED.value}
        decision.set(
            total=len(phases),
            pending=sum(phase in waiting for phase in phases),
            running=phases.count(Phase.RUNNING.value),
            succeeded=phases.count(Phase.SUCCEEDED.value),
            failed=phases.count(Phase.FAILED.value),
            cancelled=phases.count(Phase.CANCELLED.value),
        )
    decision.set(
        active=summary.active(members),
        errors=summary.errors(members, decision.status.errors),
        history=summary.history(members, decision.status.history, limit=spec.history_limit),
        statistics=summary.statistics(members),
        evidence=_proof(decision, spec, members),
    )


def _proof(decision: SessionDecision, spec: SessionSpec, members: Sequence[Member]) -> tuple[Evidence, ...]:
    """Return what the operations of this run prove about what they pushed."""
    return summary.evidence(members, _board(decision, spec).promoted() if spec.steps else {})


def _end(decision: SessionDecision, state: State, reason: Reason, message: str) -> None:
    spec = decision.view.spec
    ttl = spec.ttl_seconds_after_finished if spec is not None and not decision.view.managed else None
    proof = _proof(decision, spec, _members(decision, spec)) if spec is not None else ()
    last = proof[-1] if proof else None
    done = FinishedRun(
        run=decision.status.run,
        completion_time=decision.stamp,
        phase=state.phase.value,
        reason=reason.value,
        source_digest=last.source_digest if last is not None else None,
        target_digest=last.target_digest if last is not None else None,
    )
    decision.set(
        completion_time=decision.stamp,
        expiration_time=decision.stamp + timedelta(seconds=ttl) if ttl is not None else None,
        runs=(*decision.status.runs, done)[-RUNS_LENGTH:],
    )
    decision.state(state, reason, message)
    decision.event(reason, message, warning=state is not State.SUCCEEDED)
    decision.effects.append(WakeMembers())


def _write(decision: SessionDecision) -> Write:
    if decision.status == decision.view.written:
        return Write.NOTHING
    settled = finished(decision.status) or decision.status.phase in {Phase.SUSPENDED, Phase.PENDING}
    return Write.COMMIT if settled else Write.REPORT


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
