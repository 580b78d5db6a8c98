from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec
from imageops.api.status import Phase
from imageops.core.decide_session import decide_session
from imageops.core.effects import WakeMembers, Write
from imageops.core.session_constraints import SessionConstraints, assumed
from tests.support.builders import (
    DIGEST,
    at,
    child_status,
    finished_session,
    promote_step,
    pull_step,
    session,
    session_spec,
)
from tests.support.session_life import SessionLife, names

S, F, C, K = Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.SKIPPED


def life(*steps: Mapping[str, object], **fields: object) -> SessionLife:
    """Begin a Session with steps."""
    result = SessionLife(session_spec(*steps, **fields))
    result.look()
    return result


# --- cancel and deadline


def test_cancel_stops_what_runs_and_counts_all_the_rest_as_cancelled() -> None:
    """The operations are told; the Session ends with the last of them."""
    mine = life(pull_step("a"), pull_step("b"), pull_step("c"), parallelism=2)
    mine.change(cancel=True)
    mine.look()
    assert mine.wakes == 1
    assert {name: mine.demand(name).cancel for name in mine.members} == dict.fromkeys(mine.members, True)
    assert (mine.phases["c"], mine.status.completion_time) == (C, None)
    mine.end("a", "b", phase=C)
    assert (mine.status.phase, mine.reason, mine.status.cancelled) == (C, "Cancelled", 3)
    assert len(mine.made) == 2


def test_cancel_between_two_operations_of_a_step_ends_it() -> None:
    """The pull was done just in time, and the tag is not made any more."""
    mine = life(promote_step("ship"))
    mine.change(cancel=True)
    mine.end("ship")
    assert (mine.phases, mine.status.phase, len(mine.made)) == ({"ship": C}, C, 1)


def test_cancel_ends_a_step_whose_operation_was_never_made() -> None:
    """The API server had refused it."""
    mine = life(pull_step("a"))
    mine.members.clear()
    mine.change(cancel=True)
    mine.look()
    assert (mine.phases, mine.status.phase) == ({"a": C}, C)


def test_cancel_comes_too_late_for_what_has_succeeded() -> None:
    """All steps had ended well."""
    mine = life(pull_step("a"))
    mine.set("a", S)
    mine.change(cancel=True)
    mine.look()
    assert mine.reason == "Completed"


def test_while_cancel_is_true_every_new_run_ends_cancelled() -> None:
    """And makes no operation."""
    mine = life(pull_step("a"))
    mine.end("a")
    mine.change(cancel=True)
    mine.requested_at = "again"
    mine.look()
    assert (mine.status.run, mine.status.phase, len(mine.made)) == (2, C, 1)


def test_the_deadline_cancels_operations_and_ends_the_session_by_its_own_reason() -> None:
    """The object is looked at exactly then."""
    mine = life(pull_step("a"), pull_step("b"), activeDeadlineSeconds=100)
    assert mine.wake_at == at(100)
    assert not mine.demand(mine.made[0].name).cancel
    mine.look(at(100))
    assert mine.wakes == 1
    assert mine.demand(mine.made[0].name).cancel
    mine.end("a", phase=C)
    assert (mine.status.phase, mine.reason) == (F, "DeadlineExceeded")


# --- suspend


def test_suspend_holds_everything_and_its_end_wakes_everything() -> None:
    """Operations are told both times, no step is started meanwhile, and the deadline counts anew."""
    mine = life(pull_step("a"), pull_step("b"), activeDeadlineSeconds=100)
    mine.change(suspend=True)
    mine.look(at(50))
    assert (mine.status.phase, mine.wakes, mine.wake_at) == (Phase.SUSPENDED, 1, None)
    assert mine.demand(mine.made[0].name) == SessionConstraints(suspend=True)
    mine.set("a", Phase.SUSPENDED)
    mine.look(at(500))
    assert (mine.status.phase, mine.wakes) == (Phase.SUSPENDED, 2)
    mine.change(suspend=None)
    mine.look(at(600))
    assert (mine.status.phase, mine.wakes, mine.wake_at) == (Phase.RUNNING, 3, at(700))
    assert mine.demand(mine.made[0].name) == SessionConstraints()
    mine.end("a")
    mine.end("b")
    assert mine.reason == "Completed"


def test_a_session_that_is_suspended_from_the_start_makes_nothing() -> None:
    """Also while its daemon is not known yet."""
    mine = SessionLife(session_spec(pull_step("a"), suspend=True), image_store=None)
    mine.look()
    assert (mine.status.phase, mine.made, mine.status.pending) == (Phase.SUSPENDED, [], 1)
    mine.change(suspend=None)
    mine.image_store = "containerd"
    mine.look()
    assert names(mine.made) == [("a", "ImagePull")]


def test_steps_that_end_while_suspended_end_the_session() -> None:
    """Nothing is left that could be held."""
    mine = life(pull_step("a"))
    mine.change(suspend=True)
    mine.end("a")
    assert mine.reason == "Completed"


# --- runs


@pytest.mark.feature("session.version-bump")
def test_an_edited_step_is_a_new_run_with_new_operations() -> None:
    """Those of the former run are removed, running or not, and their record stays."""
    mine = life(pull_step("a"), pull_step("b"))
    mine.end("a", phase=F)
    former = [made.name for made in mine.made]
    mine.change(steps=[pull_step("a"), pull_step("c")])
    mine.look()
    assert (mine.status.run, mine.removed, mine.status.total) == (2, former, 2)
    assert mine.made[-1].name not in former
    mine.end("a")
    mine.change(steps=[pull_step("a", timeoutSeconds=9), pull_step("c")])
    mine.look()
    assert (mine.status.run, len(mine.removed)) == (3, 3)
    mine.end("a")
    mine.end("c")
    assert [(done.run, done.reason) for done in mine.status.runs] == [(1, "StepFailed"), (3, "Completed")]


def test_a_token_that_comes_during_a_run_starts_one_after_it() -> None:
    """Without another event, and once; the end of the first run is written."""
    mine = life(pull_step("a"))
    mine.requested_at = "again"
    mine.look()
    assert (mine.status.run, len(mine.made)) == (1, 1)
    mine.end("a")
    assert (mine.status.run, len(mine.made), mine.status.last_handled_requested_at) == (2, 2, "again")
    assert [(done.run, done.phase) for done in mine.status.runs] == [(1, "Succeeded")]
    mine.end("a")
    assert (mine.status.run, mine.status.phase) == (2, S)


@pytest.mark.feature("gitops.token")
def test_a_token_that_is_taken_away_during_a_run_starts_one_after_it() -> None:
    """It stands in the status."""
    mine = life(pull_step("a"))
    mine.requested_at = "again"
    mine.look()
    assert mine.status.pending_requested_at == "again"
    mine.requested_at = None
    mine.look()
    mine.end("a")
    assert (mine.status.run, len(mine.made)) == (2, 2)
    mine.look()
    assert "pending_requested_at" not in mine.status.model_dump(exclude_none=True)
    mine.end("a")
    assert (mine.status.run, mine.status.phase, mine.status.last_handled_requested_at) == (2, S, "again")


@pytest.mark.feature("gitops.token")
def test_a_retry_that_is_taken_away_during_a_run_is_made_after_it() -> None:
    """Once, and of what failed."""
    mine = life(pull_step("a"), pull_step("b"))
    mine.retry_failed_at = "again"
    mine.look()
    assert mine.status.pending_retry_failed_at == "again"
    mine.retry_failed_at = None
    mine.end("a", phase=F)
    mine.look()
    assert (mine.status.run, mine.status.phase) == (1, Phase.RUNNING)
    assert "pending_retry_failed_at" not in mine.status.model_dump(exclude_none=True)
    assert mine.status.last_handled_retry_failed_at == "again"
    mine.end("a")
    mine.end("b")
    mine.look()
    assert (mine.status.run, mine.status.phase) == (1, S)


def test_the_counts_of_a_new_run_are_its_own() -> None:
    """Also where it ends before there are steps to count."""
    status, members = finished_session(session_spec(pull_step("a"), pull_step("b")))
    assert status.succeeded == 2
    again = session(None, status, members=members, requested_at="again")
    decision = decide_session(again, now=at(60))
    assert (decision.status.run, decision.status.phase, decision.status.total) == (2, F, 0)


# --- waits, crashes, writes


def test_a_session_waits_for_its_daemon_to_say_how_it_keeps_images() -> None:
    """Looked at again after a minute at the latest; what has ended is told all the same."""
    mine = SessionLife(session_spec(pull_step("a"), pull_step("b")), image_store=None)
    first = mine.look()
    assert (mine.reason, mine.status.phase, mine.wake_at) == ("DaemonUnavailable", Phase.PENDING, at(60))
    assert (first.write, mine.status.pending, mine.made) == (Write.COMMIT, 2, [])
    mine.image_store = "graphdriver"
    mine.look()
    mine.image_store = None
    mine.end("a", phase=F)
    assert (mine.reason, mine.status.failed) == ("DaemonUnavailable", 1)
    done = SessionLife(session_spec(pull_step("a")))
    done.look()
    done.image_store = None
    done.end("a")
    assert done.reason == "Completed"


@pytest.mark.parametrize("phase", [Phase.RUNNING, S, F])
def test_an_operation_made_before_a_crash_is_found_again(phase: Phase) -> None:
    """Nothing was written about it, and nothing happens to it any more: it is not made twice, nor waited for."""
    mine = life(pull_step("a"), pull_step("b"), maxFailedSteps=1)
    before = mine.written
    mine.set("a", phase)
    mine.written = before.model_copy(update={"steps": (), "running": 0, "pending": 0, "total": 0})
    mine.restart()
    mine.look()
    assert mine.phases["a"] == phase
    assert names(mine.made) == [("a", "ImagePull"), ("b", "ImagePull")][: 1 if phase is Phase.RUNNING else 2]


def test_a_run_in_progress_is_reported_and_the_rest_is_committed() -> None:
    """What did not change is not written."""
    mine = SessionLife(session_spec(pull_step("a")))
    assert mine.look().write is Write.REPORT
    assert mine.look().write is Write.NOTHING
    mine.set("a", S)
    assert mine.look().write is Write.COMMIT
    assert mine.look().write is Write.NOTHING


def test_a_finished_session_outlives_its_operations_by_its_time_to_live() -> None:
    """Never while one of them works."""
    mine = life(pull_step("a"), ttlSecondsAfterFinished=60)
    mine.end("a")
    assert (mine.status.expiration_time, mine.wake_at, mine.deleted) == (at(60), at(60), False)
    mine.join("guest", Phase.RUNNING)
    mine.look(at(61))
    assert not mine.deleted
    mine.join("guest", S)
    assert mine.deleted


def test_a_session_under_git_is_not_deleted() -> None:
    """It would only come back; one Event says so."""
    mine = SessionLife(session_spec(pull_step("a"), ttlSecondsAfterFinished=60), managed=True)
    mine.look()
    mine.end("a")
    mine.look(at(3600))
    assert (mine.deleted, mine.status.expiration_time) == (False, None)
    assert [event.reason for event in mine.events] == [Reason.COMPLETED, Reason.TTL_IGNORED]


# --- open Sessions


@pytest.mark.feature("session.open")
def test_an_open_session_is_ready_and_counts_who_joins() -> None:
    """A failure changes counts only; it shows when the Session closes."""
    mine = SessionLife(SessionSpec())
    mine.look()
    assert (mine.reason, mine.status.phase, mine.status.total) == ("Open", Phase.RUNNING, 0)
    mine.join("one", Phase.RUNNING)
    mine.join("two", F)
    mine.join("three", Phase.PENDING)
    counts = (mine.status.total, mine.status.running, mine.status.failed, mine.status.pending)
    assert (counts, mine.reason) == ((3, 1, 1, 1), "Open")
    assert [active.operation_ref.name for active in mine.status.active] == ["one"]
    mine.change(closed=True)
    mine.look()
    assert mine.reason == "Running"
    assert mine.demand("two").closed
    mine.join("one", S)
    mine.join("three", S)
    assert (mine.status.phase, mine.reason) == (F, "MemberFailed")


@pytest.mark.feature("session.closed")
def test_an_open_session_closes_when_nothing_has_run_for_long_enough() -> None:
    """Counted from its start or from the last end."""
    mine = SessionLife(SessionSpec(idle_timeout_seconds=60))
    mine.look()
    assert (mine.wake_at, mine.reason) == (at(60), "Open")
    mine.join("one", Phase.RUNNING)
    assert (mine.wake_at, mine.reason) == (None, "Open")
    mine.join("one", S)  # it ended one second after the beginning
    assert mine.wake_at == at(61)
    mine.look(at(61))
    assert (mine.status.phase, mine.reason) == (S, "Completed")
    assert mine.demand("one").closed


def test_an_open_session_can_be_suspended_and_cancelled() -> None:
    """With members and without."""
    mine = SessionLife(SessionSpec(suspend=True, idle_timeout_seconds=60))
    mine.look()
    assert (mine.status.phase, mine.wake_at) == (Phase.SUSPENDED, None)
    mine.join("one", Phase.SUSPENDED)
    assert mine.status.phase == Phase.SUSPENDED
    mine.change(suspend=None)
    wakes = mine.wakes
    mine.look()
    assert (mine.reason, mine.wakes) == ("Open", wakes + 1)
    mine.change(cancel=True)
    mine.look()
    assert (mine.reason, mine.demand("one").cancel) == ("Running", True)
    mine.join("one", C)
    assert (mine.status.phase, mine.reason) == (C, "Cancelled")


@pytest.mark.feature("session.limits")
@pytest.mark.parametrize(
    ("limits", "over"),
    [
        ({"operations": 3}, False),
        ({"operations": 2}, True),
        ({"transferSize": "1Ki"}, False),
        ({"transferSize": "1k"}, True),
        ({"operations": 9, "transferSize": "1M"}, False),
    ],
)
def test_limits_hold_against_what_has_finished(limits: dict[str, object], *, over: bool) -> None:
    """Two members have moved 500 bytes each."""
    mine = SessionLife(SessionSpec.model_validate({"limits": limits}))
    history = tuple(entry.model_copy(update={"bytes_transferred": 500}) for entry in child_status(S).history)
    mine.join("one", S, history=history)
    mine.join("two", S, history=history)
    mine.join("three", Phase.RUNNING)
    assert mine.demand("three").over_limit is over


def test_a_session_with_steps_takes_nobody_in() -> None:
    """Its own operations are not refused; one that nobody can read demands nothing."""
    mine = life(pull_step("a"))
    mine.join("guest", Phase.PENDING)
    assert mine.demand("guest").closed
    assert not mine.demand(mine.made[0].name).closed
    assert (mine.status.total, mine.removed) == (1, [])


def test_a_promotion_may_leave_nothing_on_the_daemon() -> None:
    """Once it has succeeded, its operations are told to remove what they brought."""
    mine = life(promote_step("ship", localImages="Delete"), promote_step("keep"))
    for _ in range(3):
        assert not mine.demand(mine.operation("ship").name).remove_image
        mine.end("ship")
    for _ in range(3):
        mine.end("keep")
    removing = {made.step for made in mine.made if mine.demand(made.name).remove_image}
    assert (removing, mine.reason) == ({"ship"}, "Completed")


def test_members_are_told_of_the_end() -> None:
    """What they left behind may have to go now."""
    mine = life(pull_step("a"))
    mine.set("a", S)
    assert WakeMembers() in mine.look().effects


def test_a_dry_run_assumes_what_finished_operations_would_have_made() -> None:
    """By their references, with the digest where it is known."""
    mine = life(pull_step("a"), pull_step("b"))
    mine.set("a", S, reference="registry.example/a:1")
    mine.look(mine.now + timedelta(seconds=1))
    mine.set("b", Phase.RUNNING, reference="registry.example/b:1")
    assert assumed(mine.members.values()) == {"registry.example/a:1": DIGEST}
