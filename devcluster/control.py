"""Start, stop, kill and restart single parts of a running cluster, for tests of what happens then.

A part keeps its address and its data. Names are those that `python -m devcluster status` lists, such as
"engine-default", "containerd-default", "registry-source", "apiserver".
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from devcluster import processes, state
from devcluster.errors import DevClusterError
from devcluster.layout import Layout
from devcluster.locking import locked

if TYPE_CHECKING:
    from devcluster.services import Service

_KILL_SECONDS = 10.0


def start(part: str, layout: Layout | None = None) -> None:
    """Start the part if it does not run, and wait until it is ready."""
    layout = layout or Layout.of()
    with locked(layout.lock):
        service = _service(part, layout)
        if not service.alive:
            service = service.started()
            state.save(layout, state.load(layout).including([service]))
    service.wait_ready()


def stop(part: str, layout: Layout | None = None) -> None:
    """Ask the part to end, and wait until it has; it is killed after its deadline."""
    service = _service(part, layout or Layout.of())
    if service.process is not None:
        processes.end([service.process], service.stop_seconds)


def kill(part: str, layout: Layout | None = None) -> None:
    """Kill the part as a crash would, and wait until it is gone."""
    service = _service(part, layout or Layout.of())
    if service.process is not None and processes.send(service.process, signal.SIGKILL):
        processes.wait_gone([service.process], _KILL_SECONDS)


def restart(part: str, layout: Layout | None = None) -> None:
    """Stop the part, start it again and wait until it is ready."""
    stop(part, layout)
    start(part, layout)


def _service(part: str, layout: Layout) -> Service:
    services = state.load(layout).services
    if part not in services:
        msg = f"no part {part!r} was started here; there are: {', '.join(services) or 'none'}"
        raise DevClusterError(msg)
    return services[part]
