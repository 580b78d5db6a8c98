"""Pick free TCP ports on the loopback address."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from pathlib import Path

ADDRESS = "127.0.0.1"

_LOWEST = 10_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int) -> list[int]:
    """Pick ports that are free now, all different.

    They lie below the range the kernel gives to outgoing connections, so a part that is stopped for a while finds its
    port free again. Another server may still take one first: whoever listens on it has to be ready to pick anew.
    """
    highest = int(_EPHEMERAL.read_text(encoding="ascii").split()[0])
    with ExitStack() as stack:
        ports: list[int] = []
        for port in random.sample(range(_LOWEST, highest), highest - _LOWEST):
            if len(ports) == count:
                break
            each = stack.enter_context(socket.socket())
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            try:
                each.bind((ADDRESS, port))
            except OSError:
                continue
            ports.append(port)
        return ports
