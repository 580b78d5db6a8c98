from __future__ import annotations

from typing import Any, ClassVar

import pytest

from imageops.api.kinds import Kind
from imageops.api.operations import ImagePullSpec
from imageops.api.reasons import Reason
from imageops.api.status import Phase, Trigger
from imageops.core.decide_operation import decide
from imageops.core.decide_session import decide_session
from imageops.core.effects import StartAttempt, StopAttempt, Write
from imageops.core.spechash import RunnableSpec, SpecHash
from tests.support.builders import (
    DIGEST,
    IMAGE_ID,
    KINDS,
    OPERATION_SPECS,
    assert_good,
    at,
    attempt,
    decided,
    ended,
    finished_session,
    finished_status,
    operation,
    promote_step,
    pull_spec,
    pull_step,
    running_status,
    session,
    session_decided,
    session_spec,
)

SHARED_WHAT = {"daemonName": "builder", "dryRun": True}
SHARED_HOW = {
    "secretRef": {"name": "other"},
    "serviceAccountName": "other",
    "activeDeadlineSeconds": 3600,
    "backoffLimit": 2,
}
SHARED_ELSE = {"ttlSecondsAfterFinished": 60}
OPERATION_HOW = SHARED_HOW | {"timeoutSeconds": 60}
OPERATION_ELSE = SHARED_ELSE | {"sessionRef": {"name": "release"}}

# Out of design.md, section 3: what a change of each field is. suspend and cancel have tests of their own: they run
# nothing, but they stop what runs.
WHAT: dict[str, dict[str, Any]] = {
    "ImagePull": SHARED_WHAT
    | {"image": "registry.example/app:2", "platforms": ["linux/arm64"], "imagePullPolicy": "Always"},
    "ImagePush": SHARED_WHAT
    | {
        "image": "registry.example/app:2",
        "platforms": ["linux/arm64"],
        "ifExists": "Replace",
        "preconditions": {"digest": DIGEST},
    },
    "ImageTag": SHARED_WHAT
    | {
        "source": IMAGE_ID,
        "target": "registry.example/app:3",
        "ifExists": "Replace",
        "preconditions": {"imageID": IMAGE_ID},
    },
    "Session": SHARED_WHAT | {"steps": [pull_step("b")]},
}
HOW: dict[str, dict[str, Any]] = {
    "ImagePull": OPERATION_HOW,
    "ImagePush": OPERATION_HOW,
    "ImageTag": OPERATION_HOW,
    "Session": SHARED_HOW | {"parallelism": 2, "maxFailedSteps": 2, "limits": {"operations": 5}},
}
ELSE: dict[str, dict[str, Any]] = {
    "ImagePull": OPERATION_ELSE | {"intervalSeconds": 60, "deletionPolicy": "Delete"},
    "ImagePush": OPERATION_ELSE,
    "ImageTag": OPERATION_ELSE,
    "Session": SHARED_ELSE | {"historyLimit": 3},
}
OPEN_SESSIONS_ONLY = {"closed", "idleTimeoutSeconds"}
STOPPING = {"suspend", "cancel"}
SUCCESS = {"ImagePull": Reason.PULLED, "ImagePush": Reason.PUSHED, "ImageTag": Reason.TAGGED}
BASE: dict[str, dict[str, Any]] = {**OPERATION_SPECS, "Session": {"steps": [pull_step("a")]}}


def cases(*tables: dict[str, dict[str, Any]]) -> list[Any]:
    """Return a kind, a field and its new value for each field of some tables."""
    return [
        pytest.param(kind, field, value, id=f"{kind}.{field}")
        for table in tables
        for kind, fields in table.items()
        for field, value in fields.items()
    ]


def parse(kind: str, **changes: Any) -> RunnableSpec:
    """Make a valid spec of a kind."""
    return KINDS[kind].spec_model.model_validate(BASE[kind] | changes)  # type: ignore[return-value]


def run_after(kind: str, changes: dict[str, Any], *, ended_as: Phase) -> tuple[int, bool]:
    """Change the spec of an object that ended; return the number of its run and whether it works again."""
    before, after = parse(kind), parse(kind, **changes)
    if kind == "Session":
        status, members = finished_session(before, ended_as)  # type: ignore[arg-type]
        session_changed = session(after, status, members=members, generation=2)  # type: ignore[arg-type]
        new = session_decided(session_changed, now=at(60))
        return new.run, new.completion_time is None
    reason = SUCCESS[kind] if ended_as is Phase.SUCCEEDED else Reason.IMAGE_NOT_FOUND
    former = finished_status(reason, before, kind=kind)  # type: ignore[arg-type]
    changed = operation(after, former, kind=kind, generation=2)  # type: ignore[arg-type]
    decision = decide(changed, attempt=None, constraints=None, now=at(60))
    assert_good(kind, decision.status)
    assert decision.status.observed_generation == 2
    return decision.status.run, any(isinstance(effect, StartAttempt) for effect in decision.effects)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=name) for name, kind in KINDS.items()])
def test_every_field_of_every_kind_is_in_one_of_the_tables(kind: Kind) -> None:
    """A new field of a spec needs a place in the tables above, so a decision what its change means."""
    fields = {field.alias for field in kind.spec_model.model_fields.values()}
    open_only = OPEN_SESSIONS_ONLY if kind.kind == "Session" else set()
    tables = [*(set(table[kind.kind]) for table in (WHAT, HOW, ELSE)), STOPPING, open_only]
    assert set.union(*tables) == fields
    assert sum(map(len, tables)) == len(fields)


@pytest.mark.feature("run.what-and-how")
@pytest.mark.parametrize(("kind", "field", "value"), cases(WHAT))
@pytest.mark.parametrize("ended_as", [Phase.SUCCEEDED, Phase.FAILED])
def test_a_changed_what_field_is_one_new_run(kind: str, field: str, value: Any, ended_as: Phase) -> None:
    """Whatever became of the last run, new content is asked for."""
    assert run_after(kind, {field: value}, ended_as=ended_as) == (2, True)


@pytest.mark.feature("run.what-and-how")
@pytest.mark.parametrize(("kind", "field", "value"), cases(HOW))
def test_a_changed_how_field_is_a_new_run_only_after_a_failure(kind: str, field: str, value: Any) -> None:
    """A better credential or more time may help what failed; what succeeded needs no help."""
    assert run_after(kind, {field: value}, ended_as=Phase.SUCCEEDED) == (1, False)
    assert run_after(kind, {field: value}, ended_as=Phase.FAILED) == (2, True)


@pytest.mark.feature("run.what-and-how")
@pytest.mark.parametrize(("kind", "field", "value"), cases(ELSE))
def test_other_fields_run_nothing(kind: str, field: str, value: Any) -> None:
    """ttl, interval, deletionPolicy and the like start no run, also after a failure."""
    assert run_after(kind, {field: value}, ended_as=Phase.SUCCEEDED) == (1, False)
    assert run_after(kind, {field: value}, ended_as=Phase.FAILED) == (1, False)


@pytest.mark.feature("run.what-and-how")
@pytest.mark.parametrize("kind", BASE)
@pytest.mark.parametrize("field", sorted(STOPPING))
@pytest.mark.parametrize("ended_as", [Phase.SUCCEEDED, Phase.FAILED])
def test_suspend_and_cancel_run_nothing_set_or_set_back(kind: str, field: str, ended_as: Phase) -> None:
    """A finished object stays as it ended."""
    assert run_after(kind, {field: True}, ended_as=ended_as) == (1, False)
    assert run_after(kind, {field: False}, ended_as=ended_as) == (1, False)


@pytest.mark.feature("run.what-and-how")
@pytest.mark.parametrize(("kind", "field", "value"), cases({kind: WHAT[kind] for kind in OPERATION_SPECS}))
def test_a_what_field_changed_in_mid_attempt_stops_it_first(kind: str, field: str, value: Any) -> None:
    """The old daemon call is closed before the new run begins, and the new run is exactly one."""
    before, after = parse(kind), parse(kind, **{field: value})
    status = running_status(before, kind=kind)  # type: ignore[arg-type]
    changed = operation(after, status, kind=kind, generation=2)  # type: ignore[arg-type]
    stopping = decide(changed, attempt=attempt(), constraints=None, now=at(1))
    assert stopping.effects == (StopAttempt(Reason.INTERRUPTED),)
    assert stopping.status.run == 1
    stopped = operation(after, stopping.status, kind=kind, generation=2)  # type: ignore[arg-type]
    begun = decide(stopped, attempt=ended(Reason.INTERRUPTED), constraints=None, now=at(2))
    assert begun.effects == (StartAttempt(run=2, number=1),)
    assert [(entry.run, entry.attempt, entry.outcome) for entry in begun.status.history] == [
        (1, 1, "Interrupted"),
        (2, 1, None),
    ]


@pytest.mark.feature("run.what-and-how")
@pytest.mark.parametrize(("kind", "field", "value"), cases({kind: HOW[kind] for kind in OPERATION_SPECS}))
def test_a_how_field_changed_in_mid_attempt_is_only_echoed(kind: str, field: str, value: Any) -> None:
    """The attempt goes on, and the status answers the new generation."""
    after = parse(kind, **{field: value})
    status = running_status(parse(kind), kind=kind)  # type: ignore[arg-type]
    changed = operation(after, status, kind=kind, generation=2)  # type: ignore[arg-type]
    decision = decide(changed, attempt=attempt(), constraints=None, now=at(1))
    assert decision.effects == ()
    assert (decision.status.run, decision.status.observed_generation) == (1, 2)
    assert decision.status.observed_spec_hash == str(SpecHash.of(after))


@pytest.mark.feature("run.what-and-how")
def test_a_how_field_changed_between_attempts_ends_the_wait() -> None:
    """Whoever repairs a Secret's name does not want to wait for the rest of the delay."""
    waiting = decided(operation(None, running_status()), running=ended(Reason.REGISTRY_UNAVAILABLE), now=at(1))
    assert waiting.next_retry_time is not None
    repaired = operation(pull_spec(secretRef={"name": "new"}), waiting, generation=2)
    decision = decide(repaired, attempt=None, constraints=None, now=at(2))
    assert decision.effects == (StartAttempt(run=1, number=2),)


@pytest.mark.feature("run.what-and-how")
def test_a_new_token_is_one_more_run_after_the_present_one() -> None:
    """The newest value wins, and one that was answered starts nothing again."""
    status = running_status(requested_at="a")
    assert status.last_handled_requested_at == "a"
    again = decide(operation(None, status, requested_at="b"), attempt=attempt(), constraints=None, now=at(1))
    assert again.effects == ()
    over = decide(operation(None, status, requested_at="c"), attempt=ended(Reason.PULLED), constraints=None, now=at(2))
    assert (over.status.phase, over.status.run, over.wake_at) == (Phase.SUCCEEDED, 1, at(2))
    finished = decide(operation(None, over.status, requested_at="c"), attempt=None, constraints=None, now=at(2))
    assert finished.effects == (StartAttempt(run=2, number=1),)
    assert finished.status.last_handled_requested_at == "c"
    assert finished.status.history[-1].trigger == Trigger.TOKEN
    done = decided(operation(None, finished.status, requested_at="c"), running=ended(Reason.PULLED, run=2), now=at(3))
    quiet = decide(operation(None, done, requested_at="c"), attempt=None, constraints=None, now=at(4))
    assert (quiet.write, quiet.effects, quiet.wake_at) == (Write.NOTHING, (), None)


@pytest.mark.feature("gitops.token")
@pytest.mark.parametrize("left", [None, "a"], ids=["taken away", "set back"])
def test_a_token_that_was_seen_during_a_run_counts_though_it_is_taken_away(left: str | None) -> None:
    """It is on record at once, the newest wins, and exactly one run follows, whichever token stands there then."""
    before = running_status(requested_at="a")
    first = decide(operation(None, before, requested_at="b"), attempt=attempt(), constraints=None, now=at(0.1))
    assert (first.write, first.status.pending_requested_at) == (Write.REPORT, "b")
    newest = decide(operation(None, first.status, requested_at="c"), attempt=attempt(), constraints=None, now=at(0.2))
    assert newest.status.pending_requested_at == "c"
    kept = decide(operation(None, newest.status, requested_at=left), attempt=attempt(), constraints=None, now=at(0.2))
    assert kept.status.pending_requested_at == "c"
    over = decide(
        operation(None, kept.status, requested_at=left), attempt=ended(Reason.PULLED), constraints=None, now=at(2)
    )
    assert (over.status.phase, over.status.run, over.wake_at) == (Phase.SUCCEEDED, 1, at(2))
    again = decide(operation(None, over.status, requested_at=left), attempt=None, constraints=None, now=at(2))
    assert again.effects == (StartAttempt(run=2, number=1),)
    assert (again.status.pending_requested_at, again.status.history[-1].trigger) == (None, Trigger.TOKEN)
    done = decided(operation(None, again.status, requested_at=left), running=ended(Reason.PULLED, run=2), now=at(3))
    quiet = decide(operation(None, done, requested_at=left), attempt=None, constraints=None, now=at(4))
    assert (quiet.write, quiet.effects, quiet.wake_at) == (Write.NOTHING, (), None)


@pytest.mark.feature("gitops.token")
def test_a_new_spec_answers_the_token_that_was_seen_before_it() -> None:
    """One run answers both."""
    seen = running_status().model_copy(update={"pending_requested_at": "b"})
    changed = operation(pull_spec(image="registry.example/app:2"), seen, generation=2)
    run = decide(changed, attempt=None, constraints=None, now=at(2)).status
    assert (run.run, run.last_handled_requested_at, run.pending_requested_at) == (2, "b", None)


class NewerPullSpec(ImagePullSpec):
    """The spec of an operator with more defaulted fields."""

    what_fields: ClassVar[frozenset[str]] = ImagePullSpec.what_fields | {"verify_signature", "labels"}
    how_fields: ClassVar[frozenset[str]] = ImagePullSpec.how_fields | {"priority"}
    verify_signature: bool = False
    labels: tuple[str, ...] = ()
    priority: int = 7


@pytest.mark.feature("run.upgrade")
@pytest.mark.parametrize("reason", [Reason.PULLED, Reason.IMAGE_NOT_FOUND])
def test_an_operator_with_more_defaulted_fields_runs_no_finished_object_again(reason: Reason) -> None:
    """The hash leaves defaults out, also where an object spells them out."""
    done = finished_status(reason)
    newer = NewerPullSpec.model_validate({**OPERATION_SPECS["ImagePull"], "verifySignature": False, "priority": 7})
    decision = decide(operation(newer, done), attempt=None, constraints=None, now=at(60))
    assert (decision.write, decision.effects) == (Write.NOTHING, ())


@pytest.mark.feature("run.upgrade")
@pytest.mark.parametrize("stamped", ["v0:00.11", "v2:aa.bb", "sha256:cc", ""])
@pytest.mark.parametrize("reason", [Reason.PULLED, Reason.IMAGE_NOT_FOUND])
def test_a_hash_of_another_version_is_stamped_anew_and_runs_nothing(stamped: str, reason: Reason) -> None:
    """An operator that hashes in another way must not run all objects of the cluster again."""
    done = finished_status(reason).model_copy(update={"observed_spec_hash": stamped})
    decision = decide(operation(None, done), attempt=None, constraints=None, now=at(60))
    assert (decision.write, decision.effects) == (Write.COMMIT, ())
    assert decision.status.run == 1
    assert decision.status.observed_spec_hash == str(SpecHash.of(pull_spec()))


@pytest.mark.feature("run.upgrade")
def test_a_finished_session_is_not_run_again_after_an_upgrade() -> None:
    """The same holds for Sessions."""
    spec = session_spec(pull_step("a"))
    status, members = finished_session(spec)
    older = status.model_copy(update={"observed_spec_hash": "v0:1.2"})
    decision = decide_session(session(spec, older, members=members), now=at(60))
    assert (decision.status.run, decision.effects) == (1, ())
    assert decision.status.observed_spec_hash == str(SpecHash.of(spec))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({}, {"imagePullPolicy": "IfNotPresent", "timeoutSeconds": 600, "backoffLimit": 5}, id="defaults"),
        pytest.param({}, {"dryRun": False, "secretRef": None}, id="false-and-null"),
        pytest.param(
            {"daemonName": "a", "backoffLimit": 1},
            {"backoffLimit": 1, "daemonName": "a"},
            id="order-of-keys",
        ),
    ],
)
def test_what_means_the_same_has_one_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Defaults, nulls and the order of keys make no difference."""
    assert SpecHash.of(pull_spec(**one)) == SpecHash.of(pull_spec(**other))


def test_defaults_within_steps_make_no_difference() -> None:
    """A server that fills in defaults of a step starts no new run."""
    plain = session_spec(promote_step("ship"))
    filled = session_spec(promote_step("ship", ifExists="Fail", digestPolicy="Require"))
    assert SpecHash.of(plain) == SpecHash.of(filled)


def test_a_hash_survives_its_text() -> None:
    """What is stamped is read back."""
    stamp = SpecHash.of(pull_spec())
    assert SpecHash.parse(str(stamp)) == stamp
    assert SpecHash.parse(None) is None


def test_every_change_of_a_refused_spec_is_a_change_of_what() -> None:
    """Nobody knows what the fields of a spec mean that no model accepts."""
    one, other = SpecHash.of_refused({"image": "A"}), SpecHash.of_refused({"image": "B"})
    assert one.what != other.what
    assert SpecHash.parse(str(one)) == one
