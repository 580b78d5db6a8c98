"""Give integration tests the development cluster: an API server, two Engines, registries, and a running operator."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from devcluster import env, parts
from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage, push_image
from devcluster.install import install
from imageops.api.kinds import OPERATION_KINDS, SESSION
from tests.support.admission import ApiServer
from tests.support.clients import Client, Kstatus, MakeClient, program
from tests.support.engines import KINDS
from tests.support.objects import Objects
from tests.support.operator_process import OperatorProcess
from tests.support.states import Stage
from tests.support.watched_engine import EngineUnderTest, WatchedEngine

ROOT = Path(__file__).parents[2]
ENGINES = tuple(KINDS)
LABELS = tuple(kind.label for kind in KINDS.values())
"""What test ids call the Engines."""
WATCHED = "watched-"
"""Begins the name under which the operator reaches an Engine through a gate."""


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
def addresses(cluster: Environment) -> dict[str, str]:
    """Return the socket of each Engine."""
    return dict(pair.split("=", 1) for pair in cluster.imageops_daemons.split(","))


@pytest.fixture(scope="session")
def gates(addresses: dict[str, str]) -> Iterator[dict[str, RegistryGate]]:
    """Put a gate in front of each Engine."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(RegistryGate(upstream=address)) for name, address in addresses.items()}


@pytest.fixture(scope="session")
def planted_home(cluster: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a home folder whose Docker configuration holds a good credential, which the operator must not use."""
    home = tmp_path_factory.mktemp("home")
    pair = f"{cluster.registry_auth_user}:{cluster.registry_auth_password}"
    entry = {"auth": base64.b64encode(pair.encode()).decode()}
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {cluster.registry_auth: entry}}))
    return home


@pytest.fixture(scope="session")
def operator(
    cluster: Environment,
    api: ApiServer,  # noqa: ARG001 - the kinds must be served
    gates: dict[str, RegistryGate],
    planted_home: Path,
) -> Iterator[OperatorProcess]:
    """Run one operator for all tests that do not end it; a test that does starts it again."""
    log = ROOT / ".dev" / "logs" / "operator-under-test.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    watched = [f"{WATCHED}{name}=tcp://{gate.address}" for name, gate in gates.items()]
    process = OperatorProcess(
        cluster.kubeconfig_operator,
        ",".join([cluster.imageops_daemons, *watched]),
        log,
        {"HOME": str(planted_home), "DOCKER_CONFIG": str(planted_home / ".docker")},
    )
    process.start()
    yield process
    process.stop()


@pytest.fixture
def objects(api: ApiServer, operator: OperatorProcess) -> Iterator[Objects]:  # noqa: ARG001 - objects need an operator
    """Return the objects of a namespace of the test's own."""
    yield from _namespace(api)


@pytest.fixture
def other_objects(api: ApiServer, operator: OperatorProcess) -> Iterator[Objects]:  # noqa: ARG001 - objects need an operator
    """Return the objects of a second namespace."""
    yield from _namespace(api)


@pytest.fixture(scope="module")
def shared_objects(api: ApiServer, operator: OperatorProcess) -> Iterator[Objects]:  # noqa: ARG001 - objects need an operator
    """Return the objects of a namespace that the tests of one module share."""
    yield from _namespace(api)


def _namespace(api: ApiServer) -> Iterator[Objects]:
    """Give the objects of a new namespace, which goes when the generator is closed."""
    name = f"test-{secrets.token_hex(4)}"
    answer = api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.status == 201, answer.message
    yield Objects(api, name)
    api.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(params=ENGINES, ids=LABELS)
def engine(request: pytest.FixtureRequest, addresses: dict[str, str]) -> EngineUnderTest:
    """Return each of the two Engines in turn."""
    return EngineUnderTest(request.param, addresses[request.param], keeps_digests=request.param == "default")


@pytest.fixture(params=ENGINES, ids=LABELS)
def watched(
    request: pytest.FixtureRequest,
    addresses: dict[str, str],
    gates: dict[str, RegistryGate],
) -> Iterator[WatchedEngine]:
    """Return each of the two Engines in turn, as the operator reaches it through a gate."""
    name, gate = request.param, gates[request.param]
    yield WatchedEngine(f"{WATCHED}{name}", addresses[name], name == "default", gate)
    gate.release()


@pytest.fixture
def containerd(addresses: dict[str, str]) -> EngineUnderTest:
    """Return the Engine with the containerd image store."""
    return EngineUnderTest("default", addresses["default"], keeps_digests=True)


@pytest.fixture
def graphdriver(addresses: dict[str, str]) -> EngineUnderTest:
    """Return the Engine with a graph driver."""
    return EngineUnderTest("graphdriver", addresses["graphdriver"], keeps_digests=False)


MakeImage = Callable[..., PushedImage]


@pytest.fixture(scope="session")
def make_image(cluster: Environment) -> MakeImage:
    """Return a function that puts an image nobody else has into the source registry."""

    def make(
        *,
        registry: str | None = None,
        repository: str | None = None,
        tag: str = "1",
        **options: Any,
    ) -> PushedImage:
        unique = secrets.token_hex(4)
        name = repository or f"test/{unique}"
        return push_image(registry or cluster.registry, name, tag, seed=int(unique, 16), **options)

    return make


MakeGate = Callable[..., RegistryGate]


@pytest.fixture
def make_gate() -> Iterator[MakeGate]:
    """Return a function that puts a gate in front of a registry until the test ends."""
    with ExitStack() as stack:

        def make(upstream: str, *, bytes_per_second: int | None = None) -> RegistryGate:
            return stack.enter_context(RegistryGate(upstream, bytes_per_second=bytes_per_second))

        yield make


@pytest.fixture(scope="module")
def stage(
    shared_objects: Objects,
    cluster: Environment,
    addresses: dict[str, str],
    gates: dict[str, RegistryGate],
    make_image: MakeImage,
) -> Iterator[Stage]:
    """Return where objects are led through their states."""
    engine = WatchedEngine(f"{WATCHED}default", addresses["default"], keeps_digests=True, gate=gates["default"])
    with RegistryGate(cluster.registry) as slow, RegistryGate(cluster.registry) as broken:
        stage = Stage(
            objects=shared_objects,
            engine=engine,
            slow=slow,
            broken=broken,
            registry=cluster.registry,
            make_image=make_image,
            away=f"{WATCHED}graphdriver",
        )
        yield stage
        stage.let_go()


@pytest.fixture(scope="session")
def kstatus() -> Kstatus:
    """Return Flux's kstatus library."""
    return Kstatus(program(parts.KSTATUS))


@pytest.fixture(scope="session")
def make_client(cluster: Environment, tmp_path_factory: pytest.TempPathFactory) -> MakeClient:
    """Return a function that gives a client program for a namespace, as the cluster's administrator."""

    def make(part: parts.Part, namespace: str) -> Client:
        return Client(program(part), cluster.kubeconfig, namespace, tmp_path_factory.mktemp("home"))

    return make


def through(gate: RegistryGate, image: PushedImage) -> str:
    """Return the name of an image by way of a gate in front of its registry."""
    return f"{gate.address}/{image.repository}:{image.tag}"


Measured = Callable[[str], None]
_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Return a function that keeps a figure for the end of the report."""
    return request.config.stash.setdefault(_FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured."""
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("measured")
    for figure in figures:
        terminalreporter.line(figure)
