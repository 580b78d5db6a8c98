"""How long a Session keeps itself, and what it waits for before it goes."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest

from devcluster.env import Environment
from devcluster.images import manifest_digest
from imageops.api.kinds import IMAGE_PULL, SESSION
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.objects import Objects, StillWaitingError, run_ended
from tests.support.operator_process import OperatorProcess
from tests.support.sessions import child_of, children, promote, pull
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration


def moment(text: str) -> datetime:
    """Read a time of a status."""
    return datetime.fromisoformat(text)


@pytest.mark.feature("session.expiry", "gitops.ttl")
def test_the_time_to_live_removes_session_and_children_together(objects: Objects, make_image: MakeImage) -> None:
    """ExpirationTime is set at the end; until then all is there, after that nothing."""
    image = make_image()
    spec = {"steps": [pull("a", image.reference), pull("b", image.reference)], "ttlSecondsAfterFinished": 3}
    body = objects.run(SESSION, "release", spec)
    status = body["status"]
    assert moment(status["expirationTime"]) == moment(status["completionTime"]) + timedelta(seconds=3)
    assert len(children(objects, "release")) == 2
    deadline = time.monotonic() + 3 + 60
    while objects.all(SESSION) or objects.all(IMAGE_PULL):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.feature("session.expiry")
def test_no_session_is_removed_while_a_child_runs(
    objects: Objects,
    operator: OperatorProcess,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """A child that was asked again holds its overdue Session until it has ended, across a crash too."""
    image = make_image()
    gate = make_gate(image.registry)
    steps = [pull("app", through(gate, image), imagePullPolicy="Always")]
    objects.run(SESSION, "release", {"steps": steps, "daemonName": engine.name})
    kind, name = child_of(objects, "release", "app")
    gate.stall(path=r"/v2/.*/manifests/.*")
    before = len(gate.requests)
    objects.ask_again(kind, name, "again")
    gate.wait(lambda requests: len(requests) > before)  # its status does not tell of the new run yet
    objects.patch(SESSION, "release", {"spec": {"ttlSecondsAfterFinished": 0}})
    with pytest.raises(StillWaitingError):
        objects.wait(kind, name, run_ended(2), seconds=3)
    assert [body["metadata"]["name"] for body in objects.all(SESSION)] == ["release"]
    operator.kill()
    operator.start()
    with pytest.raises(StillWaitingError):
        objects.wait(kind, name, run_ended(2), seconds=2)
    gate.release()
    for of_kind, of_name in ((SESSION, "release"), (kind, name)):
        objects.wait_gone(of_kind, of_name)


@pytest.mark.feature("session.promote", "session.expiry")
def test_a_promotion_that_leaves_nothing_is_not_removed_before_its_images(
    objects: Objects,
    cluster: Environment,
    containerd: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """With a time to live of 0 the Session still waits for its operations to remove what they brought."""
    image = make_image()
    target = f"{cluster.registry_target}/{objects.namespace}/app:1"
    steps = [promote("ship", image.reference, target, localImages="Delete")]
    objects.create(SESSION, "release", {"steps": steps, "daemonName": containerd.name, "ttlSecondsAfterFinished": 0})
    objects.wait_gone(SESSION, "release")
    assert containerd.daemon.inspect(image.reference) is None
    assert containerd.daemon.inspect(target) is None
    assert manifest_digest(cluster.registry_target, f"{objects.namespace}/app", "1") == image.digest
