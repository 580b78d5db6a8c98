from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.status import OperationStatus, Phase, Progress
from imageops.core.decide_operation import decide
from imageops.core.effects import Effect, RecordEvent, StartAttempt, StopAttempt, Write
from imageops.core.session_constraints import SessionConstraints
from tests.support.builders import (
    at,
    attempt,
    decided,
    ended,
    finished_status,
    operation,
    pull_spec,
    push_spec,
    refused,
    running_status,
    tag_spec,
)

CANCEL = {"cancel": True}
SUSPEND = {"suspend": True}


def waiting_status(reason: Reason = Reason.REGISTRY_UNAVAILABLE) -> OperationStatus:
    """Return the status of an operation that waits for its second attempt, or for what is missing."""
    return decided(operation(None, running_status()), running=ended(reason), now=at(1))


def starts(effects: tuple[Effect, ...]) -> int:
    """Count the daemon calls that a decision asks for."""
    return sum(isinstance(effect, StartAttempt) for effect in effects)


# --- cancel


@pytest.mark.feature("cancel.waiting")
@pytest.mark.parametrize(
    "status",
    [
        OperationStatus(),
        waiting_status(),
        waiting_status(Reason.SECRET_NOT_FOUND),
        decided(operation(pull_spec(**SUSPEND))),
    ],
    ids=["new", "waits-to-retry", "waits-for-a-secret", "suspended"],
)
@pytest.mark.parametrize(
    ("spec", "constraints"), [(CANCEL, None), ({}, SessionConstraints(cancel=True))], ids=["own", "of-the-session"]
)
def test_a_cancelled_operation_that_waits_ends_without_a_call(
    status: OperationStatus,
    spec: dict[str, Any],
    constraints: SessionConstraints | None,
) -> None:
    """It ends Cancelled at once, and stays so."""
    cancelled = operation(pull_spec(**spec), status, generation=2)
    decision = decide(cancelled, attempt=None, constraints=constraints, now=at(2))
    assert starts(decision.effects) == 0
    assert (decision.status.phase, decision.status.completion_time) == (Phase.CANCELLED, at(2))
    assert (decision.wake_at, decision.write) == (None, Write.COMMIT)
    again = decide(
        operation(pull_spec(**spec), decision.status, generation=2), attempt=None, constraints=constraints, now=at(90)
    )
    assert (again.effects, again.write) == ((), Write.NOTHING)


@pytest.mark.feature("cancel.waiting")
@pytest.mark.parametrize("reason", [Reason.PULLED, Reason.AUTH_FAILED])
def test_a_finished_operation_stays_as_it_ended(reason: Reason) -> None:
    """Only the generation is echoed."""
    before = finished_status(reason)
    after = decided(operation(pull_spec(**CANCEL), before, generation=2), now=at(60))
    assert (after.phase, after.run, after.completion_time) == (before.phase, 1, before.completion_time)
    assert after.observed_generation == 2


@pytest.mark.feature("cancel.waiting")
@pytest.mark.parametrize(
    "change",
    [{"image": "registry.example/app:2"}, {"requested_at": "again"}],
    ids=["version-bump", "token"],
)
def test_while_cancel_is_true_every_new_run_ends_cancelled(change: dict[str, str]) -> None:
    """Echoed, counted, and without one call."""
    spec = pull_spec(**CANCEL, image=change.get("image", "registry.example/app:1"))
    bumped = operation(spec, finished_status(), generation=2, requested_at=change.get("requested_at"))
    decision = decide(bumped, attempt=None, constraints=None, now=at(60))
    assert starts(decision.effects) == 0
    assert (decision.status.run, decision.status.phase, decision.status.attempts) == (2, Phase.CANCELLED, 0)
    set_back = pull_spec(image=spec.image)
    after = decide(
        operation(set_back, decision.status, generation=3, requested_at=change.get("requested_at")),
        attempt=None,
        constraints=None,
        now=at(61),
    )
    assert (after.effects, after.status.run) == ((), 2)


def test_cancel_stops_a_running_attempt_and_then_ends() -> None:
    """Told once; the outcome ends the run."""
    spec = pull_spec(**CANCEL)
    decision = decide(operation(spec, running_status()), attempt=attempt(), constraints=None, now=at(1))
    assert decision.effects == (StopAttempt(Reason.CANCELLED),)
    told = attempt(stopping=Reason.CANCELLED)
    assert decide(operation(spec, running_status()), attempt=told, constraints=None, now=at(2)).effects == ()
    done = decided(operation(spec, running_status()), running=ended(Reason.CANCELLED), now=at(3))
    assert (done.phase, done.history[-1].outcome) == (Phase.CANCELLED, "Cancelled")


# --- suspend


@pytest.mark.parametrize(
    ("spec", "constraints"),
    [(SUSPEND, None), ({}, SessionConstraints(suspend=True))],
    ids=["own", "of-the-session"],
)
def test_suspend_stops_and_keeps_attempts(spec: dict[str, Any], constraints: SessionConstraints | None) -> None:
    """Clearing it starts one new attempt, and the deadline counts from then."""
    limited = spec | {"activeDeadlineSeconds": 100}
    begun = running_status(pull_spec(activeDeadlineSeconds=100))
    decision = decide(operation(pull_spec(**limited), begun), attempt=attempt(), constraints=constraints, now=at(1))
    assert decision.effects == (StopAttempt(Reason.SUSPENDED),)
    stopped = ended(Reason.SUSPENDED, progress=Progress(percent=40))
    held = decided(operation(pull_spec(**limited), begun), running=stopped, constraints=constraints, now=at(2))
    assert (held.phase, held.attempts, held.failed_attempts) == (Phase.SUSPENDED, 1, 0)
    assert held.history[-1].outcome == "Suspended"
    assert held.progress == Progress(percent=40)
    quiet = decide(operation(pull_spec(**limited), held), attempt=None, constraints=constraints, now=at(500))
    assert (quiet.effects, quiet.wake_at, quiet.write) == ((), None, Write.NOTHING)
    resumed = decide(
        operation(pull_spec(activeDeadlineSeconds=100), held),
        attempt=None,
        constraints=SessionConstraints(),
        now=at(500),
    )
    assert resumed.effects == (StartAttempt(run=1, number=2),)
    assert resumed.status.start_time == at(500)


def test_a_suspended_object_that_is_new_makes_no_attempt() -> None:
    """And one whose attempt had just succeeded is done."""
    held = decide(operation(pull_spec(**SUSPEND)), attempt=None, constraints=None, now=at(0))
    assert (held.effects, held.status.phase, held.status.attempts) == ((), Phase.SUSPENDED, 0)
    done = decided(operation(pull_spec(**SUSPEND), running_status()), running=ended(Reason.PULLED), now=at(1))
    assert done.phase == Phase.SUCCEEDED


def test_a_process_that_drains_resumes_nothing_but_the_deadline() -> None:
    """The next process finds an operation that was resumed just now, not one whose time is over."""
    held = decided(operation(pull_spec(suspend=True, activeDeadlineSeconds=100)))
    spec = pull_spec(activeDeadlineSeconds=100)
    drained = decide(operation(spec, held), attempt=None, constraints=None, now=at(500), accepting=False).status
    assert (drained.phase, drained.start_time) == (Phase.PENDING, at(500))
    assert starts(decide(operation(spec, drained), attempt=None, constraints=None, now=at(501)).effects) == 1


# --- limits of time


@pytest.mark.feature("timeout.attempt")
@pytest.mark.parametrize(
    ("kind", "spec", "seconds"),
    [
        ("ImagePull", pull_spec(), 600),
        ("ImagePush", push_spec(), 900),
        ("ImageTag", tag_spec(), 120),
        ("ImagePull", pull_spec(timeoutSeconds=7), 7),
    ],
)
def test_an_attempt_is_stopped_at_its_time_limit(kind: str, spec: Any, seconds: int) -> None:
    """As TimedOut, which is retryable; the object is looked at exactly then."""
    begun = running_status(spec, kind=kind)
    before = decide(operation(spec, begun, kind=kind), attempt=attempt(), constraints=None, now=at(seconds - 0.5))
    assert (before.effects, before.wake_at) == ((), at(seconds))
    stopped = decide(operation(spec, begun, kind=kind), attempt=attempt(), constraints=None, now=at(seconds))
    assert stopped.effects == (StopAttempt(Reason.TIMED_OUT),)
    failed = decided(operation(spec, begun, kind=kind), running=ended(Reason.TIMED_OUT), now=at(seconds))
    assert (failed.phase, failed.failed_attempts, failed.completion_time) == (Phase.PENDING, 1, None)


def test_the_deadline_counts_from_the_start_across_attempts() -> None:
    """While an attempt runs it is stopped, while the next is waited for the run ends."""
    spec = pull_spec(activeDeadlineSeconds=100)
    begun = running_status(spec)
    running = decide(operation(spec, begun), attempt=attempt(started=at(99.5)), constraints=None, now=at(99.9))
    assert running.wake_at == at(100)
    stopped = decide(operation(spec, begun), attempt=attempt(started=at(90)), constraints=None, now=at(100))
    assert stopped.effects == (StopAttempt(Reason.DEADLINE_EXCEEDED),)
    done = decided(operation(spec, begun), running=ended(Reason.DEADLINE_EXCEEDED), now=at(100))
    assert (done.phase, done.conditions[0].reason) == (Phase.FAILED, "DeadlineExceeded")
    failed = decide(operation(spec, begun), attempt=ended(Reason.TIMED_OUT), constraints=None, now=at(99))
    assert failed.wake_at == at(100)
    over = decided(operation(spec, failed.status), now=at(100))
    assert (over.phase, over.conditions[0].reason, over.next_retry_time) == (Phase.FAILED, "DeadlineExceeded", None)


# --- the process ends, the object goes


def test_a_draining_process_writes_interrupted_and_starts_nothing() -> None:
    """The next one takes the run up again, and the attempt does not count."""
    stopped = decide(
        operation(pull_spec(backoffLimit=0), running_status()),
        attempt=ended(Reason.INTERRUPTED),
        constraints=None,
        now=at(1),
        accepting=False,
    )
    status = stopped.status
    assert (stopped.effects, stopped.write) == ((), Write.COMMIT)
    assert (status.phase, status.conditions[0].reason, status.failed_attempts) == (Phase.PENDING, "Interrupted", 0)
    assert status.history[-1].outcome == "Interrupted"
    next_one = decide(operation(pull_spec(backoffLimit=0), status), attempt=None, constraints=None, now=at(60))
    assert next_one.effects == (StartAttempt(run=1, number=2),)


def test_a_draining_process_leaves_what_waits_as_it_is() -> None:
    """Nothing was interrupted there."""
    status = waiting_status()
    decision = decide(operation(None, status), attempt=None, constraints=None, now=at(2), accepting=False)
    assert (decision.status, decision.effects, decision.write) == (status, (), Write.NOTHING)


def test_an_attempt_of_a_killed_process_is_closed_as_interrupted() -> None:
    """And a new one starts at once, which does not count against the limit."""
    left = running_status(pull_spec(backoffLimit=0))
    decision = decide(operation(pull_spec(backoffLimit=0), left), attempt=None, constraints=None, now=at(30))
    assert decision.effects == (StartAttempt(run=1, number=2),)
    assert [(entry.attempt, entry.outcome) for entry in decision.status.history] == [(1, "Interrupted"), (2, None)]
    assert decision.status.failed_attempts == 0


@pytest.mark.parametrize("running", [None, attempt(), attempt(stopping=Reason.CANCELLED)])
def test_a_deleted_object_is_only_stopped(running: Any) -> None:
    """No status is written onto what is going."""
    deleted = operation(None, running_status(), deleting=True)
    decision = decide(deleted, attempt=running, constraints=None, now=at(1))
    told = running is not None and running.stopping is None
    assert decision.effects == ((StopAttempt(Reason.CANCELLED),) if told else ())
    assert (decision.write, decision.wake_at) == (Write.NOTHING, None)


def test_a_spec_that_becomes_impossible_stops_what_runs() -> None:
    """A refusal that comes while an attempt runs ends the run after the attempt was stopped."""
    error = OperationError(Reason.DAEMON_NOT_CONFIGURED, "No such daemon.")
    same = operation(None, running_status(), refusal=error)
    assert decide(same, attempt=attempt(), constraints=None, now=at(1)).effects == (
        StopAttempt(Reason.DAEMON_NOT_CONFIGURED),
    )
    changed = refused(error, {"image": "x"}, running_status())
    assert decide(changed, attempt=attempt(), constraints=None, now=at(1)).effects == (StopAttempt(Reason.INTERRUPTED),)
    over = decide(changed, attempt=ended(Reason.INTERRUPTED), constraints=None, now=at(2))
    assert over.effects == (RecordEvent(warning=True, reason=Reason.DAEMON_NOT_CONFIGURED, message="No such daemon."),)
    assert (over.status.run, over.status.phase) == (2, Phase.FAILED)


# --- what is written when


@pytest.mark.parametrize(
    ("age", "fields", "write"),
    [
        (0.2, {}, Write.NOTHING),
        (0.25, {}, Write.REPORT),
        (9.0, {"progress": Progress(percent=5)}, Write.REPORT),
        (0.1, {"checkpoint": True}, Write.COMMIT),
    ],
)
def test_a_running_attempt_is_shown_after_a_quarter_of_a_second(
    age: float,
    fields: dict[str, Any],
    write: Write,
) -> None:
    """A shorter one is written once, with its end."""
    mine = operation(None, running_status(), written=OperationStatus())
    decision = decide(mine, attempt=attempt(**fields), constraints=None, now=at(age))
    assert decision.write is write
    assert decision.wake_at == (at(0.25) if age < 0.25 else at(age) + timedelta(seconds=2))


def test_what_is_written_already_is_not_written_again() -> None:
    """Applying the same manifest a thousand times costs nothing."""
    for status in (finished_status(), waiting_status(), finished_status(Reason.AUTH_FAILED)):
        assert decide(operation(None, status), attempt=None, constraints=None, now=at(2)).write is Write.NOTHING


def test_a_wait_beside_an_entry_of_a_killed_process_keeps_it() -> None:
    """Only the entry of the wait itself is taken back."""
    interrupted = running_status()
    decision = decide(
        operation(None, interrupted), attempt=None, constraints=SessionConstraints(missing=True), now=at(9)
    )
    assert [entry.outcome for entry in decision.status.history] == ["Interrupted"]
    assert decision.status.attempts == 1
