"""Move the steps of a Session on: what each has come to, what may start, what is made again, what is skipped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from imageops.api.reasons import Reason
from imageops.api.session import DigestPolicy, PromoteAction, SessionSpec, Step
from imageops.api.session_status import Evidence, SessionError, StepStatus
from imageops.api.status import ObjectReference, Phase
from imageops.core.api_refusal import ApiRefusal
from imageops.core.effects import CreateChild
from imageops.core.plan import ChildNames, kinds_of, makes, needs, operation_spec
from imageops.core.session_summary import CONTAINERD, PULL, PUSH, Member, evidence

SKIPPED = Reason.SKIPPED.value
"""The phase of a step that was never started."""
_ENDED = frozenset({Phase.SUCCEEDED.value, Phase.FAILED.value, Phase.CANCELLED.value, SKIPPED})
_LOST = _ENDED - {Phase.SUCCEEDED.value}


@dataclass(slots=True)
class StepScheduler:
    """The steps of one run, as they stand, with what is to be created for them."""

    spec: SessionSpec
    child_names: ChildNames
    members: Sequence[Member]
    image_store: str | None
    now: datetime
    rows: dict[str, StepStatus]
    refused: Mapping[str, ApiRefusal] = field(default_factory=dict)
    """What the API server said to the creation of operations, by their names."""
    creations: list[CreateChild] = field(default_factory=list)
    denied: dict[str, ApiRefusal] = field(default_factory=dict)
    """The steps that end now because their operation is refused for good."""
    waits: dict[str, ApiRefusal] = field(default_factory=dict)
    """The steps whose operation is refused for now."""

    # --- what the operations tell

    def look(self) -> None:
        """Bring all rows up to what their operations tell; the end of a step is final within its try."""
        for step in self.spec.steps:
            row = self.rows.get(step.name) or StepStatus(name=step.name, action=step.action_type.value)
            self.rows[step.name] = self._seen(step, row) if is_running(row) else row
        for step in self.spec.steps:
            self._recover(step)

    def operations_of(self, step: Step) -> dict[str, Member]:
        """Return the operations of a step's present try, by kind."""
        wanted = {(kind, self._name(step, kind)) for kind in kinds_of(step)}
        return {one.kind: one for one in self.members if (one.kind, one.name) in wanted}

    def names(self) -> set[tuple[str, str]]:
        """Return kind and name of every operation that has a place in this run."""
        return names_of(self.spec, self.child_names, self.rows)

    def promoted(self) -> dict[str, str]:
        """Return the name of each promotion's pull, by that of its push."""
        promotions = (step for step in self.spec.steps if step.promote is not None)
        return {self._name(step, PUSH): self._name(step, PULL) for step in promotions}

    def waits_for_creation(self) -> bool:
        """Tell whether the API server refuses an operation for now, or did and has not been asked by this process."""
        return any(row.reason == Reason.FAILED_CREATE and is_running(row) for row in self.rows.values())

    def _name(self, step: Step, kind: str) -> str:
        return self.child_names.of(step.name, kind, retries_of(self.rows, step))

    def _seen(self, step: Step, row: StepStatus) -> StepStatus:
        operations = self.operations_of(step)
        present = [operations[kind] for kind in kinds_of(step) if kind in operations]
        if not present:
            return row
        latest = present[-1]
        attempts = sum(one.status.attempts for one in present)
        if row.operation_ref in [one.ref for one in present]:  # it was made, whatever had stood in the way
            row = row.model_copy(update={"phase": Phase.RUNNING.value, "reason": None})
        row = row.model_copy(update={"operation_ref": latest.ref, "attempts": attempts})
        if latest.status.phase in {Phase.FAILED, Phase.CANCELLED}:
            reason = latest.status.error.reason if latest.status.error is not None else latest.reason
            return self._ended(row, latest.status.phase, reason)
        if len(present) == len(kinds_of(step)) and latest.status.phase == Phase.SUCCEEDED:
            return self._completed(step, row, operations)
        return row

    def _completed(self, step: Step, row: StepStatus, operations: Mapping[str, Member]) -> StepStatus:
        """Close a step whose operations all succeeded; a promotion also has to keep its promise."""
        last = operations[kinds_of(step)[-1]]
        image = last.status.image
        row = row.model_copy(update={"digest": image.digest if image is not None else None})
        if not isinstance(step.action, PromoteAction) or self.spec.dry_run:
            return self._ended(row, Phase.SUCCEEDED, last.reason)
        proof: tuple[Evidence, ...] = evidence(list(operations.values()))
        kept = bool(proof) and proof[0].digest_preserved
        if step.action.digest_policy is DigestPolicy.REQUIRE and not kept:
            return self._ended(row, Phase.FAILED, Reason.DIGEST_MISMATCH.value)
        return self._ended(row, Phase.SUCCEEDED, Reason.PROMOTED.value)

    # --- what is made again

    def _recover(self, step: Step) -> None:
        """Make the image again that a step found gone from the daemon, once."""
        row = self.rows[step.name]
        if row.reason != Reason.IMAGE_NOT_ON_DAEMON or row.completion_time != self.now or row.retries:
            return
        if isinstance(step.action, PromoteAction):
            self._again(step)
            return
        producer = next(
            (
                other
                for other in self.spec.steps
                if needs(step) in makes(other)
                and self.rows[other.name].phase == Phase.SUCCEEDED
                and not self.rows[other.name].retries
            ),
            None,
        )
        if producer is not None:
            self._again(producer)
            self._again(step)

    def retry_failed(self) -> None:
        """Put back the steps that did not succeed."""
        for step in self.spec.steps:
            if self.rows[step.name].phase in _LOST:
                self._again(step)

    def _again(self, step: Step) -> None:
        row = self.rows[step.name]
        retries = row.retries if row.operation_ref is None else (row.retries or 0) + 1
        self.rows[step.name] = StepStatus(name=step.name, action=step.action_type.value, retries=retries)

    # --- what starts

    def schedule(self) -> None:
        """Start what may start, go on with what runs, and skip what can no longer run."""
        for step in self.spec.steps:
            if is_running(self.rows[step.name]):
                self.rows[step.name] = self._go_on(step, self.rows[step.name])
        before: dict[str, StepStatus] = {}
        while before != self.rows:  # one that ends at once decides about others, also about those that stand before it
            before = dict(self.rows)
            for step in self.spec.steps:
                self.rows[step.name] = self._begin(step, self.rows[step.name])

    def _begin(self, step: Step, row: StepStatus) -> StepStatus:
        """Start a step or skip it, if it is time for that."""
        if row.start_time is not None or row.phase in _ENDED:
            return row
        failed = sum(other.phase in {Phase.FAILED, Phase.CANCELLED} for other in self.rows.values())
        if failed > self.spec.max_failed_steps or any(self.rows[name].phase in _LOST for name in step.run_after):
            return self._ended(row, SKIPPED, Reason.SKIPPED.value)
        running = sum(is_running(other) for other in self.rows.values())
        ready = all(self.rows[name].phase == Phase.SUCCEEDED for name in step.run_after)
        if not ready or running >= self.spec.parallelism:
            return row
        started = row.model_copy(update={"phase": Phase.RUNNING.value, "start_time": self.now})
        started = self._seen(step, started)  # its operation may be there, and over, since before a crash
        return self._go_on(step, started) if is_running(started) else started

    def cancel_the_rest(self) -> None:
        """Close all steps for which no operation is under way."""
        for step in self.spec.steps:
            row = self.rows[step.name]
            idle = all(one.finished for one in self.operations_of(step).values())
            if idle and row.phase not in _ENDED:
                self.rows[step.name] = self._ended(row, Phase.CANCELLED, Reason.CANCELLED.value)

    def _go_on(self, step: Step, row: StepStatus) -> StepStatus:
        """Create the operation that a started step needs next."""
        operations = self.operations_of(step)
        missing = next((kind for kind in kinds_of(step) if kind not in operations), None)
        former = {kind: one.status for kind, one in operations.items()}
        if missing is None or any(status.phase != Phase.SUCCEEDED for status in former.values()):
            return row
        require = isinstance(step.action, PromoteAction) and step.action.digest_policy is DigestPolicy.REQUIRE
        if require and self.image_store != CONTAINERD:
            return self._ended(row, Phase.FAILED, Reason.ENGINE_UNSUPPORTED.value)
        name = self._name(step, missing)
        row = row.model_copy(update={"operation_ref": ObjectReference(kind=missing, name=name)})
        refused = self.refused.get(name)
        if refused is not None and refused.reason is Reason.ADMISSION_DENIED:
            self.denied[step.name] = refused
            return self._ended(row, Phase.FAILED, Reason.ADMISSION_DENIED.value)
        if refused is not None:
            self.waits[step.name] = refused
            row = row.model_copy(update={"phase": Phase.PENDING.value, "reason": refused.reason.value})
            if self.now < refused.due:
                return row
        spec = operation_spec(
            self.spec,
            step,
            missing,
            session=self.child_names.session,
            former=former,
            image_store=self.image_store,
        )
        self.creations.append(CreateChild(kind=missing, name=name, step=step.name, spec=spec))
        return row

    def _ended(self, row: StepStatus, phase: str, reason: str) -> StepStatus:
        return row.model_copy(update={"phase": str(phase), "reason": reason, "completion_time": self.now})


def names_of(spec: SessionSpec, names: ChildNames, rows: Mapping[str, StepStatus]) -> set[tuple[str, str]]:
    """Return kind and name of every operation that the steps have at their present tries."""
    return {(kind, names.of(step.name, kind, retries_of(rows, step))) for step in spec.steps for kind in kinds_of(step)}


def retries_of(rows: Mapping[str, StepStatus], step: Step) -> int:
    """Return how often a step was made again within the run."""
    row = rows.get(step.name)
    return 0 if row is None else row.retries or 0


def is_running(row: StepStatus) -> bool:
    """Tell whether a step was started and has not ended."""
    return row.start_time is not None and row.completion_time is None


def is_lost(row: StepStatus) -> bool:
    """Tell whether a step ended without success."""
    return row.phase in _LOST


def tally(rows: Sequence[StepStatus]) -> str:
    """Say how many steps succeeded."""
    done = sum(row.phase == Phase.SUCCEEDED for row in rows)
    return f"{done} of {len(rows)} steps succeeded."


def failure(rows: Sequence[StepStatus], errors: Sequence[SessionError]) -> str:
    """Say which steps failed, the first three by name; of one that the API server refused, with what words."""
    lost = [row for row in rows if row.phase in {Phase.FAILED, Phase.CANCELLED}]
    failed = [f"{row.name} ({row.reason})" for row in lost]
    more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
    text = f"{tally(rows)} Failed: {', '.join(failed[:3])}{more}."
    denied = [row.operation_ref for row in lost if row.reason == Reason.ADMISSION_DENIED]
    said = next((error.message for error in errors if error.operation_ref in denied), None)
    return text if said is None else f"{text} {said.rstrip('.')}. {Reason.ADMISSION_DENIED.hint}"
