"""Decide what happens next to a Session: which steps start, which operations they need, and how the whole stands.

Everything is computed anew from the children at every occasion. A child's name follows from the Session's uid, the run,
the step and the kind, so a child that was created before a crash is found again instead of made twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.session import DigestPolicy, PromoteAction, SessionSpec, Step
from imageops.api.session_status import ACTIVE_LENGTH, ActiveOperation, Evidence, SessionStatus, StepStatus
from imageops.api.status import ObjectReference, OperationStatus, Phase
from imageops.core.conditions import State
from imageops.core.effects import CreateChild, Decision, DeleteChild, WakeChildren, Write
from imageops.core.operation import Parent
from imageops.core.plan import CONTAINERD, PULL, PUSH, TAG, SessionName, child_name, child_spec, kinds_of
from imageops.core.retry import WAIT_LIMIT_SECONDS
from imageops.core.run import Subject, Turn, finished, run_trigger

_ENDED = frozenset({Phase.SUCCEEDED.value, Phase.FAILED.value, Phase.CANCELLED.value})
SKIPPED = Reason.SKIPPED.value
"""The phase of a step that was never started."""


@dataclass(frozen=True, slots=True)
class Child:
    """An operation that a Session owns."""

    kind: str
    name: str
    uid: str
    status: OperationStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(Subject[SessionStatus]):
    """One Session."""

    name: str
    spec: SessionSpec | None
    """None when no model accepts it; `refusal` then says why."""
    children: Sequence[Child] = ()
    foreign: frozenset[str] = frozenset()
    """Names that objects of other owners hold, so that no child can have them."""
    image_store: str | None = None
    """The image store of the daemon that the Session's operations use; None = not known yet."""


def decide_session(session: Session, *, now: datetime) -> Decision[SessionStatus]:
    """Return the status that holds now and what is to be done."""
    turn = _Turn(session, now, session.status, session=session)
    if session.deleting:
        return Decision(status=turn.status, write=Write.NOTHING)
    trigger = run_trigger(session, turn.status)
    if trigger is not None:
        turn.begin_run(trigger, steps=(), active=(), errors=(), evidence=(), statistics=None)
    turn.observe()
    turn.remove_former()
    if not finished(turn.status):
        turn.advance()
    return turn.result()


@dataclass(slots=True)
class _Turn(Turn[SessionStatus]):
    session: Session = field(kw_only=True)

    # --- children

    def name_of(self, step: str, kind: str) -> str:
        identity = SessionName(self.session.name, self.session.uid)
        names = (child_name(identity, step=step, run=self.status.run, kind=kind, attempt=n) for n in count())
        return next(name for name in names if name not in self.session.foreign)

    def children_of(self, step: Step) -> dict[str, Child]:
        """Return the step's operations of this run, by kind."""
        wanted = {(kind, self.name_of(step.name, kind)) for kind in kinds_of(step)}
        return {child.kind: child for child in self.session.children if (child.kind, child.name) in wanted}

    def remove_former(self) -> None:
        """Remove the operations of former runs and of steps that are gone."""
        if self.session.spec is None:
            return
        own = {
            (kind, self.name_of(step.name, kind)) for step in self.session.spec.steps for kind in kinds_of(step)
        }
        for child in self.session.children:
            if (child.kind, child.name) not in own:
                self.effects.append(DeleteChild(kind=child.kind, name=child.name, uid=child.uid))

    # --- a run in progress

    def advance(self) -> None:
        spec, refusal = self.session.spec, self.session.refusal
        if refusal is not None or spec is None:
            refusal = refusal or OperationError(Reason.INVALID_SPEC)
            self.end(State.FAILED, refusal.reason, refusal.message)
            return
        before = {row.name: row for row in self.status.steps}
        rows = [self.look(step, before.get(step.name)) for step in spec.steps]
        stopping = self.stopping(spec)
        if stopping is not None:
            rows = [self.left(row, Phase.CANCELLED.value, Reason.CANCELLED) for row in rows]
            self.tell_children()
        elif spec.suspend:
            self.tell_children()
        elif self.session.image_store is None:
            self.wait_for_daemon()
            return
        else:
            self.come_back()
            rows = self.schedule(spec, rows)
        self.show(rows)
        self.conclude(spec, rows, stopping)

    def look(self, step: Step, before: StepStatus | None) -> StepStatus:
        """Return how a step stands, as its operations tell it; the end of a step is final within its run."""
        row = before or StepStatus(name=step.name, action=step.action_type.value)
        if row.phase in _ENDED or row.phase == SKIPPED or row.start_time is None:
            return row
        children = self.children_of(step)
        present = [children[kind] for kind in kinds_of(step) if kind in children]
        if not present:
            return row
        latest = present[-1]
        attempts = sum(child.status.attempts for child in present)
        row = row.model_copy(update={"operation_ref": _ref(latest), "attempts": attempts})
        if latest.status.phase in {Phase.FAILED, Phase.CANCELLED}:
            reason = latest.status.error.reason if latest.status.error is not None else Reason.CANCELLED.value
            return self.ended(row, latest.status.phase, reason)
        if len(present) == len(kinds_of(step)) and latest.status.phase == Phase.SUCCEEDED:
            return self.completed(step, row, children)
        return row

    def completed(self, step: Step, row: StepStatus, children: Mapping[str, Child]) -> StepStatus:
        """Close a step whose operations all succeeded; a promotion also has to keep its promise."""
        last = children[kinds_of(step)[-1]]
        image = last.status.image
        row = row.model_copy(update={"digest": image.digest if image is not None else None})
        if not isinstance(step.action, PromoteAction):
            return self.ended(row, Phase.SUCCEEDED, _reason_of(last.status))
        evidence = _evidence(children)
        self.set(evidence=(*self.status.evidence, evidence))
        if step.action.digest_policy is DigestPolicy.REQUIRE and not evidence.digest_preserved:
            return self.ended(row, Phase.FAILED, Reason.DIGEST_MISMATCH.value)
        return self.ended(row, Phase.SUCCEEDED, Reason.PROMOTED.value)

    def stopping(self, spec: SessionSpec) -> Reason | None:
        """Say whether the run is to stop, and keep an eye on its deadline."""
        deadline = deadline_of(spec, self.status)
        if deadline is not None and deadline > self.now:
            self.wakes.append(deadline)
        return stop_reason(spec, self.status, now=self.now)

    def tell_children(self) -> None:
        if any(child.status.completion_time is None for child in self.session.children):
            self.effects.append(WakeChildren())

    def wait_for_daemon(self) -> None:
        """Wait until the daemon has said once how it keeps images: what a promotion needs depends on it."""
        self.state(State.PENDING, Reason.DAEMON_UNAVAILABLE)
        self.wakes.append(self.now + timedelta(seconds=WAIT_LIMIT_SECONDS))

    # --- the order of steps

    def schedule(self, spec: SessionSpec, rows: list[StepStatus]) -> list[StepStatus]:
        """Start what may start, go on with what runs, and skip what can no longer run."""
        result = {row.name: row for row in rows}
        for step in spec.steps:
            if _is_running(result[step.name]):
                result[step.name] = self.go_on(spec, step, result[step.name])
        for step in spec.steps:
            row = result[step.name]
            if row.start_time is not None or row.phase == SKIPPED:
                continue
            failed = sum(other.phase in {Phase.FAILED, Phase.CANCELLED} for other in result.values())
            if failed > spec.max_failed_steps or any(_is_lost(result[name]) for name in step.run_after):
                result[step.name] = self.left(row, SKIPPED, Reason.SKIPPED)
                continue
            running = sum(_is_running(other) for other in result.values())
            ready = all(result[name].phase == Phase.SUCCEEDED for name in step.run_after)
            if ready and running < spec.parallelism:
                started = row.model_copy(update={"phase": Phase.RUNNING.value, "start_time": self.stamp})
                result[step.name] = self.go_on(spec, step, started)
        return [result[step.name] for step in spec.steps]

    def go_on(self, spec: SessionSpec, step: Step, row: StepStatus) -> StepStatus:
        """Create the operation that a started step needs next."""
        children = self.children_of(step)
        missing = next((kind for kind in kinds_of(step) if kind not in children), None)
        former = {kind: child.status for kind, child in children.items()}
        if missing is None or any(status.phase != Phase.SUCCEEDED for status in former.values()):
            return row
        if isinstance(step.action, PromoteAction):
            if step.action.digest_policy is DigestPolicy.REQUIRE and self.session.image_store != CONTAINERD:
                return self.ended(row, Phase.FAILED, Reason.ENGINE_UNSUPPORTED.value)
        name = self.name_of(step.name, missing)
        operation = child_spec(
            spec,
            step,
            missing,
            session=self.session.name,
            former=former,
            image_store=self.session.image_store,
        )
        self.effects.append(CreateChild(kind=missing, name=name, step=step.name, spec=operation))
        return row.model_copy(update={"operation_ref": ObjectReference(kind=missing, name=name)})

    def ended(self, row: StepStatus, phase: str, reason: str) -> StepStatus:
        return row.model_copy(update={"phase": str(phase), "reason": reason, "completion_time": self.stamp})

    def left(self, row: StepStatus, phase: str, reason: Reason) -> StepStatus:
        """Close a step that was never started; any other stays as it is."""
        if row.start_time is not None or row.phase in _ENDED or row.phase == SKIPPED:
            return row
        return self.ended(row, phase, reason.value)

    # --- the whole

    def show(self, rows: Sequence[StepStatus]) -> None:
        phases = [row.phase for row in rows]
        running = [child for child in self.session.children if child.status.phase == Phase.RUNNING]
        self.set(
            steps=tuple(rows),
            total=len(rows),
            pending=sum(row.phase == Phase.PENDING for row in rows),
            running=sum(_is_running(row) for row in rows),
            succeeded=phases.count(Phase.SUCCEEDED.value),
            failed=phases.count(Phase.FAILED.value),
            cancelled=phases.count(Phase.CANCELLED.value),
            skipped=phases.count(SKIPPED),
            active=tuple(_active(child) for child in running[:ACTIVE_LENGTH]),
        )

    def conclude(self, spec: SessionSpec, rows: Sequence[StepStatus], stopping: Reason | None) -> None:
        if any(_is_running(row) for row in rows) or any(row.phase == Phase.PENDING for row in rows):
            if spec.suspend and stopping is None:
                self.state(State.SUSPENDED, Reason.SUSPENDED)
            elif any(row.start_time is not None for row in rows):
                self.state(State.RUNNING, Reason.RUNNING, _tally(rows))
            return
        failed = [row for row in rows if row.phase == Phase.FAILED]
        if stopping is not None and any(row.phase == Phase.CANCELLED for row in rows):
            self.end(State.CANCELLED if stopping is Reason.CANCELLED else State.FAILED, stopping, stopping.sentence)
        elif failed or any(row.phase == Phase.CANCELLED for row in rows):
            self.end(State.FAILED, Reason.STEP_FAILED, _failure(rows))
        else:
            self.end(State.SUCCEEDED, Reason.COMPLETED, _tally(rows))

    def end(self, state: State, reason: Reason, message: str) -> None:
        self.set(completion_time=self.stamp, active=())
        self.state(state, reason, message)
        self.event(reason, message, warning=state is not State.SUCCEEDED)

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


def deadline_of(spec: SessionSpec, status: SessionStatus) -> datetime | None:
    """Return when a run has to be over; a suspended one has no deadline, its time starts anew when it comes back."""
    suspended = spec.suspend or status.phase == Phase.SUSPENDED
    if spec.active_deadline_seconds is None or status.start_time is None or suspended:
        return None
    return status.start_time + timedelta(seconds=spec.active_deadline_seconds)


def stop_reason(spec: SessionSpec, status: SessionStatus, *, now: datetime) -> Reason | None:
    """Say whether a run is to stop."""
    if spec.cancel:
        return Reason.CANCELLED
    deadline = deadline_of(spec, status)
    return Reason.DEADLINE_EXCEEDED if deadline is not None and now >= deadline else None


def demands(spec: SessionSpec, status: SessionStatus, *, now: datetime) -> Parent:
    """Say what a Session demands of its operations; a deadline that has passed cancels them."""
    return Parent(cancel=stop_reason(spec, status, now=now) is not None, suspend=spec.suspend)


def _is_running(row: StepStatus) -> bool:
    return row.start_time is not None and row.completion_time is None


def _is_lost(row: StepStatus) -> bool:
    return row.phase in {Phase.FAILED, Phase.CANCELLED} or row.phase == SKIPPED


def _ref(child: Child) -> ObjectReference:
    return ObjectReference(kind=child.kind, name=child.name)


def _active(child: Child) -> ActiveOperation:
    progress = child.status.progress
    return ActiveOperation(
        operation_ref=_ref(child),
        stage=progress.stage if progress is not None else None,
        percent=progress.percent if progress is not None else None,
    )


def _reason_of(status: OperationStatus) -> str:
    return next((condition.reason for condition in status.conditions if condition.type == "Ready"), status.phase)


def _evidence(children: Mapping[str, Child]) -> Evidence:
    """State what a promotion took and what arrived, each as a registry said it."""
    pulled, tagged, pushed = children[PULL].status, children[TAG].status, children[PUSH].status
    source = pulled.image.digest if pulled.image is not None else None
    target = pushed.image.digest if pushed.image is not None else None
    return Evidence(
        source=pulled.reference or "",
        target=pushed.reference or "",
        image_id=tagged.image.id if tagged.image is not None else None,
        source_digest=source,
        target_digest=target,
        digest_preserved=source is not None and source == target,
        platforms=pushed.image.platforms if pushed.image is not None else (),
    )


def _tally(rows: Sequence[StepStatus]) -> str:
    done = sum(row.phase == Phase.SUCCEEDED for row in rows)
    return f"{done} of {len(rows)} steps succeeded."


def _failure(rows: Sequence[StepStatus]) -> str:
    failed = [f"{row.name} ({row.reason})" for row in rows if row.phase in {Phase.FAILED, Phase.CANCELLED}]
    more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
    return f"{_tally(rows)} Failed: {', '.join(failed[:3])}{more}."
