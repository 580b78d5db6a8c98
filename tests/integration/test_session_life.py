"""The life of a Session with steps: version bumps, lost images, stops, failures, and what is made again."""

from __future__ import annotations

from typing import Any

import pytest

from devcluster.gate import RegistryGate
from devcluster.images import PushedImage
from imageops.api.kinds import IMAGE_PULL, RETRY_FAILED_AT, SESSION
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.objects import Body, Objects, condition, finished, reason, run_ended
from tests.support.sessions import child_of, children, counts, phases, promote, pull, running, step_is, tag
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

SLOW = 200_000
"""Bytes per second at which a pull of BIG takes longer than any test waits."""
BIG = 8_000_000


def nowhere(objects: Objects, cluster_registry: str, name: str) -> str:
    """Return the name of an image that no registry has."""
    return f"{cluster_registry}/{objects.namespace}/{name}:1"


def open_blobs(gate: RegistryGate) -> list[str]:
    """Return the blob requests that have not come to an end."""
    return [one.path for one in gate.requests if "/blobs/" in one.path and not one.finished]


def wait_quiet(gate: RegistryGate) -> None:
    """Return when no blob is being sent any more; none of the large ones got through."""
    seen = gate.wait(lambda requests: all(one.finished for one in requests))
    assert max(one.response_bytes for one in seen) < BIG


def retry_failed(objects: Objects, name: str, token: str) -> Body:
    """Ask for the failed steps once more."""
    return objects.patch(SESSION, name, {"metadata": {"annotations": {RETRY_FAILED_AT: token}}})


# --- version bump


@pytest.mark.feature("session.version-bump", "session.names")
def test_a_version_bump_of_a_finished_session_is_one_new_run(objects: Objects, make_image: MakeImage) -> None:
    """The children of the old run go, those of the new run are made, on the same object."""
    old, new = make_image(), make_image()
    body = objects.run(SESSION, "release", {"steps": [pull("app", old.reference)]})
    before = children(objects, "release")
    assert [child["spec"]["image"] for child in before.values()] == [old.reference]
    objects.patch(SESSION, "release", {"spec": {"steps": [pull("app", new.reference)]}})
    after = objects.wait(SESSION, "release", run_ended(2))
    assert after["metadata"]["uid"] == body["metadata"]["uid"]
    assert (after["status"]["run"], reason(after)) == (2, "Completed")
    made = children(objects, "release")
    assert [child["spec"]["image"] for child in made.values()] == [new.reference]
    assert not set(made) & set(before)
    assert [(run["run"], run["reason"]) for run in after["status"]["runs"]] == [(1, "Completed"), (2, "Completed")]


@pytest.mark.feature("session.version-bump")
def test_a_version_bump_stops_the_children_of_a_running_session(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The old run's pulls are stopped at once and their objects removed; the new run does not wait for them."""
    old, new = [make_image(layers=[BIG]) for _ in range(2)], make_image()
    gate = make_gate(old[0].registry, bytes_per_second=SLOW)
    steps = [pull(f"s{number}", through(gate, image)) for number, image in enumerate(old)]
    objects.create(SESSION, "release", {"steps": steps, "parallelism": 2, "daemonName": engine.name})
    objects.wait(SESSION, "release", running(2))
    before = children(objects, "release")
    objects.patch(SESSION, "release", {"spec": {"steps": [pull("s0", new.reference)]}})
    wait_quiet(gate)
    body = objects.wait_finished(SESSION, "release")
    assert (body["status"]["run"], reason(body), counts(body)) == (2, "Completed", {"succeeded": 1})
    assert not set(children(objects, "release")) & set(before)
    assert all(engine.daemon.inspect(through(gate, image)) is None for image in old)


@pytest.mark.feature("session.version-bump")
def test_twenty_bumps_in_a_row_leave_the_last_ones_children(objects: Objects, make_image: MakeImage) -> None:
    """However fast they come: the Session ends with the newest image, and with one child."""
    images = [make_image() for _ in range(4)]
    objects.create(SESSION, "release", {"steps": [pull("app", images[0].reference)]})
    for number in range(20):
        objects.patch(SESSION, "release", {"spec": {"steps": [pull("app", images[(number + 1) % 4].reference)]}})
    body = objects.wait_finished(SESSION, "release")
    assert reason(body) == "Completed"
    objects.wait(SESSION, "release", lambda _: len(children(objects, "release")) == 1)
    (child,) = children(objects, "release").values()
    assert child["spec"]["image"] == images[0].reference


# --- lost image


@pytest.mark.feature("session.lost-image")
def test_a_step_whose_image_was_removed_runs_again_once(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The image of the first step goes while the second runs; the third finds it gone, and the first is made again."""
    image, slow = make_image(), make_image(layers=[3_000_000])
    gate = make_gate(slow.registry, bytes_per_second=1_000_000)
    target = f"local.example/{objects.namespace}:1"
    steps = [
        pull("get", image.reference),
        pull("wait", through(gate, slow)),
        tag("name", image.reference, target, runAfter=["get", "wait"]),
    ]
    objects.create(SESSION, "release", {"steps": steps, "daemonName": engine.name})
    objects.wait(SESSION, "release", step_is("wait", "Running"))
    first = child_of(objects, "release", "get")
    engine.daemon.remove(image.reference)
    body = objects.wait_finished(SESSION, "release")
    assert (reason(body), phases(body)) == ("Completed", dict.fromkeys(["get", "wait", "name"], "Succeeded"))
    assert engine.daemon.inspect(target) is not None
    second = child_of(objects, "release", "get")
    assert second != first
    objects.wait(SESSION, "release", lambda _: len(children(objects, "release")) == 3)
    assert [run["run"] for run in body["status"]["runs"]] == [1]


@pytest.mark.feature("session.lost-image")
def test_an_image_that_no_step_makes_ends_the_session(objects: Objects, containerd: EngineUnderTest) -> None:
    """There is nothing to run again, so the step that lacks it is tried once and the other one stays as it is."""
    made = containerd.daemon.make(f"local.example/{objects.namespace}:0", objects.namespace.encode())
    steps = [
        tag("first", made, f"local.example/{objects.namespace}:1"),
        tag("second", f"local.example/{objects.namespace}:absent", f"local.example/{objects.namespace}:2"),
    ]
    body = objects.run(SESSION, "release", {"steps": steps, "daemonName": containerd.name})
    assert reason(body) == "StepFailed"
    assert [row.get("reason") for row in body["status"]["steps"]] == ["Tagged", "ImageNotOnDaemon"]
    assert [row["attempts"] for row in body["status"]["steps"]] == [1, 1]
    assert len(children(objects, "release")) == 2


# --- cancel, deadline, suspend


@pytest.mark.feature("session.cancel")
@pytest.mark.parametrize(
    ("change", "fields", "expected"),
    [
        ({"cancel": True}, {}, ("Cancelled", "Cancelled")),
        ({}, {"activeDeadlineSeconds": 4}, ("Failed", "DeadlineExceeded")),
    ],
    ids=["cancel", "deadline"],
)
def test_a_stopped_session_stops_every_child(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    change: Body,
    fields: Body,
    expected: tuple[str, str],
) -> None:
    """All daemon calls end in the middle, and all steps are counted as cancelled, the waiting one too."""
    images = [make_image(layers=[BIG]) for _ in range(4)]
    gate = make_gate(images[0].registry, bytes_per_second=SLOW)
    steps = [pull(f"s{number}", through(gate, image)) for number, image in enumerate(images)]
    objects.create(SESSION, "release", {"steps": steps, "parallelism": 3, "daemonName": engine.name, **fields})
    objects.wait(SESSION, "release", running(3))
    if change:
        objects.patch(SESSION, "release", {"spec": change})
    body = objects.wait_finished(SESSION, "release")
    wait_quiet(gate)
    assert (body["status"]["phase"], reason(body)) == expected
    assert counts(body) == {"cancelled": 4}
    assert {child["status"]["phase"] for child in children(objects, "release").values()} == {"Cancelled"}
    assert open_blobs(gate) == []


@pytest.mark.feature("session.cancel", "suspend.resume")
def test_a_suspended_session_suspends_its_children_and_comes_back(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """No daemon call is left while it is suspended; clearing it ends all steps well."""
    image, other = make_image(layers=[2_000_000]), make_image()
    gate = make_gate(image.registry, bytes_per_second=SLOW)
    steps = [pull("slow", through(gate, image)), pull("next", other.reference)]
    objects.create(SESSION, "release", {"steps": steps, "daemonName": engine.name})
    objects.wait(SESSION, "release", running(1))
    objects.patch(SESSION, "release", {"spec": {"suspend": True}})
    suspended = objects.wait(SESSION, "release", lambda body: body["status"]["phase"] == "Suspended")
    assert reason(suspended) == "Suspended"
    kind, name = child_of(objects, "release", "slow")
    objects.wait(kind, name, lambda body: body["status"]["phase"] == "Suspended")
    seen = gate.wait(lambda requests: all(one.finished for one in requests))
    assert max(one.response_bytes for one in seen) < image.layer_bytes
    gate.bytes_per_second = None
    objects.patch(SESSION, "release", {"spec": {"suspend": None}})
    body = objects.wait_finished(SESSION, "release")
    assert (reason(body), counts(body)) == ("Completed", {"succeeded": 2})
    entries = objects.get(kind, name)["status"]["history"]
    assert [entry["outcome"] for entry in entries] == ["Suspended", "Succeeded"]


# --- failures


def failing_steps(objects: Objects, registry: str, image: PushedImage) -> list[Body]:
    """Return six steps, of which the even ones fail for good."""
    return [
        pull(f"s{number}", nowhere(objects, registry, str(number)) if number % 2 == 0 else image.reference)
        for number in range(6)
    ]


@pytest.mark.feature("session.failure-policy")
@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (0, {"failed": 1, "skipped": 5}),
        (1, {"failed": 2, "succeeded": 1, "skipped": 3}),
        (2, {"failed": 3, "succeeded": 2, "skipped": 1}),
        (3, {"failed": 3, "succeeded": 3}),
    ],
)
def test_the_first_failure_too_many_stops_the_rest(
    objects: Objects,
    make_image: MakeImage,
    allowed: int,
    expected: dict[str, int],
) -> None:
    """The remaining steps are Skipped, and any failed step ends the Session StepFailed."""
    image = make_image()
    spec = {"steps": failing_steps(objects, image.registry, image), "maxFailedSteps": allowed}
    body = objects.run(SESSION, "release", spec)
    assert (reason(body), counts(body)) == ("StepFailed", expected)
    succeeded = condition(body, "Succeeded")
    assert succeeded is not None
    assert "s0 (ImageNotFound)" in succeeded["message"]


@pytest.mark.feature("session.failure-policy")
def test_what_runs_when_a_step_fails_is_left_to_finish(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The running neighbour ends well; only what had not begun is Skipped."""
    image = make_image(layers=[2_000_000])
    gate = make_gate(image.registry, bytes_per_second=1_000_000)
    steps = [
        pull("good", through(gate, image)),
        pull("bad", nowhere(objects, image.registry, "bad")),
        pull("later", image.reference),
    ]
    body = objects.run(SESSION, "release", {"steps": steps, "parallelism": 2, "daemonName": engine.name})
    assert reason(body) == "StepFailed"
    assert phases(body) == {"good": "Succeeded", "bad": "Failed", "later": "Skipped"}
    assert {child["spec"]["image"] for child in children(objects, "release").values()} == {
        steps[0]["pull"]["image"],
        steps[1]["pull"]["image"],
    }


@pytest.mark.feature("session.retry-failed")
def test_retry_failed_runs_exactly_the_failed_and_skipped_steps(objects: Objects, make_image: MakeImage) -> None:
    """Once for each token, within the same run; what succeeded stays untouched."""
    good, missing = make_image(), make_image(repository=f"{objects.namespace}/late", tag="other")
    late = f"{missing.registry}/{missing.repository}:1"
    steps = [pull("good", good.reference), pull("late", late), pull("after", good.reference, runAfter=["late"])]
    body = objects.run(SESSION, "release", {"steps": steps})
    assert phases(body) == {"good": "Succeeded", "late": "Failed", "after": "Skipped"}
    untouched = objects.get(*child_of(objects, "release", "good"))
    failed = child_of(objects, "release", "late")

    retry_failed(objects, "release", "one")
    body = objects.wait(SESSION, "release", handled("one"))
    assert phases(body) == {"good": "Succeeded", "late": "Failed", "after": "Skipped"}
    assert child_of(objects, "release", "late") != failed

    make_image(repository=missing.repository)
    retry_failed(objects, "release", "two")
    body = objects.wait(SESSION, "release", handled("two"))
    assert (reason(body), body["status"]["run"]) == ("Completed", 1)
    assert phases(body) == dict.fromkeys(["good", "late", "after"], "Succeeded")
    assert objects.get(*child_of(objects, "release", "good")) == untouched
    assert [(run["run"], run["reason"]) for run in body["status"]["runs"]] == [(1, "Completed")]
    objects.wait(SESSION, "release", lambda _: len(children(objects, "release")) == 3)

    retry_failed(objects, "release", "three")
    again = objects.wait(SESSION, "release", handled("three"))
    assert again["status"]["completionTime"] == body["status"]["completionTime"]


def handled(token: str) -> Any:
    """Return a test whether a token of retryFailedAt was obeyed to its end."""
    return lambda body: body["status"].get("lastHandledRetryFailedAt") == token and finished(body)


# --- a run of its own


@pytest.mark.feature("session.retry-failed", "gitops.token")
def test_a_token_runs_all_steps_again(objects: Objects, make_image: MakeImage) -> None:
    """Other than retryFailedAt, it is a new run with new children."""
    image = make_image()
    objects.run(SESSION, "release", {"steps": [pull("app", image.reference)]})
    before = children(objects, "release")
    objects.ask_again(SESSION, "release", "again")
    body = objects.wait(SESSION, "release", run_ended(2))
    assert (body["status"]["run"], reason(body)) == (2, "Completed")
    objects.wait(SESSION, "release", lambda _: not set(children(objects, "release")) & set(before))


@pytest.mark.feature("session.failure-policy")
def test_a_promotion_that_fails_in_its_push_fails_its_step(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Any,
) -> None:
    """The reason of the push is the step's; a retry makes all three operations again and ends well."""
    image, other = make_image(), make_image()
    target = f"{cluster.registry_target}/{objects.namespace}/app:1"
    first = objects.run(SESSION, "other", {"steps": [promote("ship", other.reference, target)]})
    assert reason(first) == "Completed"
    steps = [promote("ship", image.reference, target)]
    body = objects.run(SESSION, "release", {"steps": steps, "daemonName": containerd.name})
    assert (reason(body), body["status"]["steps"][0]["reason"]) == ("StepFailed", "TagConflict")
    before = children(objects, "release")
    assert sorted(kind for kind, _ in before) == ["ImagePull", "ImagePush", "ImageTag"]
    steps[0]["promote"]["ifExists"] = "Replace"
    objects.patch(SESSION, "release", {"spec": {"steps": steps}})
    body = objects.wait_finished(SESSION, "release")
    assert (reason(body), body["status"]["steps"][0]["reason"]) == ("Completed", "Promoted")
    assert body["status"]["evidence"][0]["digestPreserved"] is True
    assert objects.get(IMAGE_PULL, child_named(objects, "ImagePull"))["spec"]["image"] == image.reference


def child_named(objects: Objects, kind: str) -> str:
    """Return the name of the one child of a kind."""
    (name,) = (name for of_kind, name in children(objects, "release") if of_kind == kind)
    return name
