"""Give the trials the node they run on: `make e2e`, or `python -m e2e pytest tests/e2e` on a machine with root."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from devcluster import parts
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage, push_image
from e2e import environment
from e2e.environment import Environment
from imageops.api.kinds import IMAGE_PULL
from tests.support.admission import ApiServer
from tests.support.clients import Client, MakeClient, program
from tests.support.installation import Installation
from tests.support.objects import Body, Objects
from tests.support.registry_tags import tagged

TEAM = "team-a"
SECONDS = 240.0
"""For anything to happen on a node whose pods come and go."""

MakeImage = Callable[..., PushedImage]
MakeGate = Callable[..., RegistryGate]


@pytest.fixture(scope="session")
def node() -> Environment:
    """Return where things are on the node."""
    return environment.load()


@pytest.fixture(scope="session")
def api(node: Environment) -> Iterator[ApiServer]:
    """Talk to the API server as its administrator."""
    with closing(ApiServer(node.kubeconfig)) as server:
        yield server


@pytest.fixture(scope="session")
def team(node: Environment) -> Iterator[Objects]:
    """Return a team's objects, as a user who may edit in that namespace and nowhere else."""
    with closing(ApiServer(node.kubeconfig_team_a)) as server:
        yield Objects(server, TEAM)


@pytest.fixture(scope="session")
def make_helm(node: Environment, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Client]:
    """Return a function that gives Helm for a namespace, as the administrator."""

    def make(namespace: str) -> Client:
        return Client(program(parts.HELM_4), node.kubeconfig, namespace, tmp_path_factory.mktemp("home"))

    return make


@pytest.fixture(scope="session")
def make_team_client(node: Environment, tmp_path_factory: pytest.TempPathFactory) -> MakeClient:
    """Return a function that gives a client program for a namespace, as the team's user."""

    def make(part: parts.Part, namespace: str) -> Client:
        return Client(program(part), node.kubeconfig_team_a, namespace, tmp_path_factory.mktemp("home"))

    return make


@pytest.fixture(scope="session")
def make_image(node: Environment) -> MakeImage:
    """Return a function that puts an image nobody else has into the source registry."""

    def make(**options: Any) -> PushedImage:
        unique = secrets.token_hex(4)
        return push_image(node.registry, f"test/{unique}", "1", seed=int(unique, 16), **options)

    return make


@pytest.fixture
def make_gate(node: Environment) -> Iterator[MakeGate]:
    """Return a function that puts a gate in front of a registry until the test ends, where pods reach it."""
    with ExitStack() as stack:

        def make(upstream: str, *, bytes_per_second: int | None = None) -> RegistryGate:
            return stack.enter_context(RegistryGate(upstream, bytes_per_second=bytes_per_second, host=node.address))

        yield make


def through(gate: RegistryGate, image: PushedImage) -> str:
    """Return the name of an image by way of a gate."""
    return f"{gate.address}/{image.repository}:{image.tag}"


def names(gate: RegistryGate, image: PushedImage, count: int, *, first: int = 0) -> list[str]:
    """Return so many names of an image by way of a gate, each with a tag of its own."""
    tags = (f"t{number}" for number in range(first, first + count))
    return [f"{gate.address}/{name.partition('/')[2]}" for name in tagged(image, tags)]


def has_moved_bytes(body: Body) -> bool:
    """Tell whether a transfer is in its middle."""
    return bool(((body.get("status") or {}).get("progress") or {}).get("bytesDone"))


@contextmanager
def installed(installation: Installation, team: Objects) -> Iterator[Installation]:
    """Have a release of the chart, which the team may use, for as long as the block runs."""
    installation.install()
    wait_until_may_use(team)
    yield installation
    installation.uninstall()


def may_use(team: Objects) -> bool:
    """Tell whether the team may list what it is to work with."""
    return team.api.request("GET", team.path(IMAGE_PULL)).status == 200


def wait_until_may_use(team: Objects) -> None:
    """Return when the chart's rights are part of the role that the team has, which is a little later."""
    deadline = time.monotonic() + SECONDS
    while not may_use(team):
        assert time.monotonic() < deadline
        time.sleep(0.1)
