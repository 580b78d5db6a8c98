"""Mode dind with a mirror behind an authority of its own, and without a volume, on a real node."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from devcluster import parts
from devcluster.ending import end_services
from devcluster.images import PushedImage, push_image
from devcluster.ports import free_ports
from devcluster.probes import Probe
from devcluster.services import Service
from e2e.environment import Environment
from imageops.api.kinds import IMAGE_PULL
from tests.e2e.conftest import SECONDS, installed
from tests.support.admission import ApiServer
from tests.support.certificates import TlsFiles, make_tls_files
from tests.support.clients import Client, program
from tests.support.installation import Installation, engine_values, make_namespace, merged_values
from tests.support.objects import Objects, reason

NAMESPACE = "imageops-options"
AUTHORITIES = "authorities"


@pytest.fixture(scope="module")
def files(node: Environment, tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """Make an authority that nobody knows, and a certificate for the node's address."""
    return make_tls_files(tmp_path_factory.mktemp("tls"), also=(node.address,))


@pytest.fixture(scope="module")
def mirror(node: Environment, files: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a mirror of the source registry behind TLS, and give its host:port."""
    home = tmp_path_factory.mktemp("mirror")
    [port] = free_ports(1)
    address = f"{node.address}:{port}"
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(home / "data")}},
        "http": {"addr": address, "tls": {"certificate": str(files.server), "key": str(files.server_key)}},
        "proxy": {"remoteurl": f"http://{node.registry}"},
    }
    (home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    service = Service(
        name="mirror",
        argv=(str(program(parts.REGISTRY)), "serve", str(home / "config.yaml")),
        environ={"OTEL_TRACES_EXPORTER": "none"},
        probe=Probe(url=f"https://{address}/v2/", ca=str(files.client.ca)),
        log=str(home / "log"),
        address=address,
    ).started()
    try:
        service.wait_ready()
        yield address
    finally:
        end_services([service])


@pytest.fixture(scope="module")
def installation(
    node: Environment,
    api: ApiServer,
    mirror: str,
    files: TlsFiles,
    make_helm: Callable[[str], Client],
    team: Objects,
) -> Iterator[Installation]:
    """Install the chart with a mirror that is trusted by a ConfigMap, and no registry that need not be verified."""
    make_namespace(api, NAMESPACE)
    authorities = {"metadata": {"name": AUTHORITIES}, "data": {"trial.pem": Path(files.client.ca).read_text("utf-8")}}
    assert api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", authorities).status == 201
    options = {
        "insecureRegistries": [],
        "registryMirrors": [f"https://{mirror}"],
        "caConfigMap": AUTHORITIES,
        "persistence": {"enabled": False},
    }
    values = merged_values(node, engine_values(node), {"daemon": {"dind": options}})
    with installed(Installation(node, api, make_helm(NAMESPACE), NAMESPACE, values), team) as installation:
        yield installation


@pytest.fixture
def image(node: Environment) -> PushedImage:
    """Put an image where a mirror of Docker Hub has those without an owner."""
    unique = secrets.token_hex(4)
    return push_image(node.registry, f"library/trial-{unique}", "1", seed=int(unique, 16))


@pytest.mark.feature("chart.dind-options")
def test_a_mirror_is_asked_and_trusted_by_an_authority_of_the_values(
    installation: Installation, team: Objects, mirror: str, image: PushedImage, node: Environment
) -> None:
    """For an image of Docker Hub, which nothing here could reach; and by its own name, as any registry behind TLS."""
    assert installation.wait_ready()
    short = image.repository.removeprefix("library/")
    for name, reference in (("by-mirror", f"{short}:1"), ("by-name", f"{mirror}/{image.repository}:1")):
        body = team.run(IMAGE_PULL, name, {"image": reference}, seconds=SECONDS)
        assert reason(body) == "Pulled", body["status"]
        assert body["status"]["image"]["digest"] == image.digest
    body = team.run(IMAGE_PULL, "unverified", {"image": f"{node.registry}/{image.repository}:1", "backoffLimit": 0})
    assert body["status"]["phase"] == "Failed"  # plain HTTP, which no value allows here
