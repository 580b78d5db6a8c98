from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from imageops.api.admission import check
from imageops.api.errors import OperationError
from imageops.api.operations import OperationSpec
from imageops.api.reasons import Reason, ReasonClass
from imageops.api.status import (
    AuthStatus,
    DaemonStatus,
    OperationStatus,
    Phase,
    PreviousImage,
    Progress,
    SecretReference,
    Trigger,
)
from imageops.core.backoff import retry_delay
from imageops.core.decide_operation import decide
from imageops.core.effects import Effect, PassCheckpoint, RecordEvent, StartAttempt, Write
from imageops.core.outcome import Facts
from imageops.core.session_constraints import SessionConstraints
from tests.support.builders import (
    DIGEST,
    KINDS,
    OTHER_ID,
    UID,
    at,
    attempt,
    decided,
    ended,
    image,
    operation,
    pull_spec,
    push_spec,
    refused,
    running_status,
    tag_spec,
)

SUCCESSES = [reason for reason in Reason if reason.reason_class is ReasonClass.SUCCESS]
RETRYABLE = [
    reason for reason in Reason if reason.reason_class is ReasonClass.RETRYABLE and reason is not Reason.INTERRUPTED
]
FINAL = [reason for reason in Reason if reason.reason_class is ReasonClass.FINAL and reason is not Reason.CANCELLED]
WAITS = [Reason.SECRET_NOT_FOUND, Reason.SESSION_NOT_FOUND, Reason.DAEMON_UNAVAILABLE, Reason.THROTTLED]


def test_a_new_object_starts_its_first_attempt() -> None:
    """What is not written yet is at most 250 ms old: a short operation costs one write in all."""
    decision = decide(operation(generation=3, requested_at="now"), attempt=None, constraints=None, now=at(0.7))
    status = decision.status
    assert decision.effects == (StartAttempt(run=1, number=1),)
    assert decision.write is Write.NOTHING
    assert decision.wake_at is None
    assert (status.phase, status.run, status.attempts, status.observed_generation) == (Phase.RUNNING, 1, 1, 3)
    assert status.start_time == at(0)
    assert status.conditions[0].reason == "Pulling"
    assert status.reference == "registry.example/app:1"
    assert [(entry.trigger, entry.attempt) for entry in status.history] == [(Trigger.SPEC, 1)]


@pytest.mark.feature("fault.no-twice")
def test_an_object_that_may_be_a_view_of_the_past_has_its_attempt_stored_first() -> None:
    """The API server refuses the write if it is; a former process may have begun."""
    decision = decide(operation(confirmed=False), attempt=None, constraints=None, now=at(0))
    assert (decision.write, decision.effects) == (Write.COMMIT, (StartAttempt(run=1, number=1),))


def test_a_new_run_says_nothing_of_the_daemon_and_the_credential_of_the_one_before() -> None:
    """It may use others, or end before it uses any."""
    known = {"daemon": DaemonStatus(name="builder"), "auth": AuthStatus(method="SecretRef")}
    before = running_status().model_copy(update=known)
    first = decided(operation(None, before), running=ended(Reason.PULLED), now=at(2))
    assert (first.daemon, first.auth) == (known["daemon"], known["auth"])
    begun = decided(operation(pull_spec(daemon_name="other"), first, generation=2), now=at(3))
    assert (begun.run, begun.daemon, begun.auth) == (2, None, None)


def test_an_attempt_in_the_queue_has_nothing_to_show_and_no_time_limit() -> None:
    """Its time begins with its turn."""
    queued = attempt(started=at(900), queued=True)
    decision = decide(operation(None, running_status()), attempt=queued, constraints=None, now=at(900))
    assert (decision.effects, decision.write, decision.wake_at) == ((), Write.NOTHING, None)
    begun = decide(operation(None, running_status()), attempt=attempt(started=at(900)), constraints=None, now=at(900))
    assert begun.wake_at == at(900.25)


@pytest.mark.parametrize(
    ("kind", "spec", "reason"),
    [
        ("ImagePull", pull_spec(), Reason.PULLING),
        ("ImagePush", push_spec(), Reason.PUSHING),
        ("ImageTag", tag_spec(), Reason.TAGGING),
    ],
)
def test_a_running_operation_says_what_it_does(kind: str, spec: OperationSpec, reason: Reason) -> None:
    """In the words of its kind."""
    assert {condition.reason for condition in running_status(spec, kind=kind).conditions} == {reason}


@pytest.mark.parametrize("reason", SUCCESSES)
def test_a_success_ends_the_run(reason: Reason) -> None:
    """With its evidence, an Event, and no error."""
    facts = Facts(
        daemon=DaemonStatus(name="default", version="29", image_store="containerd"),
        auth=AuthStatus(method="SecretRef", secret_ref=SecretReference(name="s")),
        image=image(),
        previous=PreviousImage(id=OTHER_ID),
    )
    done = ended(reason, facts=facts, duration_milliseconds=120, bytes_transferred=5, message="Done.")
    decision = decide(operation(None, running_status()), attempt=done, constraints=None, now=at(2))
    status = decision.status
    assert (status.phase, status.completion_time, status.error) == (Phase.SUCCEEDED, at(2), None)
    assert (status.daemon, status.auth, status.image, status.previous) == (
        facts.daemon,
        facts.auth,
        facts.image,
        facts.previous,
    )
    entry = status.history[-1]
    assert (entry.outcome, entry.reason, entry.digest) == ("Succeeded", reason, DIGEST)
    assert (entry.duration_milliseconds, entry.bytes_transferred) == (120, 5)
    assert decision.effects == (RecordEvent(warning=False, reason=reason, message="Done."),)
    assert (decision.write, decision.wake_at) == (Write.COMMIT, None)


@pytest.mark.feature("retry.only-retryable")
@pytest.mark.parametrize("reason", FINAL)
def test_a_final_reason_makes_one_attempt(reason: Reason) -> None:
    """Only a person can help: the object is Stalled, and nothing is planned."""
    decision = decide(operation(None, running_status()), attempt=ended(reason), constraints=None, now=at(1))
    status = decision.status
    assert (status.phase, status.attempts, status.next_retry_time) == (Phase.FAILED, 1, None)
    assert {condition.type: condition.status for condition in status.conditions}["Stalled"] == "True"
    assert status.error is not None
    assert (status.error.reason, status.error.reason_class, status.error.hint) == (reason, "Final", reason.hint)
    assert decision.effects == (RecordEvent(warning=True, reason=reason, message=reason.sentence),)
    assert decision.wake_at is None


@pytest.mark.feature("retry.only-retryable")
@pytest.mark.feature("retry.backoff")
@pytest.mark.parametrize("reason", RETRYABLE)
def test_a_retryable_reason_is_tried_again_after_its_delay(reason: Reason) -> None:
    """The attempt counts, the next one is planned and said."""
    status = running_status()
    failed = decide(operation(None, status), attempt=ended(reason), constraints=None, now=at(1))
    status, delay = failed.status, retry_delay(1, key=f"{UID}/1")
    assert (status.phase, status.attempts, status.failed_attempts) == (Phase.PENDING, 1, 1)
    assert status.next_retry_time == failed.wake_at
    assert failed.wake_at is not None
    assert timedelta(seconds=delay) <= failed.wake_at - at(1) < timedelta(seconds=delay + 1)
    assert failed.effects == (RecordEvent(warning=True, reason=Reason.RETRYING, message=reason.sentence),)
    early = decide(operation(None, status), attempt=None, constraints=None, now=failed.wake_at - timedelta(seconds=1))
    assert (early.effects, early.wake_at, early.write) == ((), failed.wake_at, Write.NOTHING)
    due = decide(operation(None, status), attempt=None, constraints=None, now=failed.wake_at)
    assert due.effects == (StartAttempt(run=1, number=2),)


@pytest.mark.feature("retry.backoff")
def test_a_stated_delay_is_the_least() -> None:
    """A registry that names its own delay is obeyed; a shorter one changes nothing."""
    for stated, least in ((200.5, 201), (0.1, 3)):
        failed = ended(Reason.RATE_LIMITED, retry_after=stated)
        status = decided(operation(None, running_status()), running=failed, now=at(1))
        assert status.error is not None
        assert status.next_retry_time is not None
        assert status.next_retry_time >= at(1 + least)
        assert status.error.retry_after_seconds is not None
        assert status.error.retry_after_seconds >= least


@pytest.mark.feature("retry.limit")
@pytest.mark.parametrize("limit", [0, 1, 5, 10])
def test_a_lasting_error_makes_one_attempt_more_than_the_limit(limit: int) -> None:
    """Also when the process restarts before every attempt: the count is in status."""
    spec, status, now, starts = pull_spec(backoffLimit=limit), OperationStatus(), at(0), 0
    while status.completion_time is None:
        decision = decide(operation(spec, status), attempt=None, constraints=None, now=now)
        status = decision.status
        assert decision.effects == (StartAttempt(run=1, number=starts + 1),)
        starts += 1
        failed = ended(Reason.REGISTRY_UNAVAILABLE, number=starts)
        status = decided(operation(spec, status), running=failed, now=now + timedelta(seconds=1))
        now = status.next_retry_time or now
    assert starts == limit + 1
    assert (status.attempts, status.failed_attempts, status.phase) == (limit + 1, limit + 1, Phase.FAILED)
    assert status.conditions[0].reason == "BackoffLimitExceeded"
    assert status.error is not None
    assert status.error.reason == "RegistryUnavailable"


@pytest.mark.feature("retry.backoff")
@pytest.mark.parametrize("reason", WAITS)
def test_a_wait_uses_up_no_attempt(reason: Reason) -> None:
    """Looked at again after 5, 10, 20, 40, 60 and 60 seconds, with one Event and no entry in history."""
    now, status = at(0), OperationStatus()
    events: list[Effect] = []
    for expected in (5, 10, 20, 40, 60, 60):
        begun = decide(operation(pull_spec(backoffLimit=0), status), attempt=None, constraints=None, now=now)
        assert begun.effects == (StartAttempt(run=1, number=1),)
        waiting = decide(
            operation(pull_spec(backoffLimit=0), begun.status),
            attempt=ended(reason),
            constraints=None,
            now=now,
        )
        status, events = waiting.status, [*events, *waiting.effects]
        assert waiting.wake_at == now + timedelta(seconds=expected)
        assert (status.attempts, status.failed_attempts, status.history) == (0, 0, ())
        assert status.error is not None
        assert (status.phase, status.error.reason, status.error.reason_class) == (Phase.PENDING, reason, "Waiting")
        now = waiting.wake_at
    told = RecordEvent(warning=True, reason=reason, message=reason.sentence)
    assert events == ([] if reason is Reason.THROTTLED else [told])


def test_a_missing_session_is_waited_for_without_a_call() -> None:
    """And found as soon as it is there."""
    decision = decide(operation(), attempt=None, constraints=SessionConstraints(missing=True), now=at(0))
    assert [type(effect) for effect in decision.effects] == [RecordEvent]
    assert (decision.status.conditions[0].reason, decision.wake_at) == ("SessionNotFound", at(5))
    later = decide(operation(None, decision.status), attempt=None, constraints=SessionConstraints(), now=at(5))
    assert later.effects == (StartAttempt(run=1, number=1),)


@pytest.mark.parametrize("waited_for", [Reason.DAEMON_UNAVAILABLE, Reason.THROTTLED, Reason.SECRET_NOT_FOUND])
@pytest.mark.parametrize("arrived", [Reason.DAEMON_UNAVAILABLE, Reason.THROTTLED])
def test_what_arrives_ends_the_wait_for_it_and_no_other(waited_for: Reason, arrived: Reason) -> None:
    """A daemon that answers again, or a place that has become free."""
    waiting = decided(operation(None, running_status()), running=ended(waited_for), now=at(1))
    decision = decide(operation(None, waiting, arrived=frozenset({arrived})), attempt=None, constraints=None, now=at(2))
    assert decision.effects == ((StartAttempt(run=1, number=1),) if arrived is waited_for else ())


def test_a_wait_of_stated_length_lasts_as_long() -> None:
    """A registry's budget knows when to ask again."""
    throttled = ended(Reason.THROTTLED, retry_after=33.2, progress=Progress(percent=1))
    waiting = decide(operation(None, running_status()), attempt=throttled, constraints=None, now=at(1))
    assert waiting.wake_at == at(35)
    assert waiting.status.progress is None


@pytest.mark.parametrize(
    ("constraints", "reason"),
    [
        (SessionConstraints(closed=True), Reason.SESSION_CLOSED),
        (SessionConstraints(over_limit=True), Reason.SESSION_LIMIT_EXCEEDED),
    ],
)
def test_a_session_that_takes_no_more_refuses_what_would_start(constraints: SessionConstraints, reason: Reason) -> None:
    """Without a call; what has begun goes on, and is tried again."""
    refused_now = decide(operation(), attempt=None, constraints=constraints, now=at(0))
    assert refused_now.status.phase == Phase.FAILED
    assert [type(effect) for effect in refused_now.effects] == [RecordEvent]
    assert refused_now.status.conditions[0].reason == reason
    failed = decided(
        operation(None, running_status()), running=ended(Reason.TIMED_OUT), constraints=constraints, now=at(1)
    )
    assert failed.next_retry_time is not None
    again = decide(operation(None, failed), attempt=None, constraints=constraints, now=failed.next_retry_time)
    assert again.effects == (StartAttempt(run=1, number=2),)


def test_an_attempt_that_got_beyond_a_wait_drops_its_error() -> None:
    """The Secret is there by now; an error of a failed attempt stays until success."""
    waited = decided(operation(None, running_status()), running=ended(Reason.SECRET_NOT_FOUND), now=at(1))
    again = decided(operation(None, waited), now=at(6))
    assert again.error is not None
    assert decided(operation(None, again), running=attempt(started=at(6)), now=at(6.1)).error is not None
    assert decided(operation(None, again), running=attempt(started=at(6)), now=at(6.3)).error is None


@pytest.mark.feature("tool.error-cleared")
def test_a_success_after_a_failure_clears_the_error_and_keeps_the_entry() -> None:
    """History remembers what the error said."""
    failed = decided(operation(None, running_status()), running=ended(Reason.TIMED_OUT), now=at(1))
    assert failed.error is not None
    assert failed.next_retry_time is not None
    again = decided(operation(None, failed), now=failed.next_retry_time)
    assert again.error == failed.error
    done = decided(operation(None, again), running=ended(Reason.PULLED, number=2), now=at(60))
    assert done.error is None
    assert [(entry.attempt, entry.outcome, entry.reason) for entry in done.history] == [
        (1, "Failed", "TimedOut"),
        (2, "Succeeded", "Pulled"),
    ]


@pytest.mark.feature("progress.kept")
@pytest.mark.parametrize(
    "reason",
    [Reason.REGISTRY_UNAVAILABLE, Reason.AUTH_FAILED, Reason.CANCELLED, Reason.TIMED_OUT],
)
def test_a_failed_attempt_keeps_its_last_progress(reason: Reason) -> None:
    """The next attempt begins without any."""
    half = Progress(stage="Downloading", percent=50, bytes_done=5)
    running = decided(operation(None, running_status()), running=attempt(progress=Progress(percent=3)), now=at(1))
    assert running.progress == Progress(percent=3)
    failed = decided(operation(None, running), running=ended(reason, progress=half), now=at(2))
    assert failed.progress == half
    if failed.next_retry_time is not None:
        assert decided(operation(None, failed), now=failed.next_retry_time).progress is None
    anew = decided(operation(None, failed, requested_at="again"), now=at(3600))
    assert anew.progress is None


def test_a_run_begins_without_what_the_former_one_found() -> None:
    """Only the history stays."""
    facts = Facts(image=image(), previous=PreviousImage(id=OTHER_ID))
    failed = ended(Reason.AUTH_FAILED, facts=facts, progress=Progress(percent=9))
    before = decided(operation(None, running_status()), running=failed, now=at(1))
    after = decided(operation(None, before, requested_at="again"), now=at(2))
    assert (after.image, after.previous, after.progress, after.error) == (None, None, None, None)
    assert (after.run, after.attempts, after.failed_attempts) == (2, 1, 0)
    assert [entry.run for entry in after.history] == [1, 2]


def test_a_later_attempt_of_a_run_keeps_its_trigger() -> None:
    """What started a run is what its entries say."""
    finished = decided(operation(None, running_status()), running=ended(Reason.PULLED), now=at(1))
    begun = decided(operation(None, finished, requested_at="again"), now=at(2))
    failed = decided(operation(None, begun, requested_at="again"), running=ended(Reason.TIMED_OUT, run=2), now=at(3))
    assert failed.next_retry_time is not None
    again = decided(operation(None, failed, requested_at="again"), now=failed.next_retry_time)
    assert [entry.trigger for entry in again.history] == ["Spec", "Token", "Token"]


def test_a_checkpoint_is_passed_after_its_record_is_committed() -> None:
    """Before a target is replaced, what it was is in etcd."""
    facts = Facts(previous=PreviousImage(id=OTHER_ID))
    waiting = attempt(facts=facts, checkpoint=True)
    decision = decide(operation(None, running_status()), attempt=waiting, constraints=None, now=at(0.1))
    assert decision.write is Write.COMMIT
    assert decision.effects == (PassCheckpoint(),)
    assert decision.status.previous == facts.previous
    assert decision.status.history[-1].completion_time is None


@pytest.mark.feature("admission.second-gate")
@pytest.mark.parametrize(
    ("kind", "spec", "reason"),
    [
        ("ImagePull", {"image": "Upper/Case"}, Reason.INVALID_REFERENCE),
        ("ImagePush", {"image": f"x.example/{'a' * 256}:1"}, Reason.INVALID_REFERENCE),
        ("ImageTag", {"source": "nginx", "target": "docker.io/library/nginx:latest"}, Reason.INVALID_SPEC),
    ],
)
def test_what_only_the_second_gate_sees_ends_stalled_without_a_call(
    kind: str,
    spec: dict[str, str],
    reason: Reason,
) -> None:
    """No attempt is started, now or later; the error names the field."""
    with pytest.raises(OperationError) as caught:
        check(KINDS[kind], KINDS[kind].spec_model.model_validate(spec))
    decision = decide(refused(caught.value, spec), attempt=None, constraints=None, now=at(0))
    status = decision.status
    assert [type(effect) for effect in decision.effects] == [RecordEvent]
    assert (status.phase, status.attempts, status.history) == (Phase.FAILED, 0, ())
    assert status.error is not None
    assert (status.error.reason, decision.write, decision.wake_at) == (reason, Write.COMMIT, None)
    again = decide(refused(caught.value, spec, status), attempt=None, constraints=None, now=at(60))
    assert (again.effects, again.write) == ((), Write.NOTHING)


@pytest.mark.feature("admission.second-gate")
def test_a_spec_without_model_and_reason_is_an_invalid_spec() -> None:
    """A spec nobody can read still ends with a reason."""
    unread = replace(operation(), spec=None)
    assert decided(unread).conditions[0].reason == "InvalidSpec"
    failed = replace(operation(None, running_status()), spec=None)
    assert decided(failed, running=ended(Reason.TIMED_OUT)).phase == Phase.FAILED


@pytest.mark.feature("cred.wrong-once")
@pytest.mark.feature("error.public-reports")
def test_a_retryable_reason_that_may_not_be_repeated_ends_the_run() -> None:
    """One attempt, the reason's own word, and the class in the status is Final: nothing is planned any more."""
    failed = ended(Reason.REGISTRY_ERROR)
    assert failed.outcome is not None
    once = replace(failed, outcome=replace(failed.outcome, repeated=False))
    decision = decide(operation(status=running_status()), attempt=once, constraints=None, now=at(9))
    status = decision.status
    assert (status.phase, status.attempts, status.next_retry_time) == (Phase.FAILED, 1, None)
    assert status.error is not None
    assert (status.error.reason, status.error.reason_class) == ("RegistryError", "Final")
    assert {one.type: one.reason for one in status.conditions}["Stalled"] == "RegistryError"
