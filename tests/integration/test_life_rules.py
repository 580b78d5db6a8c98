"""The rules of life of one operation: drift, deletion, dry runs, suspend, cancel, limits of time, and the drain."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage, manifest_digest
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, Kind
from tests.integration.conftest import MakeGate, MakeImage, Measured, through
from tests.support.objects import Body, Objects, StillWaitingError, condition, finished, reason, run_ended
from tests.support.operator_process import OperatorProcess
from tests.support.registry_tags import tagged
from tests.support.watched_engine import EngineUnderTest, WatchedEngine

pytestmark = pytest.mark.integration

SLOW = 200_000
BIG = 8_000_000
INTERVAL = 60
JITTER = 6
"""From a wish to stop until the registry hears nothing more."""
FINALIZER = "imageops.dev/image"


def moving(body: Body) -> bool:
    """Tell whether a pull has begun to move bytes."""
    return bool((body["status"].get("progress") or {}).get("bytesDone"))


def failed_once(body: Body) -> bool:
    """Tell whether an attempt has failed."""
    return bool(body["status"].get("failedAttempts"))


def wait_quiet(gate: RegistryGate) -> None:
    """Return when the registry sends nothing any more; no large blob got through, and none is asked for after that."""
    seen = gate.wait(lambda requests: all(one.finished for one in requests))
    assert max(one.response_bytes for one in seen) < BIG // 2
    with pytest.raises(TimeoutError):
        gate.wait(lambda requests: len(requests) > len(seen), seconds=1.0)


def wait_gone(objects: Objects, kind: Kind, name: str, *, seconds: float = 60.0) -> None:
    """Return when an object does not exist any more."""
    deadline = time.monotonic() + seconds
    while name in {body["metadata"]["name"] for body in objects.all(kind)}:
        assert time.monotonic() < deadline, f"{name} is still there"


# --- drift: begun before all other tests of this file, looked at near its end


@dataclass(frozen=True, slots=True)
class Drift:
    """Pulls with an interval, after what each is about has happened."""

    objects: Objects
    before: dict[str, Body]
    gate: RegistryGate
    """In front of the registry of the one that stays as it is."""
    broken: RegistryGate
    moved: PushedImage
    seen: int
    """Requests at the first gate when the first runs had ended."""


@pytest.fixture(scope="module")
def drift(
    shared_objects: Objects,
    cluster: Environment,
    make_image: MakeImage,
    addresses: dict[str, str],
) -> Iterator[Drift]:
    """Pull five images with an interval; remove one, move one tag, cut one off, and make one that was missing."""
    engine = EngineUnderTest("default", addresses["default"], keeps_digests=True)
    images = {name: make_image() for name in ("same", "gone", "moved", "broken")}
    with RegistryGate(cluster.registry) as gate, RegistryGate(cluster.registry) as broken:
        references = {name: image.reference for name, image in images.items()}
        references |= {"same": through(gate, images["same"]), "broken": through(broken, images["broken"])}
        late = f"late/{secrets.token_hex(4)}"
        references["late"] = f"{cluster.registry}/{late}:1"
        for name, reference in references.items():
            spec = {"image": reference, "intervalSeconds": INTERVAL, "daemonName": engine.name}
            shared_objects.create(IMAGE_PULL, name, spec)
        before = {name: shared_objects.wait_finished(IMAGE_PULL, name) for name in references}
        assert reason(before["late"]) == "ImageNotFound"
        engine.daemon.remove(references["gone"])
        moved = make_image(repository=images["moved"].repository)
        broken.script(path=r"/v2/.*/manifests/.*", status=500, body=b"{}")
        make_image(repository=late)
        yield Drift(shared_objects, before, gate, broken, moved, len(gate.requests))


@pytest.mark.feature("pull.interval")
def test_nothing_is_checked_before_its_time(drift: Drift) -> None:
    """The objects are Ready, or failed, and at rest."""
    for name, body in drift.before.items():
        assert drift.objects.get(IMAGE_PULL, name)["status"] == body["status"]


# --- dry run


READS = ("GET", "HEAD")
BOTH = ["linux/amd64", "linux/arm64"]


@pytest.mark.feature("dryrun.faithful")
@pytest.mark.parametrize("kind", [IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG], ids=lambda kind: kind.kind)
def test_a_dry_run_changes_nothing(
    objects: Objects,
    watched: WatchedEngine,
    cluster: Environment,
    make_image: MakeImage,
    make_gate: MakeGate,
    kind: Kind,
) -> None:
    """It ends DryRunPassed and lists what was not checked; daemon and registry are only read."""
    image = make_image()
    gate = make_gate(cluster.registry)
    local = f"{gate.address}/{objects.namespace}:1"
    if kind is not IMAGE_PULL:
        watched.daemon.pull(image.reference)
        watched.daemon.tag(image.reference, local)
    target = f"{gate.address}/{objects.namespace}:2"
    spec: Body = {
        IMAGE_PULL: {"image": through(gate, image)},
        IMAGE_PUSH: {"image": local},
        IMAGE_TAG: {"source": local, "target": target},
    }[kind]
    body = objects.run(kind, "app", {**spec, "daemonName": watched.name, "dryRun": True})
    succeeded = condition(body, "Succeeded")
    assert succeeded is not None
    assert (succeeded["status"], succeeded["reason"]) == ("True", "DryRunPassed")
    assert "Not checked: " in succeeded["message"]
    calls = watched.calls(image.repository) + watched.calls(objects.namespace)
    assert {call.partition(" ")[0] for call in calls} <= set(READS)
    assert {one.method for one in gate.requests} <= set(READS)
    assert not any("/blobs/" in one.path for one in gate.requests)
    assert watched.daemon.inspect(through(gate, image)) is None
    assert watched.daemon.inspect(target) is None
    objects.patch(kind, "app", {"spec": {"dryRun": None}})
    assert reason(objects.wait(kind, "app", run_ended(2))) in {"Pulled", "Pushed", "Tagged"}


@pytest.mark.feature("dryrun.faithful")
def test_a_dry_run_ends_with_the_real_reason(
    objects: Objects,
    watched: WatchedEngine,
    cluster: Environment,
    make_image: MakeImage,
) -> None:
    """All that can be known without writing gives the reason that the real run would give."""
    image, other = make_image(), make_image()
    taken = f"{cluster.registry_target}/{objects.namespace}/taken:1"
    for reference in (image.reference, other.reference):
        watched.daemon.pull(reference)
    watched.daemon.tag(other.reference, taken)
    watched.daemon.push(taken)
    watched.daemon.tag(image.reference, taken)
    digest = f"sha256:{'0' * 64}"
    nowhere = f"{cluster.registry}/{objects.namespace}/nowhere:1"
    replace = {"ifExists": "Replace"}
    cases: list[tuple[Kind, Body, str]] = [
        (IMAGE_PULL, {"image": nowhere}, "ImageNotFound"),
        (IMAGE_PULL, {"image": f"{cluster.registry_auth}/{objects.namespace}:1"}, "AuthFailed"),
        (IMAGE_PULL, {"image": make_image(platforms=BOTH).reference, "platforms": ["linux/s390x"]}, "PlatformNotFound"),
        (IMAGE_PULL, {"image": nowhere, "imagePullPolicy": "Never"}, "ImageNotOnDaemon"),
        (IMAGE_PUSH, {"image": nowhere}, "ImageNotOnDaemon"),
        (IMAGE_PUSH, {"image": taken}, "TagConflict"),
        (IMAGE_PUSH, {"image": taken, **replace, "preconditions": {"digest": digest}}, "PreconditionFailed"),
        (IMAGE_TAG, {"source": nowhere, "target": taken}, "ImageNotOnDaemon"),
        (IMAGE_TAG, {"source": other.reference, "target": taken}, "TagConflict"),
        (
            IMAGE_TAG,
            {"source": other.reference, "target": taken, **replace, "preconditions": {"imageID": digest}},
            "PreconditionFailed",
        ),
    ]
    single = {"image": make_image().reference, "platforms": ["linux/s390x"], "daemonName": watched.name, "dryRun": True}
    unknown = objects.run(IMAGE_PULL, "single", single)
    assert reason(unknown) == "DryRunPassed"
    assert "Not checked: the platform of a manifest" in unknown["status"]["conditions"][0]["message"]
    if not watched.keeps_digests:
        unsupported = {"image": make_image().reference, "platforms": ["All"]}
        cases.append((IMAGE_PULL, unsupported, "EngineUnsupported"))
    for number, (kind, spec, expected) in enumerate(cases):
        body = objects.run(kind, f"case-{number}", {**spec, "daemonName": watched.name, "dryRun": True})
        assert (reason(body), body["status"]["phase"]) == (expected, "Failed"), spec
    assert manifest_digest(cluster.registry_target, f"{objects.namespace}/taken", "1") == other_digest(watched, other)
    assert [call for call in watched.calls(objects.namespace) if not call.startswith(READS)] == []


def other_digest(engine: EngineUnderTest, image: PushedImage) -> str:
    """Return the digest under which an engine pushed an image to the repository of the target."""
    if engine.keeps_digests:
        return image.digest
    found = engine.daemon.inspect(image.reference)
    assert found is not None
    return next(str(one).partition("@")[2] for one in found["RepoDigests"] if "/taken@" in one)


# --- suspend


@pytest.mark.feature("suspend.resume")
def test_suspend_stops_a_running_pull_and_resume_starts_one_attempt(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """No daemon call is left, the attempts stay, and the second attempt ends the run."""
    image = make_image(layers=[BIG])
    gate = make_gate(image.registry, bytes_per_second=SLOW)
    objects.create(IMAGE_PULL, "app", {"image": through(gate, image), "daemonName": engine.name})
    objects.wait(IMAGE_PULL, "app", moving)
    objects.patch(IMAGE_PULL, "app", {"spec": {"suspend": True}})
    wait_quiet(gate)
    body = objects.wait(IMAGE_PULL, "app", lambda body: body["status"]["phase"] == "Suspended")
    assert (reason(body), body["status"]["attempts"]) == ("Suspended", 1)
    assert [entry["outcome"] for entry in body["status"]["history"]] == ["Suspended"]
    gate.bytes_per_second = None
    objects.patch(IMAGE_PULL, "app", {"spec": {"suspend": None}})
    body = objects.wait_finished(IMAGE_PULL, "app")
    assert (reason(body), body["status"]["run"], body["status"]["attempts"]) == ("Pulled", 1, 2)
    assert body["status"].get("failedAttempts", 0) == 0


@pytest.mark.feature("suspend.resume")
def test_a_suspended_operation_makes_no_call(objects: Objects, watched: WatchedEngine, make_image: MakeImage) -> None:
    """Created suspended, it waits for nothing but the word to go."""
    image = make_image()
    spec = {"image": image.reference, "daemonName": watched.name, "suspend": True, "activeDeadlineSeconds": 8}
    objects.create(IMAGE_PULL, "app", spec)
    body = objects.wait(IMAGE_PULL, "app", lambda body: body["status"]["phase"] == "Suspended")
    assert "attempts" not in body["status"] or body["status"]["attempts"] == 0
    # Past its deadline: a suspended run has none, and its time begins anew.
    with pytest.raises(StillWaitingError):
        objects.wait(IMAGE_PULL, "app", finished, seconds=9)
    assert watched.calls(image.repository) == []
    objects.patch(IMAGE_PULL, "app", {"spec": {"suspend": False}})
    assert reason(objects.wait_finished(IMAGE_PULL, "app")) == "Pulled"


# --- cancel


@pytest.mark.feature("cancel.running")
@pytest.mark.parametrize("deleted", [False, True], ids=["cancelled", "deleted"])
def test_a_stopped_pull_leaves_the_registry_in_peace(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    *,
    deleted: bool,
) -> None:
    """No blob gets through or is asked for any more; a cancelled pull ends Cancelled, a deleted one is gone."""
    image = make_image(layers=[BIG // 2, BIG // 2])
    gate = make_gate(image.registry, bytes_per_second=SLOW)
    objects.create(IMAGE_PULL, "app", {"image": through(gate, image), "daemonName": engine.name})
    objects.wait(IMAGE_PULL, "app", moving)
    if deleted:
        objects.delete(IMAGE_PULL, "app")
    else:
        objects.patch(IMAGE_PULL, "app", {"spec": {"cancel": True}})
    wait_quiet(gate)
    assert engine.daemon.inspect(through(gate, image)) is None
    if deleted:
        wait_gone(objects, IMAGE_PULL, "app")
    else:
        body = objects.wait_finished(IMAGE_PULL, "app")
        assert (reason(body), body["status"]["phase"]) == ("Cancelled", "Cancelled")
        assert body["status"]["history"][0]["outcome"] == "Cancelled"


@pytest.mark.feature("cancel.waiting")
def test_cancel_of_a_waiting_operation_makes_no_more_calls(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """Waiting for a Secret or for its next attempt, it ends Cancelled at once."""
    image = make_image()
    gate = make_gate(image.registry)
    gate.script(path=r"/v2/.*", status=503, body=b"{}")
    specs: dict[str, dict[str, Any]] = {
        "secret": {"image": image.reference, "secretRef": {"name": "none"}},
        "retry": {"image": through(gate, image)},
    }
    for name, spec in specs.items():
        objects.create(IMAGE_PULL, name, {**spec, "daemonName": watched.name})
        objects.wait(IMAGE_PULL, name, lambda body: bool(body["status"].get("nextRetryTime")))
    before = watched.calls(image.repository)
    for name in specs:
        objects.patch(IMAGE_PULL, name, {"spec": {"cancel": True}})
        body = objects.wait_finished(IMAGE_PULL, name)
        assert (reason(body), body["status"]["phase"]) == ("Cancelled", "Cancelled")
        assert "nextRetryTime" not in body["status"]
    assert watched.calls(image.repository) == before


@pytest.mark.feature("cancel.waiting")
def test_cancel_leaves_what_has_ended_and_answers_a_version_bump(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
) -> None:
    """The end stays; while cancel is true a new image is echoed and ends Cancelled without a call."""
    first, second = make_image(), make_image()
    body = objects.run(IMAGE_PULL, "app", {"image": first.reference, "daemonName": watched.name})
    objects.patch(IMAGE_PULL, "app", {"spec": {"cancel": True}})
    after = objects.wait(IMAGE_PULL, "app", lambda body: body["status"]["observedGeneration"] == 2)
    assert (reason(after), after["status"]["completionTime"]) == ("Pulled", body["status"]["completionTime"])
    objects.patch(IMAGE_PULL, "app", {"spec": {"image": second.reference}})
    after = objects.wait_finished(IMAGE_PULL, "app")
    assert (reason(after), after["status"]["run"], after["status"]["reference"]) == ("Cancelled", 2, second.reference)
    assert watched.calls(second.repository) == []


# --- limits of time and of attempts


@pytest.mark.feature("timeout.attempt")
def test_an_attempt_that_takes_too_long_is_stopped(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The daemon call is ended in the middle, not before timeoutSeconds, as TimedOut, which is tried again."""
    image = make_image(layers=[BIG])
    gate = make_gate(image.registry, bytes_per_second=SLOW)
    spec = {"image": through(gate, image), "daemonName": watched.name, "timeoutSeconds": 3, "backoffLimit": 1}
    objects.create(IMAGE_PULL, "app", spec)
    seen = watched.gate.wait(lambda requests: any(is_call(one, image) for one in requests))
    number = next(number for number, one in enumerate(seen) if is_call(one, image))
    watched.gate.wait(lambda requests: requests[number].finished)
    wait_quiet(gate)
    body = objects.wait(IMAGE_PULL, "app", failed_once)
    assert body["status"]["history"][0]["durationMilliseconds"] >= 3000
    assert (body["status"]["error"]["reason"], body["status"]["error"]["class"]) == ("TimedOut", "Retryable")
    assert body["status"]["phase"] == "Pending"
    gate.bytes_per_second = None
    body = objects.wait_finished(IMAGE_PULL, "app")
    assert (reason(body), body["status"]["attempts"]) == ("Pulled", 2)
    assert [entry.get("reason") for entry in body["status"]["history"]] == ["TimedOut", "Pulled"]


def is_call(request: object, image: PushedImage) -> bool:
    """Tell whether a call of the operator pulls an image."""
    path = str(getattr(request, "path", ""))
    return "/images/create" in path and image.repository.replace("/", "%2F") in path


@pytest.mark.feature("timeout.deadline")
@pytest.mark.parametrize("restarted", [False, True], ids=["in-one-go", "across-a-restart"])
def test_the_deadline_of_a_run_counts_across_attempts(
    objects: Objects,
    operator: OperatorProcess,
    make_image: MakeImage,
    make_gate: MakeGate,
    *,
    restarted: bool,
) -> None:
    """It counts from startTime, whatever the run is waiting for, and ends Stalled with DeadlineExceeded."""
    image = make_image()
    gate = make_gate(image.registry)
    gate.script(path=r"/v2/.*", status=503, body=b"{}")
    objects.create(IMAGE_PULL, "app", {"image": through(gate, image), "activeDeadlineSeconds": 8})
    objects.wait(IMAGE_PULL, "app", failed_once)
    if restarted:
        operator.kill()
        operator.start()
    status = objects.wait_finished(IMAGE_PULL, "app")["status"]
    took = datetime.fromisoformat(status["completionTime"]) - datetime.fromisoformat(status["startTime"])
    assert took >= timedelta(seconds=8 - 1), "times of a status are whole seconds"
    assert (status["phase"], status["error"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert {one["type"]: one["reason"] for one in status["conditions"]}["Stalled"] == "DeadlineExceeded"
    assert status["failedAttempts"] >= 1


# --- deletion


@pytest.mark.feature("pull.deletion-policy")
def test_retain_leaves_the_image_and_sets_no_finalizer(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """Which is the default."""
    image = make_image()
    body = objects.run(IMAGE_PULL, "app", {"image": image.reference, "daemonName": engine.name})
    assert "finalizers" not in body["metadata"]
    objects.delete(IMAGE_PULL, "app")
    wait_gone(objects, IMAGE_PULL, "app")
    assert engine.daemon.inspect(image.reference) is not None


@pytest.mark.feature("pull.deletion-policy")
def test_delete_removes_the_tag_with_the_last_object_that_holds_it(
    objects: Objects,
    other_objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """Another object, of another namespace, keeps it; another tag of the same image stays in any case."""
    image = make_image()
    spec = {"image": image.reference, "daemonName": engine.name, "deletionPolicy": "Delete"}
    body = objects.run(IMAGE_PULL, "app", spec)
    assert body["metadata"]["finalizers"] == [FINALIZER]
    other_objects.run(IMAGE_PULL, "other", spec)
    engine.daemon.tag(image.reference, f"local.example/{objects.namespace}:kept")
    objects.delete(IMAGE_PULL, "app")
    wait_gone(objects, IMAGE_PULL, "app")
    assert engine.daemon.inspect(image.reference) is not None
    other_objects.delete(IMAGE_PULL, "other")
    wait_gone(other_objects, IMAGE_PULL, "other")
    assert engine.daemon.inspect(image.reference) is None
    assert engine.daemon.inspect(f"local.example/{objects.namespace}:kept") is not None


@pytest.mark.feature("pull.deletion-policy")
def test_delete_leaves_a_tag_that_names_another_image_by_now(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """What somebody else put there is not the object's to remove."""
    image = make_image()
    spec = {"image": image.reference, "daemonName": engine.name, "deletionPolicy": "Delete"}
    objects.run(IMAGE_PULL, "app", spec)
    made = engine.daemon.make(image.reference, secrets.token_bytes(64))
    objects.delete(IMAGE_PULL, "app")
    wait_gone(objects, IMAGE_PULL, "app")
    found = engine.daemon.inspect(image.reference)
    assert found is not None
    assert found["Id"] == made


@pytest.mark.feature("pull.deletion-policy", "cancel.running")
def test_delete_of_a_running_pull_stops_it_and_goes(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The finalizer is set before the pull begins, and does not hold up an object whose image never came."""
    image = make_image(layers=[BIG])
    gate = make_gate(image.registry, bytes_per_second=SLOW)
    spec = {"image": through(gate, image), "daemonName": engine.name, "deletionPolicy": "Delete"}
    objects.create(IMAGE_PULL, "app", spec)
    body = objects.wait(IMAGE_PULL, "app", moving)
    assert body["metadata"]["finalizers"] == [FINALIZER]
    objects.delete(IMAGE_PULL, "app")
    wait_gone(objects, IMAGE_PULL, "app")
    wait_quiet(gate)
    assert engine.daemon.inspect(through(gate, image)) is None


@pytest.mark.feature("pull.deletion-policy", "run.what-and-how")
def test_a_changed_deletion_policy_runs_nothing(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """It only sets the finalizer, or takes it away."""
    image = make_image()
    body = objects.run(IMAGE_PULL, "app", {"image": image.reference, "daemonName": engine.name})
    for policy, expected in (("Delete", [FINALIZER]), ("Retain", None), ("Delete", [FINALIZER])):
        objects.patch(IMAGE_PULL, "app", {"spec": {"deletionPolicy": policy}})
        after = objects.wait(
            IMAGE_PULL,
            "app",
            lambda body, expected=expected: body["metadata"].get("finalizers") == expected,  # type: ignore[misc]
        )
        assert (after["status"]["run"], after["status"]["completionTime"]) == (1, body["status"]["completionTime"])
    objects.delete(IMAGE_PULL, "app")
    wait_gone(objects, IMAGE_PULL, "app")
    assert engine.daemon.inspect(image.reference) is None


# --- drift, a minute later


def next_minute(drift: Drift) -> float:
    """Return the seconds by which the first tick of all pulls must have come."""
    ends = [datetime.fromisoformat(body["status"]["completionTime"]) for body in drift.before.values()]
    due = max(ends) + timedelta(seconds=INTERVAL + JITTER)
    return max(0.0, (due - datetime.now(due.tzinfo)).total_seconds()) + 60


@pytest.mark.feature("pull.interval")
@pytest.mark.parametrize(("name", "event"), [("gone", "ImageMissing"), ("moved", "RemoteDigestChanged")])
def test_drift_is_a_new_run(drift: Drift, name: str, event: str) -> None:
    """A removed image and a moved tag are pulled again, with an Event, and what was there before is kept."""
    objects, before = drift.objects, drift.before[name]["status"]
    status = objects.wait(IMAGE_PULL, name, run_ended(2), seconds=next_minute(drift))["status"]
    assert (status["run"], status["phase"], status["history"][-1]["trigger"]) == (2, "Succeeded", "Interval")
    assert status["previous"] == {"id": before["image"]["id"], "digest": before["image"]["digest"]}
    if name == "moved":
        assert status["image"]["digest"] == drift.moved.digest != before["image"]["digest"]
    assert event in {one["reason"] for one in objects.events(name)}
    waited = datetime.fromisoformat(status["startTime"]) - datetime.fromisoformat(before["completionTime"])
    assert waited >= timedelta(seconds=INTERVAL - 1)


@pytest.mark.feature("pull.interval")
def test_a_final_failure_is_tried_again_at_the_next_tick(drift: Drift) -> None:
    """The image that was missing is there by now."""
    status = drift.objects.wait(IMAGE_PULL, "late", run_ended(2), seconds=next_minute(drift))["status"]
    assert (status["phase"], status["history"][-1]["trigger"]) == ("Succeeded", "Interval")


@pytest.mark.feature("pull.interval")
def test_an_unchanged_image_costs_one_look_and_no_write(drift: Drift) -> None:
    """The registry is asked for the digest, no layer moves, and the object is as it was to the byte."""
    drift.gate.wait(lambda requests: len(requests) > drift.seen, seconds=next_minute(drift))
    assert {one.method for one in drift.gate.requests[drift.seen :]} <= {"HEAD", "GET"}
    assert not any("/blobs/" in one.path for one in drift.gate.requests[drift.seen :])
    body = drift.objects.get(IMAGE_PULL, "same")
    assert body["metadata"]["resourceVersion"] == drift.before["same"]["metadata"]["resourceVersion"]


@pytest.mark.feature("pull.interval")
def test_a_failed_check_keeps_the_object_ready(drift: Drift) -> None:
    """A registry that answers 500 is no drift: one Event says so, the status stays as it was."""
    drift.objects.wait(
        IMAGE_PULL,
        "broken",
        lambda _: "CheckFailed" in {one["reason"] for one in drift.objects.events("broken")},
        seconds=next_minute(drift),
    )
    assert drift.objects.get(IMAGE_PULL, "broken")["status"] == drift.before["broken"]["status"]


# --- the drain


@pytest.mark.feature("resume.drain")
def test_fifty_running_pulls_are_written_as_interrupted(
    objects: Objects,
    operator: OperatorProcess,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    measured: Measured,
) -> None:
    """On SIGTERM the process exits by itself; the next one carries all of them to their end."""
    image = make_image(layers=[20_000])
    gate = make_gate(image.registry)
    gate.stall(path=r"/v2/.*/blobs/.*")
    wanted = [f"p{number:02}" for number in range(50)]
    before = operator.settings
    operator.stop()
    operator.settings = {**before, "IMAGEOPS_MAX_TRANSFERS": "50"}
    operator.start()
    try:
        for name, reference in zip(wanted, tagged(image, wanted), strict=True):
            by_gate = reference.replace(image.registry, gate.address)
            objects.create(IMAGE_PULL, name, {"image": by_gate, "daemonName": containerd.name})
        for name in wanted:
            objects.wait(IMAGE_PULL, name, lambda body: body["status"]["phase"] == "Running")
        began = time.monotonic()
        status = operator.stop()
        took = time.monotonic() - began
        measured(f"SIGTERM with {len(wanted)} running pulls: ended in {took:.2f} s")
        left = [objects.get(IMAGE_PULL, name)["status"] for name in wanted]
    finally:
        operator.stop()
        operator.settings = before
        operator.start()
        gate.release()
    assert status == 0
    for one in left:
        assert (one["phase"], one["conditions"][0]["reason"]) == ("Pending", "Interrupted")
        assert [entry["outcome"] for entry in one["history"]] == ["Interrupted"]
        assert one.get("failedAttempts", 0) == 0
    for name in wanted:
        body = objects.wait_finished(IMAGE_PULL, name)
        assert (body["status"]["phase"], body["status"]["attempts"]) == ("Succeeded", 2)
