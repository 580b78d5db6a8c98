"""Open the place where trials happen: an operator of the trials' own on real parts, with a gate before each Engine.

Its API server is one of its own as well, so that it neither sees the objects of other operators nor they its.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage, push_image
from devcluster.install import install
from devcluster.layout import Layout
from imageops.api.kinds import OPERATION_KINDS, SESSION
from tests.support.admission import ApiServer
from tests.support.control_plane import ControlPlane, private_control_plane
from tests.support.objects import Objects
from tests.support.operator_process import OperatorProcess
from tests.support.watched_engine import WatchedEngine

ENGINES = ("default", "graphdriver")
_TRANSFERS = 32
"""Places for transfers on each daemon, so that trials side by side do not wait for each other."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a trial works with."""

    cluster: Environment
    plane: ControlPlane
    objects: Objects
    operator: OperatorProcess
    engines: Mapping[str, WatchedEngine]
    """The Engines by their names in the development cluster, as the operator reaches them: through a gate."""

    @contextmanager
    def namespace(self) -> Iterator[Objects]:
        """Give the objects of a namespace that nobody else uses."""
        name = f"fault-{secrets.token_hex(4)}"
        answer = self.objects.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        assert answer.status == 201, answer.message
        yield replace(self.objects, namespace=name)
        self.objects.api.request("DELETE", f"/api/v1/namespaces/{name}")

    def image(self, **options: Any) -> PushedImage:
        """Put an image nobody else has into the source registry."""
        unique = secrets.token_hex(4)
        return push_image(self.cluster.registry, f"fault/{unique}", "1", seed=int(unique, 16), **options)

    @property
    def both(self) -> Sequence[WatchedEngine]:
        """Return the two Engines."""
        return tuple(self.engines.values())


@contextmanager
def opened_site(cluster: Environment, name: str) -> Iterator[Site]:
    """Run an operator with the cluster's Engines for as long as the block runs; `name` tells its log from others."""
    with private_control_plane() as plane, _on(plane, cluster, name) as site:
        yield site


class Sites:
    """Open a site when the first trial wants it, for all trials until the end."""

    def __init__(self, cluster: Environment) -> None:
        """Open nothing yet."""
        self._cluster = cluster
        self._stack = ExitStack()
        self._opening = threading.Lock()
        self._site: Site | None = None

    def site(self) -> Site:
        """Return the site; callable from any thread."""
        with self._opening:
            if self._site is None:
                self._site = self._stack.enter_context(opened_site(self._cluster, "in-trials"))
            return self._site

    def close(self) -> None:
        """Close it, if it was opened."""
        self._stack.close()


@contextmanager
def _on(plane: ControlPlane, cluster: Environment, name: str) -> Iterator[Site]:
    install(Path(plane.kubeconfig))
    log = Layout.of().logs / f"operator-{name}.log"
    log.write_bytes(b"")
    with ExitStack() as stack:
        api = ApiServer(plane.kubeconfig)
        stack.callback(api.close)
        for kind in (*OPERATION_KINDS, SESSION):
            api.wait_until_served(kind)
        addresses = dict(pair.split("=", 1) for pair in cluster.imageops_daemons.split(","))
        engines = {}
        for engine in ENGINES:
            gate = stack.enter_context(RegistryGate(upstream=addresses[engine]))
            engines[engine] = WatchedEngine(engine, addresses[engine], keeps_digests=engine == "default", gate=gate)
        daemons = ",".join(f"{engine}=tcp://{watched.gate.address}" for engine, watched in engines.items())
        settings = {"IMAGEOPS_MAX_TRANSFERS": str(_TRANSFERS)}
        operator = OperatorProcess(plane.kubeconfig_operator, daemons, log, settings)
        operator.start()
        stack.callback(operator.kill)
        yield Site(cluster, plane, Objects(api, "default"), operator, engines)
