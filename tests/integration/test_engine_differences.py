"""What users notice of the image store that an Engine has, where docs/engines.md tells of it and no other test does."""

from __future__ import annotations

import pytest

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.objects import Objects, reason
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

LAYER = 3_000_000


def served_bytes(gate: RegistryGate) -> int:
    """Return how many bytes of layers and configurations went through a gate to the Engine."""
    return sum(one.response_bytes for one in gate.requests if "/blobs/" in one.path)


@pytest.mark.feature("cancel.running")
def test_a_pull_that_was_stopped_goes_on_only_in_the_containerd_store(
    objects: Objects, engine: EngineUnderTest, make_image: MakeImage, make_gate: MakeGate, cluster: Environment
) -> None:
    """The containerd store asks for the rest of a layer, a graph driver for all of it again."""
    image = make_image(layers=[LAYER])
    gate = make_gate(cluster.registry, bytes_per_second=1_000_000)
    spec = {"image": through(gate, image), "daemonName": engine.name}
    objects.create(IMAGE_PULL, "stopped", spec)
    gate.wait(lambda _: served_bytes(gate) > LAYER * 2 // 3)
    objects.patch(IMAGE_PULL, "stopped", {"spec": {"cancel": True}})
    assert reason(objects.wait_finished(IMAGE_PULL, "stopped")) == "Cancelled"
    before, gate.bytes_per_second = served_bytes(gate), None
    assert reason(objects.run(IMAGE_PULL, "again", spec)) == "Pulled"
    assert (served_bytes(gate) - before < LAYER) is engine.keeps_digests


@pytest.mark.feature("retry.only-retryable")
def test_an_upload_that_was_cut_costs_an_attempt_only_with_the_containerd_store(
    objects: Objects, engine: EngineUnderTest, make_image: MakeImage, make_gate: MakeGate, cluster: Environment
) -> None:
    """A graph driver's Engine sends the layer again by itself; the other one's push fails, and is tried again here."""
    image = make_image(layers=[LAYER])
    gate = make_gate(cluster.registry_target)
    for method in ("PATCH", "PUT"):
        gate.cut(method=method, path=r".*/blobs/uploads/.*", after_bytes=500_000, times=1)
    target = f"{gate.address}/{image.repository}:1"
    engine.daemon.pull(image.reference)
    engine.daemon.tag(image.reference, target)
    body = objects.run(IMAGE_PUSH, "app", {"image": target, "daemonName": engine.name})
    assert reason(body) == "Pushed"
    failed = ["RegistryUnavailable"] if engine.keeps_digests else []
    assert [attempt["reason"] for attempt in body["status"]["history"]] == [*failed, "Pushed"]
