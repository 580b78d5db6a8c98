"""Bring up the node, run a command on it, and end it: `python -m e2e.inside FOLDER`, as the first process in there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from devcluster import kubernetes, parts, registries, tenants
from devcluster.ending import end_services
from devcluster.errors import DevClusterError
from devcluster.kubeconfig import Access, KubeClient
from devcluster.layout import Layout
from devcluster.services import Service
from e2e import environment
from e2e.environment import Environment
from e2e.errors import NodeError
from e2e.isolation import ADDRESS, PODS, cgroup_of, furnish, make_cgroups
from e2e.node import NAME, Node
from e2e.plan import Plan

_READY_SECONDS = 120.0
_POLL_SECONDS = 0.2


class NodeRun:
    """Bring a node up service by service; `say` shows one line to whoever waits."""

    def __init__(self, run: Path, plan: Plan, say: Callable[[str], None]) -> None:
        self._layout = Layout(checkout=run, run=run)
        self._plan = plan
        self._say = say
        self._node = Node(self._layout, plan.program, cgroup_of(run), plan.images.pause.reference)
        self._services: dict[str, Service] = {}

    def up(self) -> Environment:
        """Start everything, wait until the node takes pods, and say where things are.

        Raises `NodeError` or `DevClusterError` if a part does not come up.
        """
        begun = time.monotonic()
        furnish(self._layout.run)
        make_cgroups(cgroup_of(self._layout.run))
        self._layout.make()
        self._start([self._node.runtime()])
        for image in self._plan.images.all:
            self._ctr("import", str(image.archive))
        self._ctr("tag", self._plan.images.operator.reference, self._next)
        self._start(self._node.control_plane())
        self._start(self._node.registries())
        self._start(self._node.workers())
        access = Access.read(self._node.admin)
        tenants.make_teams(access)
        self._wait_for_node(access)
        self._say(f"the node is ready after {time.monotonic() - begun:.1f} s")
        return self._environment(access)

    def end(self) -> None:
        """End what was started; what is left goes with the namespaces."""
        end_services(self._services.values())

    def _start(self, services: Sequence[Service]) -> None:
        for service in services:
            begun = time.monotonic()
            self._services[service.name] = service.started()
            self._services[service.name].wait_ready()
            self._say(f"{service.name:20} ready in {time.monotonic() - begun:4.1f} s  {service.address}")

    @property
    def _next(self) -> str:
        return f"{self._plan.images.operator.reference}-next"

    def _ctr(self, *words: str) -> None:
        """Do something with the images that kubelet's containers are made of."""
        ctr = (str(self._plan.program(parts.CTR)), f"--address={self._node.containerd_socket}", "--namespace=k8s.io")
        done = subprocess.run([*ctr, "images", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            msg = f"`ctr images {' '.join(words)}` failed: {done.stderr.strip()}"
            raise NodeError(msg)

    def _wait_for_node(self, access: Access) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        with tempfile.TemporaryDirectory() as folder, KubeClient(access, Path(folder)) as client:
            while True:
                body = client.get(f"/api/v1/nodes/{NAME}") or {"status": {}}
                conditions = {it["type"]: it for it in body["status"].get("conditions", ())}
                ready = conditions.get("Ready", {})
                if ready.get("status") == "True":
                    return
                if time.monotonic() > deadline:
                    msg = f"the node is not ready after {_READY_SECONDS:g} s: {ready.get('message', 'it is unknown')}"
                    raise NodeError(msg)
                time.sleep(_POLL_SECONDS)

    def _environment(self, access: Access) -> Environment:
        images, volumes = self._plan.images, self._layout.run / "volumes"
        volumes.mkdir()
        return Environment(
            kubeconfig=str(self._node.admin),
            kubeconfig_team_a=str(kubernetes.kubeconfig(self._layout, kubernetes.TEAM_A)),
            address=ADDRESS,
            pods=PODS,
            api_server_port=urlsplit(access.server).port or 0,
            registry=self._services[registries.SOURCE].address,
            registry_target=self._services[registries.TARGET].address,
            operator_image=images.operator.reference,
            operator_image_next=self._next,
            engine_image=images.engine.reference,
            registry_image=images.registry.reference,
            containerd=str(self._node.containerd_socket),
            volumes=str(volumes),
        )


def main(arguments: Sequence[str]) -> int:
    """Return the exit status of the command, or 1 if the node did not come up."""
    console = Console(stderr=True, soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    run = Path(arguments[0])
    plan = Plan.read(run)
    node = NodeRun(run, plan, say)
    try:
        file = run / "environment.json"
        environment.write(file, node.up())
        return subprocess.run(plan.command, env={**os.environ, environment.VARIABLE: str(file)}, check=False).returncode
    except (NodeError, DevClusterError) as error:
        console.print(f"e2e: {error}", style="red", markup=False, highlight=False)
        return 1
    finally:
        node.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
