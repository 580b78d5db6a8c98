"""The operator killed, ended and started at bad moments."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest
import requests

from devcluster.env import Environment
from devcluster.images import manifest_digest
from devcluster.install import install
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, OPERATION_KINDS, SESSION
from tests.integration.conftest import MakeGate, MakeImage, Measured, through
from tests.support.admission import ApiServer
from tests.support.control_plane import private_control_plane
from tests.support.objects import Body, Objects, reason
from tests.support.operator_process import OperatorProcess
from tests.support.watched_engine import EngineUnderTest, WatchedEngine

pytestmark = pytest.mark.integration

RATE = 1_000_000
START_SECONDS = 60.0


def _has_moved(body: Body) -> bool:
    return bool((body["status"].get("progress") or {}).get("bytesDone"))


def assert_taken_up_again(body: Body, success: str) -> None:
    """Check that the interrupted attempt is in history, was not counted, and was followed by a good one."""
    status = body["status"]
    assert reason(body) == success
    assert [(entry["outcome"], entry["reason"]) for entry in status["history"]] == [
        ("Interrupted", "Interrupted"),
        ("Succeeded", success),
    ]
    assert status.get("failedAttempts", 0) == 0
    assert (status["attempts"], status["run"]) == (2, 1)


@pytest.mark.feature("resume.interrupted")
def test_a_pull_survives_a_killed_operator(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    operator: OperatorProcess,
) -> None:
    """After kill -9 in mid-pull the attempt is closed as Interrupted, and the object ends Succeeded."""
    image = make_image(layers=[6_000_000])
    gate = make_gate(image.registry, bytes_per_second=RATE)
    objects.create(IMAGE_PULL, "app", {"image": through(gate, image), "daemonName": engine.name})
    objects.wait(IMAGE_PULL, "app", _has_moved)
    operator.kill()
    try:
        left = objects.get(IMAGE_PULL, "app")["status"]
        assert (left["phase"], "completionTime" in left["history"][0]) == ("Running", False)
        gate.bytes_per_second = None
    finally:
        operator.start()
    body = objects.wait_finished(IMAGE_PULL, "app")
    assert_taken_up_again(body, "Pulled")
    assert engine.daemon.inspect(through(gate, image)) is not None


@pytest.mark.feature("resume.interrupted")
def test_a_push_survives_a_killed_operator(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    cluster: Environment,
    operator: OperatorProcess,
) -> None:
    """After kill -9 in mid-push the same holds, and the registry serves what the status says."""
    image = make_image(layers=[16_000_000])
    gate = make_gate(cluster.registry_target, bytes_per_second=2 * RATE)
    target = f"{gate.address}/{image.repository}:1"
    engine.daemon.pull(image.reference)
    engine.daemon.tag(image.reference, target)
    objects.create(IMAGE_PUSH, "app", {"image": target, "daemonName": engine.name})
    objects.wait(IMAGE_PUSH, "app", _has_moved)
    operator.kill()
    try:
        assert manifest_digest(cluster.registry_target, image.repository, "1") is None
        gate.bytes_per_second = None
    finally:
        operator.start()
    body = objects.wait_finished(IMAGE_PUSH, "app")
    assert_taken_up_again(body, "Pushed")
    served = manifest_digest(cluster.registry_target, image.repository, "1")
    assert body["status"]["image"]["digest"] == served is not None


@pytest.mark.feature("resume.interrupted")
def test_a_session_survives_a_killed_operator(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    cluster: Environment,
    operator: OperatorProcess,
) -> None:
    """A promotion goes on after the restart with the children it had, and no second one is made."""
    image = make_image(layers=[4_000_000], platforms=["linux/amd64", "linux/arm64"])
    gate = make_gate(image.registry, bytes_per_second=RATE)
    target = f"{cluster.registry_target}/{image.repository}:1"
    steps = [{"name": "ship", "promote": {"source": through(gate, image), "target": target}}]
    objects.create(SESSION, "release", {"daemonName": containerd.name, "steps": steps})

    def pulling(_: Body) -> bool:
        return any(_has_moved(child) for child in objects.all(IMAGE_PULL))

    objects.wait(SESSION, "release", pulling)
    operator.kill()
    gate.bytes_per_second = None
    operator.start()
    body = objects.wait_finished(SESSION, "release")
    assert reason(body) == "Completed"
    assert body["status"]["evidence"][0]["digestPreserved"] is True
    assert [len(objects.all(kind)) for kind in OPERATION_KINDS] == [1, 1, 1]
    assert_taken_up_again(objects.all(IMAGE_PULL)[0], "Pulled")


@pytest.mark.feature("resume.drain")
def test_an_ending_operator_writes_what_it_leaves(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    operator: OperatorProcess,
    measured: Measured,
) -> None:
    """On SIGTERM the process exits with status 0 by itself, its attempts written as Interrupted."""
    images = [make_image(layers=[20_000_000]) for _ in range(8)]
    gate = make_gate(images[0].registry, bytes_per_second=RATE)
    names = [f"app-{number}" for number in range(len(images))]
    for name, image in zip(names, images, strict=True):
        objects.create(IMAGE_PULL, name, {"image": through(gate, image), "daemonName": containerd.name})
    for name in names:
        objects.wait(IMAGE_PULL, name, lambda body: body["status"].get("observedGeneration") == 1)
    began = time.monotonic()
    status = operator.stop()
    seconds = time.monotonic() - began
    try:
        assert status == 0
        left = [objects.get(IMAGE_PULL, name)["status"] for name in names]
        begun = [one for one in left if one.get("attempts")]
        assert begun != []
        assert {one["phase"] for one in left} == {"Pending"}
        assert {one["history"][0]["outcome"] for one in begun} == {"Interrupted"}
        gate.wait(lambda seen: all(one.finished for one in seen))
        assert max(one.response_bytes for one in gate.requests) < 20_000_000
        gate.bytes_per_second = None
    finally:
        operator.start()
    for name in names:
        assert reason(objects.wait_finished(IMAGE_PULL, name)) == "Pulled"
    measured(f"SIGTERM with {len(begun)} running and {len(left) - len(begun)} waiting pulls: ended in {seconds:.1f} s")


@pytest.mark.feature("run.upgrade")
def test_a_restart_leaves_finished_objects_alone(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    operator: OperatorProcess,
) -> None:
    """A new process makes no call and no write for what has ended."""
    image = make_image()
    objects.run(IMAGE_PULL, "app", {"image": image.reference, "daemonName": watched.name})
    failed = {"image": f"{image.registry}/{image.repository}:absent", "daemonName": watched.name}
    objects.run(IMAGE_PULL, "failed", failed)
    before = {name: objects.get(IMAGE_PULL, name)["metadata"]["resourceVersion"] for name in ("app", "failed")}
    operator.kill()
    asked = len(watched.calls(image.repository))
    operator.start()
    # A later object that ends tells that the operator has been through the earlier ones.
    objects.run(IMAGE_PULL, "later", {"image": image.reference, "daemonName": watched.name})
    after = {name: objects.get(IMAGE_PULL, name)["metadata"]["resourceVersion"] for name in before}
    assert after == before
    new = watched.calls(image.repository)[asked:]
    assert [call for call in new if "absent" in call or "/images/create" in call] == []


@pytest.mark.feature("health.start")
def test_an_operator_started_before_its_kinds_waits_and_then_works(
    cluster: Environment, make_image: MakeImage, tmp_path: Path
) -> None:
    """Alive but not ready until the kinds are served; then it works without a restart."""
    with private_control_plane() as plane:
        operator = OperatorProcess(plane.kubeconfig_operator, cluster.imageops_daemons, tmp_path / "operator.log")
        operator.start(wait=False)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(operator):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            ready = requests.get(f"http://127.0.0.1:{operator.port}/readyz", timeout=5)
            assert ready.status_code == 503
            assert "kinds" in ready.text
            process = operator.pid
            install(Path(plane.kubeconfig))
            operator.wait_ready()
            assert operator.pid == process
            with closing(ApiServer(plane.kubeconfig)) as api:
                body = Objects(api, "default").run(IMAGE_PULL, "first", {"image": make_image().reference})
            assert reason(body) == "Pulled"
        finally:
            operator.stop()


def _answers(operator: OperatorProcess) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{operator.port}/healthz", timeout=2).ok
    except requests.RequestException:
        return False
