"""Mode tcp on a real node: a restricted namespace, two replicas, and an Engine behind TLS on both sides."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster.images import manifest_digest
from devcluster.ports import free_ports
from e2e.environment import Environment
from imageops.api.kinds import IMAGE_PULL, SESSION
from tests.e2e.conftest import SECONDS, MakeGate, MakeImage, has_moved_bytes, installed, through
from tests.support.admission import ApiServer
from tests.support.certificates import TlsFiles, make_tls_files
from tests.support.chart import Values
from tests.support.clients import Client
from tests.support.engines import private_engine
from tests.support.installation import Installation, make_namespace, merged_values, smoke_values
from tests.support.objects import Objects, reason
from tests.support.sessions import promote

NAMESPACE = "imageops-tcp"
SECRET = "builder-client"


@pytest.fixture(scope="module")
def daemon(node: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Values, TlsFiles]]:
    """Run an Engine that asks for a certificate; give its entry in the chart's values, and the client's files."""
    files = make_tls_files(tmp_path_factory.mktemp("tls"), also=(node.address,))
    [port] = free_ports(1)
    options = (
        *("--tlsverify", f"--tlscacert={files.client.ca}", f"--tlscert={files.server}", f"--tlskey={files.server_key}"),
        *(f"--host=tcp://{node.address}:{port}", f"--insecure-registry={node.pods}"),
    )
    entry = {"name": "builder", "host": node.address, "port": port, "secretName": SECRET}
    with private_engine("default", options=options):
        yield entry, files


def make_secret(api: ApiServer, files: TlsFiles) -> None:
    """Make the Secret that the operator's certificate is in."""
    names = {"ca.crt": files.client.ca, "tls.crt": files.client.certificate, "tls.key": files.client.key}
    data = {name: base64.b64encode(Path(file).read_bytes()).decode() for name, file in names.items()}
    body = {"metadata": {"name": SECRET}, "type": "kubernetes.io/tls", "data": data}
    assert api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", body).status == 201


@pytest.fixture(scope="module")
def installation(
    node: Environment,
    api: ApiServer,
    daemon: tuple[Values, TlsFiles],
    make_helm: Callable[[str], Client],
    make_image: MakeImage,
    team: Objects,
) -> Iterator[Installation]:
    """Install the chart in a namespace that enforces the strictest level."""
    entry, files = daemon
    make_namespace(api, NAMESPACE, enforce="restricted")
    make_secret(api, files)
    mode = {"daemon": {"mode": "tcp", "tcp": {"daemons": [entry]}}}
    values = merged_values(node, mode, smoke_values(node, make_image()))
    with installed(Installation(node, api, make_helm(NAMESPACE), NAMESPACE, values), team) as installation:
        yield installation


@pytest.mark.feature("chart.modes", "image.hardened")
def test_a_restricted_namespace_takes_both_replicas_and_they_work(
    installation: Installation, team: Objects, make_image: MakeImage, node: Environment
) -> None:
    """Enforced by Kubernetes itself; a promotion by the Engine behind TLS keeps the digest, and helm test passes."""
    installation.wait_all_ready(2)
    image = make_image(platforms=["linux/amd64", "linux/arm64"])
    steps = [promote("ship", image.reference, f"{node.registry_target}/{image.repository}:1")]
    body = team.run(SESSION, "behind-tls", {"steps": steps}, seconds=SECONDS)
    assert reason(body) == "Completed", body["status"]
    assert manifest_digest(node.registry_target, image.repository, "1") == image.digest
    installation.test()


@pytest.mark.feature("chart.modes")
def test_the_other_replica_goes_on_when_the_leader_was_deleted_in_mid_pull(
    installation: Installation, team: Objects, make_image: MakeImage, make_gate: MakeGate, node: Environment
) -> None:
    """The pull that it had begun ends in its first run."""
    image = make_image(layers=[8_000_000])
    gate = make_gate(node.registry)
    gate.stall(path=".*/blobs/.*", after_bytes=4_000_000)
    team.create(IMAGE_PULL, "taken-over", {"image": through(gate, image)})
    team.wait(IMAGE_PULL, "taken-over", has_moved_bytes, seconds=SECONDS)
    leader = installation.leader()
    assert leader in {pod["metadata"]["name"] for pod in installation.pods()}
    installation.delete_pod(leader)
    gate.release()
    body = team.wait_finished(IMAGE_PULL, "taken-over", seconds=SECONDS)
    assert reason(body) == "Pulled", body["status"]
    assert body["status"]["run"] == 1
    assert installation.leader() != leader
