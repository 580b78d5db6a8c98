"""The node is alone: what the trials do reaches nothing of the machine, and nothing beyond it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from e2e.environment import Environment


def test_the_node_has_no_interface_of_the_machine(node: Environment) -> None:
    """Loopback, the bridge, and what the bridge has to each pod; the node's address is on it."""
    names = {name for _, name in socket.if_nameindex()}
    assert {name for name in names if not name.startswith("veth")} == {"lo", "imageops0"}
    with socket.create_server((node.address, 0)):
        pass


def test_nothing_leads_out_of_the_machine() -> None:
    """There is no way to any other address, so that no trial can depend on one."""
    with pytest.raises(OSError, match="unreachable"):
        socket.create_connection(("192.0.2.1", 443), timeout=5)


def test_the_end_of_the_run_is_the_end_of_every_process() -> None:
    """The first process of this namespace is the run itself; the kernel ends the others with it."""
    assert b"e2e.inside" in Path("/proc/1/cmdline").read_bytes()
