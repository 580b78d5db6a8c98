"""Mode hostPath on a real node: an Engine of the node, whose socket is mounted into the operator's pod."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from devcluster.images import manifest_digest
from e2e.environment import Environment
from imageops.api.kinds import SESSION
from tests.e2e.conftest import SECONDS, MakeImage, wait_until_may_use
from tests.support.admission import ApiServer
from tests.support.clients import Client
from tests.support.engines import PrivateEngine, private_engine
from tests.support.installation import Installation, make_namespace, merged_values, process_status, smoke_values
from tests.support.objects import Objects, reason
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
    installation = Installation(node, api, make_helm(NAMESPACE), NAMESPACE, values)
    installation.install()
    wait_until_may_use(team)
    yield installation
    installation.uninstall()


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
