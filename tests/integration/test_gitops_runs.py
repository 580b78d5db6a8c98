"""What runs an object again, and what never does: applies, tokens, and the end of its time to live."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from devcluster import parts
from imageops.api.gitops_marks import MARKS as KNOWN_MARKS
from imageops.api.kinds import GROUP, IMAGE_PULL, IMAGE_TAG, REQUESTED_AT, SESSION, VERSION, Kind
from tests.support.clients import Client, MakeClient, manifest
from tests.support.metrics import total
from tests.support.objects import POLL_SECONDS, WAIT_SECONDS, finished, run_ended
from tests.support.operator_process import OperatorProcess
from tests.support.states import KINDS, Course, Stage, State

pytestmark = pytest.mark.integration

APPLIES = 16
"""Of each of eight objects, in each of two ways, by each of four kubectl side by side: 1,024 together."""
APPLIERS = 4
TOKENS = 100
TTL_SECONDS = 5
NAMESPACES = "/api/v1/namespaces"
MARKS = {
    f"{number}-{mark.place}": (
        {f"{mark.place}s": {mark.key: mark.value or "app"}},
        f"{mark.manager or 'tests'}-controller",
    )
    for number, mark in enumerate(KNOWN_MARKS)
}
"""How an object shows that a tool would make it again, and who has applied it."""


@pytest.fixture
def kubectl(stage: Stage, make_client: MakeClient) -> Client:
    """Return kubectl in the stage's namespace."""
    return make_client(parts.KUBECTL, stage.objects.namespace)


@pytest.fixture
def held(stage: Stage) -> Iterator[Stage]:
    """Return the stage, with everything that runs held up until it is let go."""
    stage.hold_up()
    yield stage
    stage.let_go()


def alone(stage: Stage) -> None:
    """Wait until the namespaces of former tests are gone: what is cancelled with them ends, too, and is counted."""
    deadline = time.monotonic() + WAIT_SECONDS
    ours = {stage.objects.namespace, "default"}
    while any(
        name.startswith("test-") and name not in ours
        for name in (one["metadata"]["name"] for one in stage.objects.api.request("GET", NAMESPACES).body["items"])
    ):
        assert time.monotonic() < deadline, "a namespace does not go"
        time.sleep(POLL_SECONDS)


def versions(stage: Stage, names: tuple[str, ...]) -> dict[tuple[Kind, str], str]:
    """Return the resourceVersion of objects of each kind: it changes with every write."""
    return {
        (kind, name): stage.objects.get(kind, name)["metadata"]["resourceVersion"] for kind in KINDS for name in names
    }


def look_once(stage: Stage, name: str) -> None:
    """Have the operator look at a new object to its end; all it was told before has been looked at then.

    The object is one that ends at the first look: with one write, and no daemon call.
    """
    same = f"local.example/{stage.objects.namespace}:same"
    body = stage.objects.run(IMAGE_TAG, name, {"source": same, "target": same})
    assert body["status"]["error"]["reason"] == "InvalidSpec"


@pytest.mark.feature("gitops.reapply")
def test_applying_the_same_manifest_again_does_nothing(
    stage: Stage,
    kubectl: Client,
    operator: OperatorProcess,
) -> None:
    """1,024 applies by kubectl to finished objects, half of them server-side: 0 runs and 0 status writes."""
    names = ("good", "bad")
    made = [
        manifest(stage.create(kind, name, course))
        for kind in KINDS
        for name, course in zip(names, (Course.SUCCEEDS, Course.FAILS), strict=True)
    ]
    for kind in KINDS:
        stage.wait(kind, "good", State.SUCCEEDED)
        stage.wait(kind, "bad", State.FAILED)
    once, many = "---\n".join(made), kubectl.home / "many.yaml"
    many.write_text("---\n".join([once] * APPLIES), encoding="utf-8")
    total_applies = APPLIERS * APPLIES * len(made)
    alone(stage)
    look_once(stage, "before")
    runs = total(operator, "imageops_operations_total")
    for way, says in ((["--server-side"], "serverside-applied"), ([], "unchanged")):
        kubectl.run("apply", "-f", "-", *way, stdin=once)  # writes down who manages what: the object, not its spec
        before = versions(stage, names)
        appliers = [kubectl.start("apply", "-f", str(many), *way) for _ in range(APPLIERS)]
        said = [applier.wait(120).said.splitlines() for applier in appliers]
        assert Counter(line.rpartition(" ")[2] for lines in said for line in lines) == {says: total_applies}
        assert versions(stage, names) == before
    look_once(stage, "after")
    assert versions(stage, names) == before, (
        "nothing was written on them, although the operator has looked at all of it"
    )
    assert total(operator, "imageops_operations_total") - runs == 1, "the one of the object looked at last"
    for kind in KINDS:
        statuses = [stage.objects.get(kind, name)["status"] for name in names]
        assert [status["run"] for status in statuses] == [1, 1]


@pytest.mark.feature("gitops.reapply")
def test_a_restart_runs_nothing_that_has_ended(stage: Stage, operator: OperatorProcess) -> None:
    """A new process looks at all finished objects and writes none of them."""
    names = ("kept", "lost")
    for kind in KINDS:
        stage.create(kind, "kept", Course.SUCCEEDS)
        stage.create(kind, "lost", Course.FAILS)
    for kind in KINDS:
        stage.wait(kind, "kept", State.SUCCEEDED)
        stage.wait(kind, "lost", State.FAILED)
    before = versions(stage, names)
    alone(stage)
    operator.stop()
    operator.start()
    look_once(stage, "after-restart")
    assert versions(stage, names) == before
    assert total(operator, "imageops_status_patch_total") == 1
    assert total(operator, "imageops_operations_total") == 1


@pytest.mark.feature("gitops.token")
def test_every_new_token_is_one_more_run(stage: Stage, operator: OperatorProcess) -> None:
    """100 tokens on each of the four kinds, each after the echo of the last: exactly 100 runs each."""
    for kind in KINDS:
        stage.create(kind, "again", Course.SUCCEEDS)
    for kind in KINDS:
        stage.wait(kind, "again", State.SUCCEEDED)
    counted = {kind: total(operator, "imageops_operations_total", kind=kind.kind) for kind in KINDS}
    for number in range(TOKENS):
        for kind in KINDS:
            stage.objects.ask_again(kind, "again", f"token {number}")
        for kind in KINDS:
            body = stage.objects.wait(kind, "again", run_ended(number + 2))
            assert body["status"]["lastHandledRequestedAt"] == f"token {number}"
            assert body["status"]["phase"] == "Succeeded"
    look_once(stage, "after-tokens")
    for kind in KINDS:
        status = stage.objects.get(kind, "again")["status"]
        children = TOKENS if kind is IMAGE_PULL else 0  # the Session's step pulls
        others = 1 if kind is IMAGE_TAG else 0
        assert status["run"] == TOKENS + 1
        ended = total(operator, "imageops_operations_total", kind=kind.kind) - counted[kind]
        assert ended == TOKENS + children + others
        if kind is not SESSION:
            assert len(status["history"]) == 10
            assert status["historyDropped"] == TOKENS + 1 - 10
            assert {(entry["trigger"], entry["attempt"]) for entry in status["history"]} == {("Token", 1)}


@pytest.mark.feature("gitops.token")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_tokens_set_during_a_run_cause_one_run_after_it(held: Stage, kind: Kind) -> None:
    """The newest wins, and the run in progress goes on to its end."""
    held.create(kind, "busy", Course.RUNS)
    held.wait(kind, "busy", State.RUNNING)
    for token in ("first", "second"):
        held.objects.ask_again(kind, "busy", token)
    look_once(held, f"during-{kind.singular}")
    assert held.objects.get(kind, "busy")["status"]["run"] == 1
    held.let_go()
    body = held.objects.wait(kind, "busy", run_ended(2))
    look_once(held, f"after-{kind.singular}")
    assert held.objects.get(kind, "busy")["status"] == body["status"]
    assert (body["status"]["run"], body["status"]["phase"]) == (2, "Succeeded")
    assert body["status"]["lastHandledRequestedAt"] == "second"
    if kind is not SESSION:
        ends = [(entry["run"], entry["trigger"], entry["outcome"]) for entry in body["status"]["history"]]
        assert ends == [(1, "Spec", "Succeeded"), (2, "Token", "Succeeded")]


@pytest.mark.feature("gitops.token")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_token_taken_away_during_a_run_causes_one_after_it(
    held: Stage, kind: Kind, operator: OperatorProcess
) -> None:
    """As the next apply of a manifest without it does, and also where the operator is killed in between."""
    held.create(kind, "taken", Course.RUNS)
    held.wait(kind, "taken", State.RUNNING)
    held.objects.ask_again(kind, "taken", "once")
    held.objects.wait(kind, "taken", lambda body: body["status"].get("pendingRequestedAt") == "once")
    held.objects.patch(kind, "taken", {"metadata": {"annotations": {REQUESTED_AT: None}}})
    operator.kill()
    operator.start()
    held.let_go()
    body = held.objects.wait(kind, "taken", run_ended(2))
    look_once(held, f"after-taken-{kind.singular}")
    assert held.objects.get(kind, "taken")["status"] == body["status"]
    assert (body["status"]["run"], body["status"]["phase"]) == (2, "Succeeded")
    assert body["status"]["lastHandledRequestedAt"] == "once"
    assert "pendingRequestedAt" not in body["status"]


@pytest.mark.feature("gitops.token")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_token_present_at_creation_is_the_first_run(stage: Stage, kind: Kind) -> None:
    """It is echoed by the run that the creation causes; removing it, or setting it again, runs nothing."""
    spec = stage.spec(kind, Course.SUCCEEDS)
    stage.objects.create(kind, "born", spec, annotations={REQUESTED_AT: "at birth"})
    body = stage.objects.wait(kind, "born", finished)
    assert (body["status"]["run"], body["status"]["lastHandledRequestedAt"]) == (1, "at birth")
    for value in (None, "at birth"):
        stage.objects.patch(kind, "born", {"metadata": {"annotations": {REQUESTED_AT: value}}})
    look_once(stage, f"born-{kind.singular}")
    assert stage.objects.get(kind, "born")["status"] == body["status"]


@pytest.mark.feature("gitops.ttl")
def test_a_finished_object_is_deleted_when_its_time_is_over(stage: Stage) -> None:
    """After ttlSecondsAfterFinished, after success and failure; never before, and never without one."""
    courses = {"short-lived": Course.SUCCEEDS, "short-lived-failure": Course.FAILS}
    for kind in KINDS:
        stage.create(kind, "good-for-ever", Course.SUCCEEDS)
        for name, course in courses.items():
            stage.create(kind, name, course, ttlSecondsAfterFinished=TTL_SECONDS)
    gone: dict[tuple[Kind, str], float] = {}
    ends: dict[tuple[Kind, str], datetime] = {}
    deadline = time.monotonic() + 60
    while len(gone) < len(KINDS) * len(courses):
        assert time.monotonic() < deadline, gone
        for kind in KINDS:
            present = {body["metadata"]["name"]: body for body in stage.objects.all(kind)}
            moment = datetime.now(UTC)
            for name in courses:
                if name in present and finished(present[name]):
                    ends[kind, name] = datetime.fromisoformat(present[name]["status"]["completionTime"])
                elif name not in present and (kind, name) not in gone:
                    gone[kind, name] = (moment - ends[kind, name]).total_seconds()
    assert min(gone.values()) >= TTL_SECONDS
    look_once(stage, "after-expiry")
    assert all(finished(stage.objects.get(kind, "good-for-ever")) for kind in KINDS)


@pytest.mark.feature("gitops.ttl")
def test_a_time_to_live_set_after_the_end_counts_from_the_end(stage: Stage) -> None:
    """It takes effect without another run."""
    for kind in KINDS:
        stage.create(kind, "late-ttl", Course.SUCCEEDS)
    for kind in KINDS:
        stage.objects.wait(kind, "late-ttl", finished)
        stage.objects.patch(kind, "late-ttl", {"spec": {"ttlSecondsAfterFinished": 0}})
        stage.objects.wait_gone(kind, "late-ttl")


def _create_marked(stage: Stage, kind: Kind, name: str, metadata: dict[str, dict[str, str]], manager: str) -> None:
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind.kind,
        "metadata": {"name": name, **metadata},
        "spec": stage.spec(kind, Course.SUCCEEDS) | {"ttlSecondsAfterFinished": 0},
    }
    answer = stage.objects.api.request("POST", stage.objects.path(kind), body, fieldManager=manager)
    assert answer.status == 201, answer.message


@pytest.mark.feature("gitops.ttl")
def test_what_git_would_make_again_is_not_deleted(stage: Stage, operator: OperatorProcess) -> None:
    """Under every known mark the time to live is ignored; one Event says so, restarts included."""
    for kind in KINDS:
        for mark, (metadata, manager) in MARKS.items():
            _create_marked(stage, kind, mark, metadata, manager)
        _create_marked(stage, kind, "unmarked", {"labels": {"app.kubernetes.io/instance": "by-hand"}}, "kubectl")
    for kind in KINDS:
        for mark in MARKS:
            stage.wait(kind, mark, State.SUCCEEDED)
        stage.objects.wait_gone(kind, "unmarked")
    operator.stop()
    operator.start()
    look_once(stage, "after-marks")
    for kind in KINDS:
        for mark in MARKS:
            body = stage.objects.get(kind, mark)
            assert "deletionTimestamp" not in body["metadata"]
            assert "expirationTime" not in body["status"]
            about = [one for one in stage.objects.events(mark) if one["involvedObject"]["kind"] == kind.kind]
            said = [one for one in about if one["reason"] == "TTLIgnored"]
            assert [(one["type"], one.get("count", 1)) for one in said] == [("Warning", 1)]
