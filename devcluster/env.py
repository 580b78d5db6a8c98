"""Write and read `.dev/env`, the addresses and credentials of the running cluster as shell exports."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, fields
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.layout import Layout, write_private


@dataclass(frozen=True, slots=True)
class Environment:
    """Hold what tests and demonstrations need to reach the cluster.

    A value is empty where `up --only` left its part out. Kubeconfig values are file paths, registries are host:port,
    Docker hosts are addresses as DOCKER_HOST takes them. `imageops_daemons` lists name=address pairs, comma-separated.
    """

    kubeconfig: str = ""
    """A user in system:masters."""
    kubeconfig_operator: str = ""
    """The user imageops-operator, who has no rights until a test binds some."""
    kubeconfig_team_a: str = ""
    """A user with the ClusterRole `edit` in the namespace team-a, and no other right."""
    kubeconfig_team_b: str = ""
    """The same for team-b."""
    kube_apiserver_url: str = ""
    audit_log: str = ""
    """The API server's record, one JSON object a line, of who asked for which Secret or ServiceAccount."""
    docker_host: str = ""
    """The Engine of the 29 line with the containerd image store."""
    docker_host_graphdriver: str = ""
    """The Engine 20.10 with the overlay2 graph driver."""
    registry: str = ""
    """A registry that anybody may use; the source of promotions."""
    registry_target: str = ""
    """A second registry that anybody may use."""
    registry_auth: str = ""
    """A registry that asks for the user and password below."""
    registry_auth_user: str = ""
    registry_auth_password: str = field(default="", repr=False)
    imageops_daemons: str = ""


def load(path: Path | None = None) -> Environment:
    """Read the file that `up` wrote, by default the one of this checkout.

    Raises `DevClusterError` if there is none.
    """
    path = path or Layout.of().env
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        msg = f"{path} does not exist: start the cluster with `python -m devcluster up`"
        raise DevClusterError(msg) from error
    names = {item.name for item in fields(Environment)}
    values = {}
    for line in text.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if name.lower() in names:
            values[name.lower()] = "".join(shlex.split(value))
    return Environment(**values)


def write(path: Path, environment: Environment) -> None:
    """Write the exports into a file that only its owner can read; empty values are left out."""
    values = {item.name.upper(): getattr(environment, item.name) for item in fields(environment)}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items() if value]
    write_private(path, "\n".join(lines) + "\n")
