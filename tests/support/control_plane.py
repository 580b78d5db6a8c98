"""A Kubernetes API server of a test's own, for what must not happen to one that others use."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from devcluster import finding
from devcluster.ending import end_services, remove_tree
from devcluster.kubernetes import ADMIN, APISERVER, ETCD, OPERATOR, kubeconfig, kubernetes_services
from devcluster.layout import Layout
from devcluster.processes import Process


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """An API server with RBAC and nothing in it: none of our kinds, no controllers."""

    kubeconfig: str
    """A user in system:masters."""
    kubeconfig_operator: str
    """The operator's user, who has no rights until they are bound."""
    apiserver: Process = field(repr=False)
    """The API server's own process, which may be stopped and go on."""

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Let the API server say nothing while the block runs; connections stay as they are."""
        os.kill(self.apiserver.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.apiserver.pid, signal.SIGCONT)


@contextmanager
def private_control_plane() -> Iterator[ControlPlane]:
    """Run etcd and kube-apiserver until the block ends."""
    run = Path(f"/tmp/imageops-t{secrets.token_hex(3)}")  # noqa: S108 - short, and made with mode 0700
    run.mkdir(mode=0o700)
    layout = Layout(checkout=run, run=run)
    layout.make()
    ways = finding.standard_ways(os.environ, lambda _: None)
    described = kubernetes_services(layout, lambda part: finding.find(part, ways).path)
    services = [service for service in described if service.name in {ETCD, APISERVER}]
    try:
        for number, service in enumerate(services):
            services[number] = service.started()
            services[number].wait_ready()
        [apiserver] = [service.process for service in services if service.name == APISERVER]
        assert apiserver is not None
        yield ControlPlane(str(kubeconfig(layout, ADMIN)), str(kubeconfig(layout, OPERATOR)), apiserver)
    finally:
        end_services(services)
        remove_tree(run)
