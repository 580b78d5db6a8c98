from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from imageops.api.reasons import Reason
from imageops.api.session_status import ReasonCount
from imageops.api.status import DaemonStatus, HistoryEntry, OperationStatus, Phase, Progress
from imageops.core.session_summary import PULL, PUSH, Member, active, errors, evidence, history, statistics, transferred
from tests.support.builders import (
    DIGEST,
    IMAGE_ID,
    NOW,
    OTHER_DIGEST,
    OTHER_ID,
    at,
    child_status,
    decided,
    ended,
    image,
    operation,
)


def member(name: str, phase: Phase, *, kind: str = PULL, reason: Reason | None = None, **fields: object) -> Member:
    """Make an operation of a Session."""
    status = child_status(phase, reason, **fields)
    return Member(kind, name, f"uid-of-{name}", status, tool="pull", arguments={"image": name})


def entry(attempt: int, outcome: str, reason: Reason, *, begun: float = 0, **fields: object) -> HistoryEntry:
    """Make the entry of an attempt that has ended."""
    made = {"run": 1, "trigger": "Spec", "attempt": attempt, "outcome": outcome, "reason": reason.value}
    times = {"start_time": at(begun), "completion_time": at(begun + 1)}
    return HistoryEntry.model_validate(made | times | fields)


def test_a_member_says_its_reason() -> None:
    """One that was not looked at yet waits."""
    assert Member(PULL, "a", "uid", OperationStatus()).reason == "Pending"
    assert member("a", Phase.FAILED).reason == "ImageNotFound"


def test_8_running_ones_are_shown_by_name() -> None:
    """With their progress, where there is one."""
    running = [member(f"n{number}", Phase.RUNNING) for number in range(9, -1, -1)]
    running[-1] = member("n0", Phase.RUNNING, progress=Progress(stage="Downloading", percent=7))
    shown = active([*running, member("done", Phase.SUCCEEDED)])
    assert [one.operation_ref.name for one in shown] == [f"n{number}" for number in range(8)]
    assert (shown[0].stage, shown[0].percent, shown[1].stage) == ("Downloading", 7, None)


@pytest.mark.feature("session.errors")
def test_the_same_reason_of_the_same_operation_raises_the_count() -> None:
    """First and last time stay; the words are those of the present error, or of the reason."""
    tries = (
        entry(1, "Failed", Reason.TIMED_OUT),
        entry(2, "Failed", Reason.RATE_LIMITED, begun=10),
        entry(3, "Failed", Reason.TIMED_OUT, begun=20),
        entry(4, "Interrupted", Reason.INTERRUPTED, begun=30),
    )
    one = member("a", Phase.RUNNING, history=tries)
    found = errors([one], ())
    assert [(error.reason, error.count, error.first_time, error.last_time) for error in found] == [
        ("RateLimited", 1, at(11), at(11)),
        ("TimedOut", 2, at(1), at(21)),
    ]
    assert {error.message for error in found} == {Reason.TIMED_OUT.sentence, Reason.RATE_LIMITED.sentence}
    assert errors([one], found) == found


@pytest.mark.feature("session.errors")
def test_10_errors_stay_also_of_operations_that_are_gone() -> None:
    """The newest ones."""
    names = [f"n{number:02}" for number in range(12)]
    failed = [
        member(name, Phase.FAILED, history=(entry(1, "Failed", Reason.IMAGE_NOT_FOUND, begun=number),))
        for number, name in enumerate(names)
    ]
    assert [error.operation_ref.name for error in errors(failed, ())] == names[2:]
    before = errors(failed[:3], ())
    assert [error.operation_ref.name for error in errors(failed[3:6], before)] == names[:6]


@pytest.mark.feature("session.errors")
def test_an_operation_that_failed_without_an_attempt_is_an_error_too() -> None:
    """ApiRefusal by the second gate, say; a reason of a newer operator counts as an unknown one."""
    refused = member("a", Phase.FAILED, history=())
    assert [(error.reason, error.reason_class) for error in errors([refused], ())] == [("ImageNotFound", "Final")]
    newer = entry(1, "Failed", Reason.TIMED_OUT).model_copy(update={"reason": "Quarantined"})
    strange = member("b", Phase.RUNNING, history=(newer,))
    assert [(error.reason, error.reason_class) for error in errors([strange], ())] == [("Quarantined", "Retryable")]


@pytest.mark.feature("session.history")
@pytest.mark.parametrize(
    ("limit", "kept"),
    [(0, []), (3, ["b2", "c1", "c2"]), (50, ["a1", "a2", "b1", "b2", "c1", "c2"])],
)
def test_the_newest_executions_stay_in_order(limit: int, kept: list[str]) -> None:
    """As many as historyLimit allows, an open one not yet; those of operations that are gone stay for their time."""
    made, open_one = [], HistoryEntry(run=2, trigger="Spec", attempt=1, start_time=NOW)
    for place, name in enumerate("abc"):
        first = entry(1, "Failed", Reason.TIMED_OUT, begun=10 * place)
        second = entry(2, "Succeeded", Reason.PULLED, begun=10 * place + 5)
        made.append(member(name, Phase.RUNNING, history=(first, second, open_one)))
    before = history(made[:1], (), limit=50)
    rows = history(made[1:], before, limit=limit)
    assert [f"{row.operation_ref.name}{row.attempt}" for row in rows] == kept
    assert all((row.tool, row.arguments) == ("pull", {"image": row.operation_ref.name}) for row in rows)


@pytest.mark.feature("session.history")
def test_executions_of_one_second_stand_as_they_follow_from_each_other() -> None:
    """Pull before tag before push."""
    kinds = ("ImagePush", "ImageTag", "ImagePull")
    made = [
        member(f"n{place}", Phase.SUCCEEDED, kind=kind, history=(entry(1, "Succeeded", Reason.PULLED),))
        for place, kind in enumerate(kinds)
    ]
    assert [row.operation_ref.kind for row in history(made, (), limit=9)] == ["ImagePull", "ImageTag", "ImagePush"]


@pytest.mark.feature("session.statistics")
def test_statistics_equal_a_recount() -> None:
    """Over those that finished, their last run alone."""
    made = []
    for number in range(1, 21):
        phase = Phase.FAILED if number == 20 else Phase.SUCCEEDED
        tries = (
            entry(9, "Succeeded", Reason.PULLED, run=0, duration_milliseconds=10**6, bytes_transferred=10**9),
            entry(1, "Failed", Reason.TIMED_OUT, duration_milliseconds=100 * number, bytes_transferred=1),
            entry(2, "Succeeded", Reason.PULLED, duration_milliseconds=None),
        )
        made.append(member(f"n{number}", phase, history=tries))
    made.append(member("busy", Phase.RUNNING))
    result = statistics(made)
    assert result is not None
    assert (result.success_percent, result.average_milliseconds, result.p95_milliseconds) == (95, 1050, 1900)
    assert result.bytes_transferred == transferred(made) == 20
    assert result.reasons == (ReasonCount(reason="ImageNotFound", count=1), ReasonCount(reason="Pulled", count=19))


def test_nothing_finished_has_no_statistics() -> None:
    """An average of nothing is not invented."""
    assert statistics([member("a", Phase.RUNNING)]) is None


def test_evidence_joins_a_push_to_the_pull_of_the_same_image() -> None:
    """The newest such pull; a push of an image that nobody pulled has no source digest."""
    pulls = [
        member("old", Phase.SUCCEEDED, image=image(digest=OTHER_DIGEST), completion_time=at(1)),
        member("new", Phase.SUCCEEDED, image=image(), reference="a.example/x:2", completion_time=at(2)),
        member("other", Phase.SUCCEEDED, image=image(id=OTHER_ID), completion_time=at(3)),
        member("failed", Phase.FAILED, image=image()),
        member("blind", Phase.SUCCEEDED, image=None),
    ]
    push = member(
        "push",
        Phase.SUCCEEDED,
        kind=PUSH,
        reason=Reason.PUSHED,
        image=image(platforms=("linux/amd64",)),
        reference="b.example/x:1",
    )
    proof = evidence([*pulls, push])
    assert [(one.source, one.target, one.source_digest, one.target_digest) for one in proof] == [
        ("a.example/x:2", "b.example/x:1", DIGEST, DIGEST),
    ]
    assert (proof[0].digest_preserved, proof[0].platforms) == (True, ("linux/amd64",))
    alone = evidence([push])
    assert (alone[0].source, alone[0].source_digest, alone[0].digest_preserved) == ("b.example/x:1", None, False)


@pytest.mark.feature("session.evidence.digest")
@pytest.mark.parametrize(
    ("store", "pushed_id", "arrived", "source", "preserved"),
    [
        ("containerd", DIGEST, OTHER_ID, OTHER_ID, True),
        ("containerd", DIGEST, OTHER_DIGEST, OTHER_ID, False),
        ("containerd", DIGEST, DIGEST, OTHER_ID, False),
        ("graphdriver", OTHER_ID, OTHER_DIGEST, DIGEST, False),
        (None, OTHER_ID, OTHER_ID, DIGEST, False),
    ],
    ids=["kept", "changed", "whole-index", "graphdriver", "unknown-store"],
)
def test_of_one_platform_the_digest_of_its_own_manifest_is_compared(
    store: str | None, pushed_id: str, arrived: str, source: str, *, preserved: bool
) -> None:
    """The image id, where the store makes it a digest; else all that the source registry states is the index."""
    known = DaemonStatus(name="default", image_store=store) if store is not None else None
    pull = member("pull", Phase.SUCCEEDED, image=image(id=OTHER_ID, digest=DIGEST), daemon=known)
    there = image(id=pushed_id, digest=arrived, platforms=("linux/arm64",))
    push = member("push", Phase.SUCCEEDED, kind=PUSH, reason=Reason.PUSHED, image=there, daemon=known)
    (proof,) = evidence([pull, push])
    assert (proof.source_digest, proof.target_digest, proof.digest_preserved) == (source, arrived, preserved)
    assert (proof.image_id, proof.platforms) == (pushed_id, ("linux/arm64",))


@pytest.mark.feature("session.evidence.digest")
def test_each_platform_of_one_index_is_compared_with_its_own_pull() -> None:
    """Also where the pulls of other platforms, and of the whole, are newer."""
    known = DaemonStatus(name="default", image_store="containerd")
    digests = {"amd": OTHER_ID, "arm": OTHER_DIGEST, "whole": DIGEST}
    members = [
        member(
            f"{kind}-{name}",
            Phase.SUCCEEDED,
            kind=kind,
            reason=reason,
            reference=f"{kind}.example/{name}:1",
            image=image(id=digest, digest=DIGEST) if kind == PULL else image(id=DIGEST, digest=digest),
            daemon=known,
            completion_time=at(place),
        )
        for kind, reason in ((PULL, Reason.PULLED), (PUSH, Reason.PUSHED))
        for place, (name, digest) in enumerate(digests.items())
    ]
    proof = evidence(members)
    assert [one.source for one in proof] == [f"{PULL}.example/{name}:1" for name in digests]
    assert [one.source_digest for one in proof] == [one.target_digest for one in proof] == list(digests.values())
    assert all(one.digest_preserved for one in proof)


@pytest.mark.feature("session.evidence.digest")
def test_promotions_of_equal_content_each_name_their_own_source() -> None:
    """Also where the pull of the other is newer; a push outside of a promotion still has the newest."""
    pulls = [
        member(
            f"pull-{name}", Phase.SUCCEEDED, image=image(), reference=f"a.example/{name}:1", completion_time=at(place)
        )
        for place, name in enumerate(("api", "web"))
    ]
    pushes = [
        member(f"push-{name}", Phase.SUCCEEDED, kind=PUSH, reason=Reason.PUSHED, image=image())
        for name in ("api", "more", "web")
    ]
    proof = evidence([*pulls, *pushes], {"push-api": "pull-api", "push-web": "pull-web"})
    assert [one.source for one in proof] == ["a.example/api:1", "a.example/web:1", "a.example/web:1"]


def test_an_image_whose_digest_in_the_registry_is_unknown_is_no_source() -> None:
    """Its id alone, though the store makes it a digest, was never stated by a registry."""
    known = DaemonStatus(name="default", image_store="containerd")
    pull = member("pull", Phase.SUCCEEDED, image=image(digest=None), daemon=known)
    push = member("push", Phase.SUCCEEDED, kind=PUSH, reason=Reason.PUSHED, image=image(digest=IMAGE_ID), daemon=known)
    (proof,) = evidence([pull, push])
    assert (proof.source_digest, proof.target_digest, proof.digest_preserved) == (None, IMAGE_ID, False)


@pytest.mark.parametrize(
    ("reason", "counts"),
    [
        (Reason.PUSHED, True),
        (Reason.ALREADY_PUSHED, True),
        (Reason.PUSH_SKIPPED, False),
        (Reason.DRY_RUN_PASSED, False),
    ],
)
def test_only_a_push_that_left_its_content_is_evidence(reason: Reason, *, counts: bool) -> None:
    """One without an image proves no digest."""
    push = member("push", Phase.SUCCEEDED, kind=PUSH, reason=reason, image=None)
    assert bool(evidence([push])) is counts


def test_a_message_fits_into_the_record() -> None:
    """200 characters of the error's own words."""
    failed = ended(Reason.AUTH_FAILED, message="x" * 500)
    status = decided(operation(None, child_status(Phase.RUNNING)), running=failed, now=NOW + timedelta(seconds=1))
    one = replace(member("a", Phase.FAILED), status=status)
    wire = errors([one], ())[0].model_dump(mode="json")
    assert len(wire["message"]) == 200
