"""Run the operator of this checkout as users run it: a process of its own, with a user that has only its rights."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from devcluster import processes
from devcluster.layout import Layout
from devcluster.ports import ADDRESS, free_ports
from devcluster.probes import Probe
from devcluster.services import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.env import Environment

_COMMAND = (sys.executable, "-m", "imageops", "operator")
_ANY_PORT = "0"


@contextmanager
def operator_running(cluster: Environment, name: str) -> Iterator[Service]:
    """Run the operator while the block runs; it is ready when the block begins, and asked to end after it.

    `name` distinguishes its log. Its `address` is where /healthz, /readyz and /metrics are served. Raises
    `DevClusterError` if it does not become ready.
    """
    address = f"{ADDRESS}:{free_ports(1)[0]}"
    log = Layout.of().logs / f"{name}.log"
    log.unlink(missing_ok=True)
    service = Service(
        name=name,
        argv=_COMMAND,
        environ=_environ(cluster, port=address.rpartition(":")[2]),
        probe=Probe(url=f"http://{address}/readyz"),
        log=str(log),
        address=address,
    ).started()
    try:
        service.wait_ready()
        yield service
    finally:
        if service.process is not None:
            processes.end([service.process], service.stop_seconds)


def become_operator(cluster: Environment) -> NoReturn:
    """Go on as the operator, in the foreground of whoever called; its log says on which port its health is served."""
    os.execve(_COMMAND[0], _COMMAND, _environ(cluster, port=_ANY_PORT))  # noqa: S606 - no shell is wanted


def _environ(cluster: Environment, *, port: str) -> dict[str, str]:
    return {
        **os.environ,
        "KUBECONFIG": cluster.kubeconfig_operator,
        "IMAGEOPS_DAEMONS": cluster.imageops_daemons,
        "IMAGEOPS_HEALTH_HOST": ADDRESS,
        "IMAGEOPS_HEALTH_PORT": port,
    }
