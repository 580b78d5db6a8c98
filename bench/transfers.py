"""Measure what a status tells of a slow transfer, and how soon a cancelled one leaves the registry in peace.

Both depend on what else the machine does, so that no test may assert them.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.figures import Figure, Goal
from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import push_image
from devcluster.kubeconfig import Access, KubeClient
from imageops.api.kinds import GROUP, IMAGE_PULL, VERSION

RATE = 1_000_000
"""Bytes per second of the registry."""
SETTLED_SECONDS = 10.0
"""A speed is that of the last ten seconds."""
_LAYERS = (3_000_000,) * 5
_STOPS = 5
_SECONDS = 120.0
_POLL_SECONDS = 0.05


class Pulls:
    """Pull images through a registry that is held to the rate, in a namespace of their own."""

    def __init__(self, admin: KubeClient, cluster: Environment, gate: RegistryGate, run: str) -> None:
        self._admin, self._cluster, self._gate, self._run = admin, cluster, gate, run
        self._path = f"/apis/{GROUP}/{VERSION}/namespaces/bench-{run}/{IMAGE_PULL.plural}"
        self._made = 0

    def speeds(self) -> list[float]:
        """Return the speeds that the status told between the tenth second and the last layer, in bytes per second."""
        path, told, since = self._begin(), {}, time.monotonic()

        def ended() -> bool:
            status = self._status(path)
            progress = status.get("progress") or {}
            in_the_middle = progress.get("bytesDone", 0) < sum(_LAYERS) * 0.95
            if in_the_middle and "bytesPerSecond" in progress and time.monotonic() - since > SETTLED_SECONDS:
                told[progress["lastUpdateTime"]] = float(progress["bytesPerSecond"])
            return "completionTime" in status

        _wait(ended)
        return list(told.values())

    def stop(self) -> float:
        """Cancel a pull that moves bytes; return the seconds until the registry sends nothing any more."""
        path = self._begin()
        _wait(lambda: bool((self._status(path).get("progress") or {}).get("bytesDone")))
        document = self._admin.get(path) or {}
        document["spec"]["cancel"] = True
        began = time.monotonic()
        self._admin.replace(path, document)
        self._gate.wait(lambda requests: all(one.finished for one in requests))
        return time.monotonic() - began

    def _begin(self) -> str:
        self._made += 1
        name, repository = f"slow-{self._made}", f"bench/{self._run}-{self._made}"
        seed = int(self._run, 16) + self._made
        image = push_image(self._cluster.registry, repository, "1", layers=_LAYERS, seed=seed)
        spec = {"image": f"{self._gate.address}/{image.repository}:{image.tag}", "daemonName": "default"}
        kind = {"apiVersion": f"{GROUP}/{VERSION}", "kind": IMAGE_PULL.kind}
        self._admin.create(self._path, {**kind, "metadata": {"name": name}, "spec": spec})
        return f"{self._path}/{name}"

    def _status(self, path: str) -> dict[str, Any]:
        return dict((self._admin.get(path) or {}).get("status") or {})


def measure(cluster: Environment) -> list[Figure]:
    """Measure both, with an operator running."""
    run = secrets.token_hex(4)
    with (
        tempfile.TemporaryDirectory() as folder,
        KubeClient(Access.read(Path(cluster.kubeconfig)), Path(folder)) as admin,
        RegistryGate(cluster.registry, bytes_per_second=RATE) as gate,
    ):
        namespace = f"/api/v1/namespaces/bench-{run}"
        admin.create("/api/v1/namespaces", {"metadata": {"name": f"bench-{run}"}})
        try:
            pulls = Pulls(admin, cluster, gate, run)
            off = [100 * abs(speed / RATE - 1) for speed in pulls.speeds()]
            stops = [1000 * pulls.stop() for _ in range(_STOPS)]
        finally:
            admin.delete(namespace)
    return [
        Figure(
            "bytesPerSecond, away from the registry's 1 MB/s",
            "%",
            off,
            "each speed that a status told from 10 s after the create until 95 % of the bytes were there",
            Goal(50, 15.0),
        ),
        Figure(
            "A running pull, from cancel to quiet",
            "ms",
            stops,
            "from the change of the spec until the registry sends nothing any more; the change's own request included",
            Goal(95, 2000.0),
        ),
    ]


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        if time.monotonic() > deadline:
            msg = f"a slow pull is not where it has to be after {_SECONDS:.0f} s"
            raise TimeoutError(msg)
        time.sleep(_POLL_SECONDS)
