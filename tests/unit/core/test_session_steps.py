from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from imageops.api.admission import check, parse_spec
from imageops.api.errors import OperationError
from imageops.api.kinds import SESSION
from imageops.api.reasons import Reason
from imageops.api.status import Phase
from imageops.core.decide_session import decide_session
from imageops.core.effects import CreateChild, RecordEvent, Write
from tests.support.builders import (
    DIGEST,
    OTHER_DIGEST,
    OTHER_ID,
    assert_good,
    at,
    image,
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


# --- order


def test_steps_run_one_after_another_in_the_order_of_the_list() -> None:
    """Each after the former has succeeded, as an operation of its own; the end is Completed."""
    mine = life(pull_step("a"), pull_step("b"), pull_step("c"))
    for done, running in enumerate(("a", "b", "c")):
        assert names(mine.made)[-1] == (running, "ImagePull")
        assert (mine.status.succeeded, mine.status.running, mine.status.pending) == (done, 1, 2 - done)
        assert mine.status.phase == Phase.RUNNING
        mine.end(running)
    assert (mine.status.phase, mine.reason, len(mine.made)) == (S, "Completed", 3)
    assert mine.events == [
        RecordEvent(warning=False, reason=Reason.COMPLETED, message="3 of 3 steps succeeded."),
    ]
    row = mine.row("b")
    assert (row.action, row.phase, row.reason, row.digest, row.attempts) == ("pull", S, "Pulled", DIGEST, 1)
    assert row.operation_ref is not None


@pytest.mark.parametrize("parallelism", [1, 2, 3, 64])
def test_no_more_run_at_a_time_than_parallelism_allows(parallelism: int) -> None:
    """As many as may start do start at once."""
    mine = life(*(pull_step(f"s{number}") for number in range(6)), parallelism=parallelism)
    while mine.status.phase != S:
        running = [name for name, phase in mine.phases.items() if phase == Phase.RUNNING]
        assert len(running) == min(parallelism, 6 - mine.status.succeeded)
        mine.end(running[-1])
    assert len(mine.made) == 6


def test_a_step_waits_for_all_that_it_names() -> None:
    """Also for those that stand behind it in the list."""
    mine = life(pull_step("last", run_after=["b", "a"]), pull_step("a"), pull_step("b"), parallelism=3)
    assert names(mine.made) == [("a", "ImagePull"), ("b", "ImagePull")]
    mine.end("b")
    assert mine.phases["last"] == Phase.PENDING
    mine.end("a")
    assert names(mine.made)[-1] == ("last", "ImagePull")


@pytest.mark.feature("session.invalid-steps")
@pytest.mark.parametrize(
    "after",
    [{"a": ["b"], "b": ["a"]}, {"a": ["c"], "b": ["a"], "c": ["b"]}],
    ids=["two", "three"],
)
def test_a_circle_of_steps_ends_stalled(after: dict[str, list[str]]) -> None:
    """InvalidSpec names the circle, and nothing is made."""
    wire = {"steps": [pull_step(name, run_after=names) for name, names in after.items()]}
    spec = parse_spec(SESSION, wire)
    with pytest.raises(OperationError) as caught:
        check(SESSION, spec)
    refused = session(session_spec(*wire["steps"]), refusal=caught.value)
    decision = decide_session(refused, now=at(0))
    assert_good("Session", decision.status)
    assert not any(isinstance(effect, CreateChild) for effect in decision.effects)
    assert (decision.status.phase, decision.status.conditions[0].reason) == (F, "InvalidSpec")
    assert "circle" in decision.status.conditions[0].message
    assert (decision.write, decision.wake_at) == (Write.COMMIT, None)


def test_a_session_that_nobody_can_read_ends_as_an_invalid_spec() -> None:
    """Without a model there are no steps to look at."""
    decision = decide_session(session(None), now=at(0))
    assert (decision.status.phase, decision.status.conditions[0].reason) == (F, "InvalidSpec")


# --- failures


@pytest.mark.feature("session.failure-policy")
@pytest.mark.parametrize(("allowed", "attempted"), [(0, 1), (1, 2), (2, 3), (5, 5)])
def test_no_more_is_started_after_more_failures_than_allowed(allowed: int, attempted: int) -> None:
    """0 stops at the first, 2 at the third: the rest is skipped, and the Session ends StepFailed."""
    mine = life(*(pull_step(f"s{number}") for number in range(5)), maxFailedSteps=allowed)
    while mine.status.completion_time is None:
        mine.end(next(name for name, phase in mine.phases.items() if phase == Phase.RUNNING), phase=F)
    assert (mine.status.failed, mine.status.skipped) == (attempted, 5 - attempted)
    assert (mine.status.phase, mine.reason, len(mine.made)) == (F, "StepFailed", attempted)
    assert mine.events[-1].warning
    assert "s0 (ImageNotFound)" in mine.events[-1].message


@pytest.mark.feature("session.failure-policy")
def test_what_runs_when_a_step_fails_is_left_to_finish() -> None:
    """Nothing is stopped, nothing is started, and the Session ends with the last of them."""
    mine = life(*(pull_step(name) for name in "abcd"), parallelism=3)
    mine.end("b", phase=F)
    assert mine.phases == {"a": Phase.RUNNING, "b": F, "c": Phase.RUNNING, "d": K}
    assert (mine.status.completion_time, mine.wakes) == (None, 0)
    mine.end("a")
    mine.end("c")
    assert (mine.phases, mine.reason) == ({"a": S, "b": F, "c": S, "d": K}, "StepFailed")
    assert mine.row("d").reason == "Skipped"


@pytest.mark.feature("session.failure-policy")
def test_what_follows_a_failed_step_is_skipped_wherever_it_stands() -> None:
    """A chain is skipped to its end, listed in any order; the others run."""
    steps = [pull_step("c", run_after=["b"]), pull_step("b", run_after=["a"]), pull_step("a"), pull_step("free")]
    mine = life(*steps, maxFailedSteps=9)
    mine.end("a", phase=F)
    assert mine.phases == {"c": K, "b": K, "a": F, "free": Phase.RUNNING}
    mine.end("free")
    assert mine.reason == "StepFailed"


def test_a_long_list_of_failures_is_cut() -> None:
    """Three are named, the others counted."""
    mine = life(*(pull_step(f"s{number}") for number in range(5)), maxFailedSteps=9, parallelism=5)
    mine.end(*mine.phases, phase=F)
    assert mine.events[-1].message == (
        "0 of 5 steps succeeded. Failed: s0 (ImageNotFound), s1 (ImageNotFound), s2 (ImageNotFound) and 2 more."
    )


def test_an_operation_that_somebody_cancelled_is_a_failed_step_of_its_session() -> None:
    """The Session itself was not cancelled."""
    mine = life(pull_step("a"))
    mine.end("a", phase=C)
    assert (mine.status.cancelled, mine.status.phase, mine.reason) == (1, F, "StepFailed")


# --- promotions


def test_a_promotion_is_three_operations_and_a_check() -> None:
    """Pull, tag, push one after another; the evidence holds what both registries said."""
    mine = life(promote_step("ship"))
    for done, kind in enumerate(("ImagePull", "ImageTag", "ImagePush")):
        assert [made.kind for made in mine.made] == ["ImagePull", "ImageTag", "ImagePush"][: done + 1]
        assert (mine.row("ship").phase, mine.status.running) == (Phase.RUNNING, 1)
        assert mine.operation("ship").kind == kind
        mine.end("ship")
    row, proof = mine.row("ship"), mine.status.evidence[0]
    assert (mine.status.phase, row.reason, row.digest, row.attempts) == (S, "Promoted", DIGEST, 3)
    assert (proof.source_digest, proof.target_digest, proof.digest_preserved) == (DIGEST, DIGEST, True)
    assert mine.status.runs[-1].target_digest == DIGEST


@pytest.mark.parametrize(("policy", "phase", "reason"), [("Require", F, "DigestMismatch"), ("Report", S, "Promoted")])
def test_a_changed_digest_is_a_failure_only_where_it_is_required(policy: str, phase: Phase, reason: str) -> None:
    """Reported in either case."""
    mine = life(promote_step("ship", digestPolicy=policy))
    mine.end("ship")
    mine.end("ship")
    mine.end("ship", image=image(digest=OTHER_DIGEST))
    assert (mine.row("ship").phase, mine.row("ship").reason) == (phase, reason)
    assert not mine.status.evidence[0].digest_preserved


def test_a_promotion_without_evidence_is_not_taken_for_one() -> None:
    """A push of another image than the one that was pulled proves nothing."""
    mine = life(promote_step("ship"))
    mine.end("ship")
    mine.end("ship")
    mine.end("ship", image=image(id=OTHER_ID))
    assert mine.row("ship").reason == "DigestMismatch"
    assert mine.status.evidence[0].source_digest is None


def test_a_promotion_that_must_keep_the_digest_is_not_begun_on_a_graphdriver() -> None:
    """EngineUnsupported before anything is made, also for what stands before it and waits for it."""
    steps = (pull_step("after", run_after=["ship"]), promote_step("ship"), pull_step("other"))
    mine = SessionLife(session_spec(*steps, maxFailedSteps=5), image_store="graphdriver")
    mine.look()
    assert mine.phases == {"after": K, "ship": F, "other": Phase.RUNNING}
    assert (mine.row("ship").reason, names(mine.made)) == ("EngineUnsupported", [("other", "ImagePull")])
    reported = SessionLife(session_spec(promote_step("ship", digestPolicy="Report")), image_store="graphdriver")
    reported.look()
    assert names(reported.made) == [("ship", "ImagePull")]


def test_a_dry_run_ends_as_one() -> None:
    """No evidence is asked of it."""
    mine = life(promote_step("ship"), dryRun=True)
    for _ in range(3):
        mine.end("ship", reason=Reason.DRY_RUN_PASSED)
    assert (mine.row("ship").reason, mine.reason) == ("DryRunPassed", "DryRunPassed")


# --- what is made again


def test_a_producer_runs_again_once_if_its_image_has_gone() -> None:
    """The step that found it gone runs again after it; a second time it fails."""
    push = {"name": "push", "push": {"image": "registry.example/a:1"}}
    mine = life(pull_step("a"), push)
    mine.end("a")
    mine.end("push", phase=F, reason=Reason.IMAGE_NOT_ON_DAEMON)
    assert mine.phases == {"a": Phase.RUNNING, "push": Phase.PENDING}
    mine.look()
    assert len(mine.removed) == 2
    mine.end("a")
    mine.end("push", phase=F, reason=Reason.IMAGE_NOT_ON_DAEMON)
    assert (mine.phases, mine.reason) == ({"a": S, "push": F}, "StepFailed")
    assert names(mine.made) == [("a", "ImagePull"), ("push", "ImagePush")] * 2
    assert len({made.name for made in mine.made}) == 4


def test_a_promotion_whose_image_has_gone_begins_anew_once() -> None:
    """It is its own producer."""
    mine = life(promote_step("ship"))
    mine.end("ship")
    mine.end("ship", phase=F, reason=Reason.IMAGE_NOT_ON_DAEMON)
    assert mine.operation("ship").kind == "ImagePull"
    for _ in range(3):
        mine.end("ship")
    assert (mine.row("ship").reason, len(mine.made)) == ("Promoted", 5)


def test_an_image_that_no_step_makes_is_not_made_again() -> None:
    """The step fails."""
    mine = life({"name": "push", "push": {"image": "registry.example/a:1"}})
    mine.end("push", phase=F, reason=Reason.IMAGE_NOT_ON_DAEMON)
    assert mine.reason == "StepFailed"


def test_retry_failed_runs_what_did_not_succeed_and_only_that() -> None:
    """The run number stays; a second look at the same value does nothing, and a value without work is only noted."""
    mine = life(pull_step("a"), pull_step("b"), pull_step("c"))
    mine.end("a")
    mine.end("b", phase=F)
    assert mine.phases == {"a": S, "b": F, "c": K}
    mine.retry_failed_at = "once"
    mine.look()
    assert (mine.phases, mine.status.run) == ({"a": S, "b": Phase.RUNNING, "c": Phase.PENDING}, 1)
    mine.end("b")
    mine.end("c")
    assert (mine.status.phase, mine.status.run, len(mine.status.runs)) == (S, 1, 1)
    assert names(mine.made) == [("a", "ImagePull"), ("b", "ImagePull"), ("b", "ImagePull"), ("c", "ImagePull")]
    mine.retry_failed_at = "twice"
    mine.look()
    assert (mine.status.phase, mine.status.last_handled_retry_failed_at, len(mine.made)) == (S, "twice", 4)


def test_retry_failed_asked_for_during_a_run_comes_after_it() -> None:
    """Without another event."""
    mine = life(pull_step("a"))
    mine.retry_failed_at = "again"
    mine.look()
    mine.end("a", phase=F)
    assert (mine.status.completion_time, len(mine.made)) == (None, 2)


# --- names


@pytest.mark.feature("session.names")
def test_a_name_that_another_owner_holds_is_left_to_him() -> None:
    """The Session looks for another one, and adopts nothing."""
    first = life(pull_step("a")).made[0].name
    mine = SessionLife(session_spec(pull_step("a")), foreign=frozenset({first}))
    mine.look()
    assert mine.made[0].name != first
    mine.end("a")
    assert mine.reason == "Completed"


@pytest.mark.feature("session.names")
def test_a_session_under_an_old_name_removes_only_its_own() -> None:
    """Operations that joined are left, those of its former runs go."""
    mine = life(pull_step("a"))
    mine.join("guest", Phase.RUNNING)
    old = mine.made[0].name
    mine.change(steps=[pull_step("b")])
    mine.look()
    assert (mine.status.run, mine.removed, set(mine.members)) == (2, [old], {"guest", mine.made[1].name})


def test_a_deleted_session_decides_nothing() -> None:
    """What it owns goes with it."""
    mine = life(pull_step("a"))
    decision = decide_session(replace(mine.subject, deleting=True), now=at(1))
    assert (decision.write, decision.effects, decision.wake_at) == (Write.NOTHING, (), None)
