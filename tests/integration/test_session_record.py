"""The record that a Session keeps: errors, history, statistics, evidence, and dry runs."""

from __future__ import annotations

import math
import secrets
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devcluster.env import Environment
from devcluster.images import manifest_digest
from imageops.api.kinds import IMAGE_PULL, IMAGE_TAG, SESSION
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.objects import Body, Objects, reason, run_ended
from tests.support.operator_process import OperatorProcess
from tests.support.sessions import child_of, children, counts, promote, pull, push, tag
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

BOTH = ["linux/amd64", "linux/arm64"]
MEMBER = {"sessionRef": {"name": "group"}}


def recount(bodies: list[Body]) -> Body:
    """Work the statistics out from the operations themselves."""
    ended = [body["status"] for body in bodies if "completionTime" in body["status"]]
    runs = [[entry for entry in status["history"] if entry["run"] == status["run"]] for status in ended]
    durations = sorted(sum(entry["durationMilliseconds"] for entry in entries) for entries in runs)
    reasons = Counter(status["conditions"][0]["reason"] for status in ended)
    good = sum(status["phase"] == "Succeeded" for status in ended)
    return {
        "successPercent": round(100 * good / len(ended)),
        "averageMilliseconds": round(sum(durations) / len(durations)),
        "p95Milliseconds": durations[math.ceil(0.95 * len(durations)) - 1],
        "bytesTransferred": sum(entry.get("bytesTransferred", 0) for entries in runs for entry in entries),
        "reasons": [{"reason": name, "count": count} for name, count in sorted(reasons.items())],
    }


def moment(text: str) -> datetime:
    """Read a time of a status."""
    return datetime.fromisoformat(text)


# --- statistics and history


@pytest.mark.feature("session.statistics", "session.history", "session.errors")
def test_the_record_equals_a_recount_also_after_a_restart(
    objects: Objects,
    operator: OperatorProcess,
    cluster: Environment,
    containerd: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """Of twelve steps of all actions; a new process comes to the same numbers from the objects alone."""
    good = [make_image(layers=[200_000]) for _ in range(6)]
    nowhere = f"{cluster.registry}/{objects.namespace}/nowhere"
    steps = [pull(f"p{number}", image.reference) for number, image in enumerate(good)]
    steps += [pull(f"n{number}", f"{nowhere}:{number}") for number in range(3)]
    steps += [promote("ship", good[0].reference, f"{cluster.registry_target}/{objects.namespace}/app:1")]
    steps += [tag("tag", good[1].reference, f"local.example/{objects.namespace}:1")]
    spec = {"steps": steps, "maxFailedSteps": 10, "parallelism": 4, "daemonName": containerd.name, "historyLimit": 50}
    status = objects.run(SESSION, "release", spec)["status"]
    bodies = list(children(objects, "release").values())
    assert len(bodies) == 13
    assert status["statistics"] == recount(bodies)
    assert status["statistics"]["successPercent"] == 77
    executions = Counter((entry["tool"], entry["outcome"]) for entry in status["history"])
    expected = {("pull", "Succeeded"): 7, ("pull", "Failed"): 3, ("tag", "Succeeded"): 2, ("push", "Succeeded"): 1}
    assert executions == expected
    assert sorted(error["reason"] for error in status["errors"]) == ["ImageNotFound"] * 3
    operator.stop()
    operator.start()
    assert objects.get(SESSION, "release")["status"] == status
    # Something to decide about makes the new process sum up again.
    objects.ask_again(IMAGE_PULL, child_of(objects, "release", "p5")[1], "again")
    objects.wait(IMAGE_PULL, child_of(objects, "release", "p5")[1], run_ended(2))
    assert objects.get(SESSION, "release")["status"] == status


@pytest.mark.feature("session.statistics", "session.history")
def test_an_open_session_sums_up_again_after_a_restart(
    objects: Objects,
    operator: OperatorProcess,
    make_image: MakeImage,
) -> None:
    """What a new process makes of the joined operations is what the old one had, and grows with the next."""
    images = [make_image() for _ in range(4)]
    objects.create(SESSION, "group", {})
    for number, image in enumerate(images[:3]):
        objects.run(IMAGE_PULL, f"p{number}", {"image": image.reference, **MEMBER})
    objects.run(IMAGE_PULL, "bad", {"image": f"{images[0].registry}/{objects.namespace}/nowhere:1", **MEMBER})
    before = objects.wait(SESSION, "group", lambda body: counts(body) == {"succeeded": 3, "failed": 1})["status"]
    assert before["statistics"] == recount(objects.all(IMAGE_PULL))
    operator.kill()
    operator.start()
    after = objects.get(SESSION, "group")["status"]
    assert after == before
    objects.run(IMAGE_PULL, "p3", {"image": images[3].reference, **MEMBER})
    grown = objects.wait(SESSION, "group", lambda body: counts(body) == {"succeeded": 4, "failed": 1})["status"]
    assert grown["statistics"] == recount(objects.all(IMAGE_PULL))
    assert grown["history"][:4] == before["history"]


@pytest.mark.feature("session.history")
def test_each_execution_leaves_its_arguments_and_no_credential(
    objects: Objects,
    cluster: Environment,
    containerd: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """Tool, operation, arguments, run, attempt, duration and outcome, in the order in which they happened."""
    credentials = (cluster.registry_auth_user, cluster.registry_auth_password)
    image = make_image(registry=cluster.registry_auth, credentials=credentials)
    objects.create_secret(
        "login",
        "kubernetes.io/basic-auth",
        {"username": credentials[0], "password": credentials[1]},
        annotations={"imageops.dev/registry": cluster.registry_auth},
    )
    target = f"{cluster.registry_auth}/{objects.namespace}/app:1"
    steps = [promote("ship", image.reference, target)]
    body = objects.run(
        SESSION,
        "release",
        {"steps": steps, "secretRef": {"name": "login"}, "daemonName": containerd.name},
    )
    assert reason(body) == "Completed"
    history = body["status"]["history"]
    assert [entry["tool"] for entry in history] == ["pull", "tag", "push"]
    assert history[0]["arguments"] == {"image": image.reference, "imagePullPolicy": "Always", "platform": "All"}
    assert history[2]["arguments"] == {"image": target, "ifExists": "Fail", "platform": "All"}
    for entry in history:
        assert (entry["run"], entry["attempt"], entry["outcome"]) == (1, 1, "Succeeded")
        assert entry["durationMilliseconds"] >= 0
        kind, name = entry["operationRef"]["kind"], entry["operationRef"]["name"]
        assert (kind, name) in children(objects, "release")
    assert credentials[1] not in str(body)
    assert credentials[0] not in str(body["status"])


@pytest.mark.feature("session.history")
def test_history_and_runs_keep_the_newest(objects: Objects, make_image: MakeImage) -> None:
    """At most historyLimit executions and five finished runs, the newest of them."""
    image = make_image()
    steps = [pull("app", image.reference, imagePullPolicy="Always")]
    objects.run(SESSION, "release", {"steps": steps, "historyLimit": 3})
    for number in range(2, 8):
        objects.ask_again(SESSION, "release", f"token-{number}")
        body = objects.wait(SESSION, "release", run_ended(number))
    status = body["status"]
    assert [run["run"] for run in status["runs"]] == [3, 4, 5, 6, 7]
    assert len(status["history"]) == 3
    assert status["history"][-1]["operationRef"] == status["steps"][0]["operationRef"]
    assert len({entry["operationRef"]["name"] for entry in status["history"]}) == 3


# --- errors


@pytest.mark.feature("session.errors")
def test_errors_count_repetitions_and_keep_the_newest_ten(
    objects: Objects,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The same reason of the same operation raises its count; of more than ten the oldest goes."""
    image = make_image()
    gate = make_gate(image.registry)
    gate.script(path=r"/v2/.*/manifests/.*", status=503, body=b"{}")
    objects.create(SESSION, "group", {})
    twice = {"image": through(gate, image), "backoffLimit": 1, **MEMBER}
    objects.run(IMAGE_PULL, "twice", twice)
    body = objects.wait(SESSION, "group", lambda body: counts(body) == {"failed": 1})
    (error,) = body["status"]["errors"]
    assert (error["operationRef"]["name"], error["reason"], error["class"], error["count"]) == (
        "twice",
        "RegistryUnavailable",
        "Retryable",
        2,
    )
    assert moment(error["lastTime"]) > moment(error["firstTime"])
    second_later = moment(error["lastTime"]) + timedelta(seconds=1)  # times of a status are whole seconds
    objects.wait(SESSION, "group", lambda _: datetime.now(UTC) > second_later)
    for number in range(11):
        image_name = f"local.example/{objects.namespace}:none-{number}"
        spec = {"source": image_name, "target": f"{image_name}-target", **MEMBER}
        objects.create(IMAGE_TAG, f"bad{number:02}", spec)
    body = objects.wait(SESSION, "group", lambda body: counts(body) == {"failed": 12})
    errors = body["status"]["errors"]
    assert len(errors) == 10
    assert {one["reason"] for one in errors} == {"ImageNotOnDaemon"}
    assert [one["lastTime"] for one in errors] == sorted(one["lastTime"] for one in errors)


# --- evidence


@pytest.mark.feature("session.evidence.digest")
def test_evidence_says_that_the_digest_arrived(
    objects: Objects,
    cluster: Environment,
    engine: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """After pull, tag and push; the digest is preserved exactly where both registries serve the same."""
    image = make_image(layers=[30_000, 20_000])
    target = f"{cluster.registry_target}/{objects.namespace}/app:1"
    steps = [
        pull("get", image.reference),
        tag("name", image.reference, target, runAfter=["get"]),
        push("put", target, runAfter=["name"]),
    ]
    body = objects.run(SESSION, "release", {"steps": steps, "daemonName": engine.name})
    assert reason(body) == "Completed"
    (proof,) = body["status"]["evidence"]
    arrived = manifest_digest(cluster.registry_target, f"{objects.namespace}/app", "1")
    found = engine.daemon.inspect(target)
    assert found is not None
    assert (proof["source"], proof["target"], proof["imageID"]) == (image.reference, target, found["Id"])
    assert (proof["sourceDigest"], proof["targetDigest"]) == (image.digest, arrived)
    assert proof["digestPreserved"] is (image.digest == arrived) is engine.keeps_digests
    (run,) = body["status"]["runs"]
    assert (run["sourceDigest"], run["targetDigest"]) == (image.digest, arrived)


@pytest.mark.feature("session.evidence.digest")
def test_evidence_claims_nothing_of_an_image_that_was_not_pulled(
    objects: Objects,
    cluster: Environment,
    containerd: EngineUnderTest,
) -> None:
    """An image that the run did not pull has no source digest, so no digest is said to be preserved."""
    target = f"{cluster.registry_target}/{objects.namespace}/made:1"
    containerd.daemon.make(target, secrets.token_bytes(2000))
    body = objects.run(SESSION, "release", {"steps": [push("put", target)], "daemonName": containerd.name})
    (proof,) = body["status"]["evidence"]
    assert "sourceDigest" not in proof
    assert proof["digestPreserved"] is False
    assert proof["targetDigest"] == manifest_digest(cluster.registry_target, f"{objects.namespace}/made", "1")


@pytest.mark.feature("session.evidence.digest")
def test_evidence_of_a_promoted_and_then_renamed_image_keeps_both_sources(
    objects: Objects,
    cluster: Environment,
    containerd: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """Both promotions are of the same content; each is compared with what it pulled itself."""
    image = make_image(platforms=BOTH)
    release, stable = (f"{cluster.registry_target}/{objects.namespace}/app:{tag}" for tag in ("1", "stable"))
    steps = [promote("ship", image.reference, release), promote("stable", release, stable, runAfter=["ship"])]
    body = objects.run(SESSION, "release", {"steps": steps, "daemonName": containerd.name})
    proof = {one["target"]: one["source"] for one in body["status"]["evidence"]}
    assert proof == {release: image.reference, stable: release}
    assert all(one["digestPreserved"] for one in body["status"]["evidence"])


# --- local images


@pytest.mark.feature("session.promote")
@pytest.mark.parametrize("kept", [False, True], ids=["delete", "held-by-another"])
def test_a_promotion_may_leave_nothing_on_the_daemon(
    objects: Objects,
    cluster: Environment,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    *,
    kept: bool,
) -> None:
    """LocalImages Delete removes both references after success, but not what another object asks for."""
    image = make_image(platforms=BOTH, attestations=True)
    target = f"{cluster.registry_target}/{objects.namespace}/app:1"
    if kept:
        objects.run(IMAGE_PULL, "other", {"image": image.reference, "daemonName": containerd.name})
    steps = [promote("ship", image.reference, target, localImages="Delete")]
    body = objects.run(SESSION, "release", {"steps": steps, "daemonName": containerd.name})
    assert (reason(body), body["status"]["evidence"][0]["digestPreserved"]) == ("Completed", True)
    objects.wait(SESSION, "release", lambda _: containerd.daemon.inspect(target) is None)
    if not kept:
        objects.wait(SESSION, "release", lambda _: containerd.daemon.inspect(image.reference) is None)
        pulled = next(child for (kind, _), child in children(objects, "release").items() if kind == "ImagePull")
        name = pulled["metadata"]["name"]
        gone = objects.wait(IMAGE_PULL, name, lambda body: not body["status"]["image"].get("present"))
        assert gone["status"]["phase"] == "Succeeded"
    assert (containerd.daemon.inspect(image.reference) is not None) is kept
    assert manifest_digest(cluster.registry_target, f"{objects.namespace}/app", "1") == image.digest
    assert objects.get(SESSION, "release")["status"] == body["status"]


# --- dry run


@pytest.mark.feature("dryrun.faithful")
def test_a_dry_run_of_a_session_changes_nothing(
    objects: Objects,
    cluster: Environment,
    containerd: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """Each step assumes what the earlier ones would have made; afterwards nothing is there, and a real run works."""
    image = make_image()
    target = f"{cluster.registry_target}/{objects.namespace}/app:1"
    steps: list[Any] = [
        promote("ship", image.reference, target),
        tag("name", target, f"local.example/{objects.namespace}:1", runAfter=["ship"]),
    ]
    body = objects.run(SESSION, "release", {"steps": steps, "daemonName": containerd.name, "dryRun": True})
    assert reason(body) == "DryRunPassed"
    assert [row["reason"] for row in body["status"]["steps"]] == ["DryRunPassed", "DryRunPassed"]
    messages = [child["status"]["conditions"][0]["message"] for child in children(objects, "release").values()]
    assert len(messages) == 4
    assert all("Not checked: " in message for message in messages)
    assert sum("an earlier step would have made" in message for message in messages) == 3
    assert "evidence" not in body["status"]
    assert manifest_digest(cluster.registry_target, f"{objects.namespace}/app", "1") is None
    assert all(containerd.daemon.inspect(name) is None for name in (image.reference, target))
    objects.patch(SESSION, "release", {"spec": {"dryRun": None}})
    body = objects.wait(SESSION, "release", run_ended(2))
    assert reason(body) == "Completed"


@pytest.mark.feature("dryrun.faithful")
def test_a_dry_run_of_a_session_finds_the_real_reason(
    objects: Objects,
    cluster: Environment,
    graphdriver: EngineUnderTest,
    containerd: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """A missing image, a target that is taken, and a store that cannot keep a digest are found without writing."""
    image, taken = make_image(), make_image()
    target = f"{cluster.registry_target}/{objects.namespace}/taken:1"
    objects.run(SESSION, "before", {"steps": [promote("ship", taken.reference, target)]})
    containerd.daemon.remove(target)
    cases = {
        "missing": ([pull("a", f"{cluster.registry}/{objects.namespace}/nowhere:1")], containerd, "ImageNotFound"),
        "store": ([promote("a", image.reference, target)], graphdriver, "EngineUnsupported"),
    }
    for name, (steps, engine, expected) in cases.items():
        body = objects.run(SESSION, name, {"steps": steps, "dryRun": True, "daemonName": engine.name})
        assert (reason(body), body["status"]["steps"][0]["reason"]) == ("StepFailed", expected)
    containerd.daemon.pull(image.reference)
    containerd.daemon.tag(image.reference, target)
    body = objects.run(SESSION, "conflict", {"steps": [push("a", target)], "dryRun": True})
    assert (reason(body), body["status"]["steps"][0]["reason"]) == ("StepFailed", "TagConflict")
    assert manifest_digest(cluster.registry_target, f"{objects.namespace}/taken", "1") == taken.digest
