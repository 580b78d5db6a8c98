"""Give integration tests the development cluster: an API server, two Engines, registries, and a running operator."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devcluster import env
from devcluster.env import Environment
from devcluster.images import PushedImage, push_image
from devcluster.install import install
from imageops.api.kinds import OPERATION_KINDS, SESSION
from tests.support.admission import ApiServer
from tests.support.objects import Objects
from tests.support.operator_process import OperatorProcess

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cluster() -> Environment:
    """Return the addresses of the running development cluster."""
    return env.load()


@pytest.fixture(scope="session")
def api(cluster: Environment) -> Iterator[ApiServer]:
    """Talk to the API server as its administrator, with our kinds and roles applied."""
    server = ApiServer(cluster.kubeconfig)
    install(Path(cluster.kubeconfig))
    for kind in (*OPERATION_KINDS, SESSION):
        server.wait_until_served(kind)
    yield server
    server.close()


@pytest.fixture(scope="session")
def operator(cluster: Environment, api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:  # noqa: ARG001 - the kinds must be served
    """Run one operator for all tests that do not end it; a test that does starts it again."""
    log = ROOT / ".dev" / "logs" / "operator-under-test.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    process = OperatorProcess(cluster.kubeconfig_operator, cluster.imageops_daemons, log)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def objects(api: ApiServer, operator: OperatorProcess) -> Iterator[Objects]:  # noqa: ARG001 - objects need an operator
    """Return the objects of a namespace of the test's own."""
    name = f"test-{secrets.token_hex(4)}"
    answer = api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.status == 201, answer.message
    yield Objects(api, name)
    api.request("DELETE", f"/api/v1/namespaces/{name}")


@dataclass(frozen=True, slots=True)
class EngineUnderTest:
    """One of the two Engines."""

    name: str
    """What `daemonName` calls it."""
    address: str

    @property
    def keeps_digests(self) -> bool:
        """Whether its image store keeps the digest of what it pulls."""
        return self.name == "default"


@pytest.fixture(params=["default", "graphdriver"])
def engine(request: pytest.FixtureRequest, cluster: Environment) -> EngineUnderTest:
    """Return each of the two Engines in turn."""
    addresses = dict(pair.split("=", 1) for pair in cluster.imageops_daemons.split(","))
    return EngineUnderTest(request.param, addresses[request.param])


MakeImage = Callable[..., PushedImage]


@pytest.fixture
def make_image(cluster: Environment) -> MakeImage:
    """Return a function that puts an image nobody else has into the source registry."""

    def make(*, registry: str | None = None, tag: str = "1", **options: object) -> PushedImage:
        unique = secrets.token_hex(4)
        return push_image(registry or cluster.registry, f"test/{unique}", tag, seed=int(unique, 16), **options)

    return make
