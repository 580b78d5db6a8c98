from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.status import OperationStatus, Phase, PreviousImage, Progress
from imageops.core.attempt import Attempt
from imageops.core.decide_operation import decide
from imageops.core.deletion import FINALIZER_PATIENCE
from imageops.core.drift import CHECK_TIMEOUT
from imageops.core.effects import (
    Decision,
    DeleteSelf,
    Purpose,
    RecordEvent,
    SetFinalizer,
    StartAttempt,
    StopAttempt,
    Write,
)
from imageops.core.outcome import Outcome
from imageops.core.session_constraints import SessionConstraints
from tests.support.builders import (
    DIGEST,
    IMAGE_ID,
    assert_good,
    at,
    finished_status,
    operation,
    pull_spec,
    running_status,
)

INTERVAL = pull_spec(intervalSeconds=600)
DELETING = pull_spec(deletionPolicy="Delete")
CHECK = StartAttempt(run=1, number=0, purpose=Purpose.CHECK)
REMOVAL = StartAttempt(run=1, number=0, purpose=Purpose.REMOVAL)
FIRST_TICK_LATEST = at(1 + 600 + 60)


def done(spec: Any = None, reason: Reason = Reason.PULLED) -> OperationStatus:
    """Return the status of an ImagePull that has ended at the first second."""
    return finished_status(reason, spec, finalizer=True)


def call(purpose: Purpose, *, started: datetime, reason: Reason | None = None, **fields: Any) -> Attempt:
    """Make a check or a removal, in progress or ended with a reason."""
    outcome = Outcome(reason=reason, message=reason.sentence) if reason is not None else None
    return Attempt(
        run=1,
        number=0,
        started=started,
        purpose=purpose,
        progress=Progress(percent=5),
        outcome=outcome,
        **fields,
    )


def look(
    status: OperationStatus,
    now: datetime,
    *,
    spec: Any = INTERVAL,
    running: Attempt | None = None,
    constraints: SessionConstraints | None = None,
    accepting: bool = True,
    **fields: Any,
) -> Decision[OperationStatus]:
    """Decide about an object at rest."""
    mine = operation(spec, status, **fields)
    decision = decide(mine, attempt=running, constraints=constraints, now=now, accepting=accepting)
    assert_good("ImagePull", decision.status)
    return decision


# --- drift


def first_tick() -> datetime:
    """Return the time of the first check of the object that the builders make."""
    tick = look(done(INTERVAL), at(2)).wake_at
    assert tick is not None
    return tick


def test_the_first_check_is_one_interval_after_the_end_with_a_little_jitter() -> None:
    """At most 60 seconds later, and always at the same time for one object."""
    assert at(601) <= first_tick() <= FIRST_TICK_LATEST
    assert look(done(INTERVAL), at(300)).wake_at == first_tick()
    other = look(done(INTERVAL), at(2), uid="another").wake_at
    assert other != first_tick()


def test_ten_checks_of_an_unchanged_image_write_nothing() -> None:
    """Each tick is one check, and no run."""
    status, tick, looked_at = done(INTERVAL), first_tick(), None
    for _ in range(10):
        due = look(status, tick, looked_at=looked_at)
        assert (due.effects, due.write, due.wake_at) == ((CHECK,), Write.NOTHING, tick + CHECK_TIMEOUT)
        going = look(status, tick + timedelta(seconds=1), looked_at=tick, running=call(Purpose.CHECK, started=tick))
        assert (going.effects, going.write, going.status) == ((), Write.NOTHING, status)
        ended = call(Purpose.CHECK, started=tick, reason=Reason.ALREADY_PRESENT)
        after = look(status, tick + timedelta(seconds=2), looked_at=tick, running=ended)
        assert (after.effects, after.write) == ((), Write.NOTHING)
        assert after.wake_at == tick + timedelta(seconds=600)
        looked_at, tick = tick, after.wake_at


@pytest.mark.parametrize("drift", [Reason.IMAGE_MISSING, Reason.REMOTE_DIGEST_CHANGED])
def test_drift_is_a_new_run_that_remembers_what_was(drift: Reason) -> None:
    """With an Event, and the former image in status.previous."""
    found = call(Purpose.CHECK, started=at(700), reason=drift)
    decision = look(done(INTERVAL), at(701), running=found, looked_at=at(700))
    assert decision.effects == (
        RecordEvent(warning=True, reason=drift, message=drift.sentence),
        StartAttempt(run=2, number=1),
    )
    assert decision.status.previous == PreviousImage(id=IMAGE_ID, digest=DIGEST)
    assert decision.status.history[-1].trigger == "Interval"


def test_a_failed_check_keeps_the_result_and_gives_one_event() -> None:
    """The next tick checks again; a check that was merely stopped says nothing."""
    for reason, events in ((Reason.REGISTRY_UNAVAILABLE, 1), (Reason.INTERRUPTED, 0), (Reason.CANCELLED, 0)):
        ended = call(Purpose.CHECK, started=at(700), reason=reason)
        decision = look(done(INTERVAL), at(701), running=ended, looked_at=at(700))
        assert (decision.status.phase, decision.write) == (Phase.SUCCEEDED, Write.NOTHING)
        assert [type(effect) for effect in decision.effects] == [RecordEvent] * events


def test_a_check_that_hangs_is_stopped_once() -> None:
    """Without being looked at again and again meanwhile."""
    hanging = call(Purpose.CHECK, started=at(700))
    late = look(done(INTERVAL), at(700) + CHECK_TIMEOUT, running=hanging, looked_at=at(700))
    assert (late.effects, late.wake_at) == ((StopAttempt(Reason.TIMED_OUT),), None)
    told = call(Purpose.CHECK, started=at(700), stopping=Reason.TIMED_OUT)
    assert look(done(INTERVAL), at(900), running=told, looked_at=at(700)).effects == ()


def test_a_changed_image_stops_a_check_and_runs() -> None:
    """The new content is what counts."""
    changed = pull_spec(intervalSeconds=600, image="registry.example/app:2")
    going = look(done(INTERVAL), at(701), spec=changed, running=call(Purpose.CHECK, started=at(700)))
    assert going.effects == (StopAttempt(Reason.INTERRUPTED),)
    ended = call(Purpose.CHECK, started=at(700), reason=Reason.INTERRUPTED)
    assert look(done(INTERVAL), at(702), spec=changed, running=ended).effects == (StartAttempt(run=2, number=1),)


def test_a_run_that_failed_is_made_again_at_the_next_tick() -> None:
    """As a run of the interval."""
    failed = done(INTERVAL, Reason.IMAGE_NOT_FOUND)
    decision = look(failed, first_tick(), looked_at=at(0))
    assert decision.effects == (StartAttempt(run=2, number=1),)
    assert decision.status.history[-1].trigger == "Interval"
    assert decision.status.previous is None or decision.status.previous.id == IMAGE_ID


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        (pull_spec(intervalSeconds=600, suspend=True), {}),
        (pull_spec(intervalSeconds=600, cancel=True), {}),
        (INTERVAL, {"refusal": OperationError(Reason.DAEMON_NOT_CONFIGURED)}),
        (INTERVAL, {"accepting": False}),
        (pull_spec(), {}),
    ],
    ids=["suspended", "cancelled", "refused", "draining", "no-interval"],
)
def test_nothing_is_checked_of_an_object_that_is_to_rest(spec: Any, fields: dict[str, Any]) -> None:
    """And it is not looked at again."""
    decision = look(done(INTERVAL), at(5000), spec=spec, **fields)
    assert (decision.effects, decision.wake_at, decision.status.run) == ((), None, 1)


def test_a_cancelled_run_is_not_checked() -> None:
    """There is nothing that could drift."""
    cancelled = done(pull_spec(intervalSeconds=600), Reason.CANCELLED)
    assert look(cancelled, at(5000)).effects == ()


# --- time to live


def test_an_object_is_deleted_when_its_time_is_over() -> None:
    """Not before, and not without a time."""
    spec = pull_spec(ttlSecondsAfterFinished=60)
    assert look(done(spec), at(60), spec=spec).wake_at == at(61)
    assert look(done(spec), at(61), spec=spec).effects == (DeleteSelf(),)
    assert look(running_status(spec), at(600), spec=spec).effects != (DeleteSelf(),)


def test_an_object_under_git_stays_and_says_so_once() -> None:
    """At the end of each run."""
    spec = pull_spec(ttlSecondsAfterFinished=0)
    ended = Attempt(run=1, number=1, started=at(0), outcome=Outcome(reason=Reason.PULLED, message="Done."))
    first = look(running_status(spec), at(1), spec=spec, running=ended, managed=True)
    assert [effect.reason for effect in first.effects if isinstance(effect, RecordEvent)] == [
        Reason.PULLED,
        Reason.TTL_IGNORED,
    ]
    assert look(first.status, at(600), spec=spec, managed=True).effects == ()


# --- finalizer and removal


def test_the_finalizer_is_set_before_the_image_is_pulled() -> None:
    """And the attempt starts when it stands there; an object at rest gets it too, or loses it."""
    first = look(OperationStatus(), at(0), spec=DELETING)
    assert first.effects == (SetFinalizer(present=True),)
    begun = look(first.status, at(1), spec=DELETING, finalizer=True)
    assert begun.effects == (StartAttempt(run=1, number=1),)
    assert look(done(), at(2), spec=DELETING).effects == (SetFinalizer(present=True),)
    assert look(done(DELETING), at(2), spec=pull_spec(), finalizer=True).effects == (SetFinalizer(present=False),)
    assert look(done(DELETING, Reason.AUTH_FAILED), at(2), spec=DELETING).effects == ()


def test_a_deleted_object_takes_its_image_along() -> None:
    """Then the finalizer goes; nothing is written onto it."""
    gone: dict[str, Any] = {"spec": DELETING, "finalizer": True, "deleting": True, "deleted_at": at(10)}
    first = look(done(DELETING), at(10), **gone)
    assert (first.effects, first.write, first.wake_at) == ((REMOVAL,), Write.NOTHING, at(10) + FINALIZER_PATIENCE)
    going = look(done(DELETING), at(11), running=call(Purpose.REMOVAL, started=at(10)), **gone)
    assert (going.effects, going.wake_at) == ((), at(10) + FINALIZER_PATIENCE)
    ended = call(Purpose.REMOVAL, started=at(10), reason=Reason.COMPLETED)
    assert look(done(DELETING), at(12), running=ended, **gone).effects == (SetFinalizer(present=False),)


def test_a_removal_that_fails_is_tried_again_and_given_up_after_ten_minutes() -> None:
    """An Event says that the image was left."""
    gone: dict[str, Any] = {"spec": DELETING, "finalizer": True, "deleting": True, "deleted_at": at(10)}
    failed = call(Purpose.REMOVAL, started=at(10), reason=Reason.DAEMON_UNAVAILABLE)
    first = look(done(DELETING), at(12), running=failed, **gone)
    assert (first.effects, first.wake_at) == ((), at(17))
    assert look(first.status, at(17), **gone).effects == (REMOVAL,)
    assert look(first.status, at(17), accepting=False, **gone).effects == ()
    released = RecordEvent(
        warning=True,
        reason=Reason.FINALIZER_RELEASED,
        message=Reason.FINALIZER_RELEASED.sentence,
    )
    hanging = call(Purpose.REMOVAL, started=at(600))
    late = look(first.status, at(610), running=hanging, **gone)
    assert late.effects == (StopAttempt(Reason.CANCELLED), released, SetFinalizer(present=False))
    nowhere = OperationError(Reason.DAEMON_NOT_CONFIGURED)
    assert look(done(DELETING), at(11), refusal=nowhere, **gone).effects == (released, SetFinalizer(present=False))


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (done(DELETING), {"held_by_others": True}),
        (done(DELETING, Reason.AUTH_FAILED).model_copy(update={"image": None}), {}),
        (done(), {"spec": pull_spec()}),
    ],
    ids=["held-by-others", "nothing-pulled", "retain"],
)
def test_an_image_that_has_to_stay_holds_nothing_up(status: OperationStatus, fields: dict[str, Any]) -> None:
    """The finalizer goes at once."""
    gone: dict[str, Any] = {"spec": DELETING, "finalizer": True, "deleting": True, "deleted_at": at(10)}
    assert look(status, at(10), **(gone | fields)).effects == (SetFinalizer(present=False),)


def test_a_deleted_object_without_finalizer_or_with_a_call_is_only_stopped() -> None:
    """Its call first, whatever it is for."""
    gone: dict[str, Any] = {"spec": DELETING, "finalizer": True, "deleting": True, "deleted_at": at(10)}
    checking = call(Purpose.CHECK, started=at(9))
    assert look(done(DELETING), at(10), running=checking, **gone).effects == (StopAttempt(Reason.CANCELLED),)
    assert look(done(), at(10), spec=pull_spec(), deleting=True).effects == ()


def test_what_a_promotion_left_is_removed_after_it() -> None:
    """Once, and only from where it is; the object stays as it ended."""
    constraints, spec = SessionConstraints(remove_image=True), pull_spec()
    first = look(done(), at(10), spec=spec, constraints=constraints)
    assert first.effects == (REMOVAL,)
    ended = call(Purpose.REMOVAL, started=at(10), reason=Reason.COMPLETED)
    removed = look(done(), at(11), spec=spec, constraints=constraints, running=ended)
    assert (removed.status.phase, removed.write, removed.effects) == (Phase.SUCCEEDED, Write.COMMIT, ())
    assert removed.status.image is not None
    assert removed.status.image.present is False
    assert look(removed.status, at(12), spec=spec, constraints=constraints).effects == ()
    assert look(done(), at(10), spec=spec, constraints=constraints, held_by_others=True).effects == ()
    assert look(done(), at(10), spec=spec, constraints=constraints, accepting=False).effects == ()


def test_a_refused_object_has_no_afterlife() -> None:
    """Nobody can read what it asks for."""
    unread = replace(operation(None, done(INTERVAL), finalizer=True), spec=None)
    assert decide(unread, attempt=None, constraints=None, now=at(5000)).effects == ()
