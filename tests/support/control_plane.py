"""A Kubernetes API server of a test's own, for what must not happen to one that others use."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devcluster import finding, processes
from devcluster.ending import end_services, remove_tree
from devcluster.kubernetes import ADMIN, APISERVER, CONTROLLER_MANAGER, OPERATOR, kubeconfig, kubernetes_services
from devcluster.layout import Layout
from devcluster.processes import Process
from devcluster.services import Service


@dataclass(slots=True)
class ControlPlane:
    """An API server with RBAC and nothing in it: none of our kinds, and no controllers unless they are asked for."""

    kubeconfig: str
    """A user in system:masters."""
    kubeconfig_operator: str
    """The operator's user, who has no rights until they are bound."""
    services: dict[str, Service]

    def pause(self) -> None:
        """Stop the API server in its tracks: connections stay open, and nothing is answered."""
        processes.send(self._process, signal.SIGSTOP)

    def resume(self) -> None:
        """Let the API server go on."""
        processes.send(self._process, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the API server, so that connections are refused."""
        processes.end([self._process], 0.0)

    def start(self) -> None:
        """Start the API server at its old address, and wait until it is ready."""
        self.services[APISERVER] = self.services[APISERVER].started()
        self.services[APISERVER].wait_ready()

    @property
    def _process(self) -> Process:
        process = self.services[APISERVER].process
        assert process is not None
        return process


@contextmanager
def private_control_plane(*, controllers: bool = False) -> Iterator[ControlPlane]:
    """Run etcd and kube-apiserver until the block ends; with controllers also what empties deleted namespaces."""
    run = Path(f"/tmp/imageops-t{secrets.token_hex(3)}")  # noqa: S108 - short, and made with mode 0700
    run.mkdir(mode=0o700)
    layout = Layout(checkout=run, run=run)
    layout.make()
    ways = finding.standard_ways(os.environ, lambda _: None)
    described = kubernetes_services(layout, lambda part: finding.find(part, ways).path)
    services = {service.name: service for service in described if controllers or service.name != CONTROLLER_MANAGER}
    plane = ControlPlane(str(kubeconfig(layout, ADMIN)), str(kubeconfig(layout, OPERATOR)), services)
    try:
        for name, service in services.items():
            services[name] = service.started()
            services[name].wait_ready()
        yield plane
    finally:
        for service in services.values():
            if service.process is not None:
                processes.send(service.process, signal.SIGCONT)  # one that is paused could not end
        end_services(services.values())
        remove_tree(run)
