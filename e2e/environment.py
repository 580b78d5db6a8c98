"""Tell the tests where things are on the node."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from devcluster.layout import write_private
from e2e.errors import NodeError

VARIABLE = "IMAGEOPS_NODE"
"""Names the file in the environment of what runs on the node."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Hold addresses and names. Kubeconfigs and folders are paths, registries host:port, images references."""

    kubeconfig: str
    """A user in system:masters."""
    kubeconfig_team_a: str
    """A user with the ClusterRole `edit` in the namespace team-a, and no other right."""
    address: str
    """The node's own, at which pods reach what listens on it."""
    pods: str
    """The network of the pods, and of the node's address."""
    api_server_port: int
    registry: str
    """A registry that anybody may use; the source of promotions."""
    registry_target: str
    operator_image: str
    operator_image_next: str
    """The same content under the name of a later version."""
    engine_image: str
    registry_image: str
    containerd: str
    """The socket of the node's containerd."""
    volumes: str
    """A folder for the data of volumes."""


def load() -> Environment:
    """Read what the node says of itself.

    Raises `NodeError` where no node is.
    """
    try:
        return Environment(**json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8")))
    except (KeyError, FileNotFoundError) as error:
        msg = "no node is here: `python -m e2e COMMAND` runs a command with one"
        raise NodeError(msg) from error


def write(path: Path, environment: Environment) -> None:
    """Write it for `load`."""
    write_private(path, json.dumps(asdict(environment)))
