"""Mode hostPath on a real node: an Engine of the node, whose socket is mounted into the operator's pod."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from devcluster.images import manifest_digest
from e2e.environment import Environment
from imageops.api.kinds import IMAGE_PULL, SESSION
from tests.e2e.conftest import SECONDS, MakeGate, MakeImage, has_moved_bytes, installed, through
from tests.support.admission import ApiServer
from tests.support.clients import Client
from tests.support.engines import PrivateEngine, private_engine
from tests.support.installation import Installation, make_namespace, merged_values, process_status, smoke_values
from tests.support.objects import Body, Objects, reason
from tests.support.sessions import promote

NAMESPACE = "imageops-hostpath"
GROUP = 2375
"""Of the socket; the number means nothing."""


@pytest.fixture(scope="module")
def engine(node: Environment) -> Iterator[PrivateEngine]:
    """Run an Engine on the node, with a socket that a group may use."""
    options = (f"--group={GROUP}", f"--insecure-registry={node.pods}")
    with private_engine("default", options=options) as engine:
        yield engine


@pytest.fixture(scope="module")
def installation(
    node: Environment,
    api: ApiServer,
    engine: PrivateEngine,
    make_helm: Callable[[str], Client],
    make_image: MakeImage,
    team: Objects,
) -> Iterator[Installation]:
    """Install the chart in a namespace that allows the mode."""
    make_namespace(api, NAMESPACE, enforce="privileged")
    socket = engine.address.removeprefix("unix://")
    mode = {"daemon": {"mode": "hostPath", "hostPath": {"socket": socket, "gid": GROUP}}}
    values = merged_values(node, mode, smoke_values(node, make_image()))
    with installed(Installation(node, api, make_helm(NAMESPACE), NAMESPACE, values), team) as installation:
        yield installation


@pytest.mark.feature("chart.modes")
def test_a_team_promotes_an_image_by_the_nodes_engine(
    installation: Installation, team: Objects, make_image: MakeImage, node: Environment
) -> None:
    """The digest is kept, and helm test passes."""
    image = make_image(platforms=["linux/amd64", "linux/arm64"])
    steps = [promote("ship", image.reference, f"{node.registry_target}/{image.repository}:1")]
    body = team.run(SESSION, "by-the-node", {"steps": steps}, seconds=SECONDS)
    assert reason(body) == "Completed", body["status"]
    assert manifest_digest(node.registry_target, image.repository, "1") == image.digest
    installation.test()


@pytest.mark.feature("image.hardened", "chart.modes")
def test_the_sockets_group_is_all_that_the_process_has_more(installation: Installation) -> None:
    """No root and no capability, although the socket makes it as mighty as root."""
    installation.wait_ready()
    status = process_status()
    assert set(status["Uid"].split()) == {"65532"}
    assert str(GROUP) in status["Groups"].split()
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0


@pytest.mark.feature("chart.modes")
def test_a_pull_goes_on_when_the_process_was_killed_in_the_middle(
    installation: Installation, team: Objects, make_image: MakeImage, make_gate: MakeGate, node: Environment
) -> None:
    """Without a word, as a lack of memory would: the container is started again, and the pull ends in its only run."""
    [pod] = installation.pods()
    image = make_image(layers=[8_000_000])
    gate = make_gate(node.registry)
    gate.stall(path=".*/blobs/.*", after_bytes=4_000_000)
    team.create(IMAGE_PULL, "killed", {"image": through(gate, image)})
    team.wait(IMAGE_PULL, "killed", has_moved_bytes, seconds=SECONDS)
    killed = process_status()["Pid"]
    os.kill(int(killed), signal.SIGKILL)
    installation.wait_pods(lambda pods: [restarts(one) for one in pods] == [restarts(pod) + 1])
    gate.release()
    body = team.wait_finished(IMAGE_PULL, "killed", seconds=SECONDS)
    assert reason(body) == "Pulled", body["status"]
    assert body["status"]["run"] == 1
    assert [attempt["outcome"] for attempt in body["status"]["history"]] == ["Interrupted", "Succeeded"]
    assert [one["metadata"]["uid"] for one in installation.pods()] == [pod["metadata"]["uid"]]


def restarts(pod: Body) -> int:
    """Return how often the operator's container was started again."""
    [status] = pod["status"]["containerStatuses"]
    return int(status["restartCount"])
