"""End services with all that they started, and remove the folder they worked in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import processes
from devcluster.errors import DevClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devcluster.services import Service

_CHILD_SECONDS = 5.0
_SHIMS = "containerd"
"""How the programs begin that containerd leaves to run alone: they are nobody's children."""


def end_services(services: Iterable[Service]) -> None:
    """End these services, each before those it needs, and then what their processes started and left.

    Only processes are signalled whose id and start time were recorded, and their descendants. Raises `DevClusterError`
    if one cannot be ended.
    """
    left = {service.name: service for service in services}
    recorded = [service.process for service in left.values() if service.process is not None]
    children = processes.descendants(recorded)
    for socket in [service.probe.socket for service in left.values() if service.probe.socket]:
        shims = processes.having_argument(socket, _SHIMS)
        children += [*shims, *processes.descendants(shims)]
    while left:
        needed = {name for service in left.values() for name in service.after}
        stage = [service for name, service in left.items() if name not in needed]
        members = [service.process for service in stage if service.process is not None]
        processes.end(members, max(service.stop_seconds for service in stage))
        for service in stage:
            del left[service.name]
    processes.end(children, _CHILD_SECONDS)
    if stubborn := [process.pid for process in {*recorded, *children} if process.alive]:
        msg = f"these processes could not be ended: {stubborn}"
        raise DevClusterError(msg)


def remove_tree(folder: Path) -> None:
    """Unmount whatever is mounted below the folder, the innermost first, and remove the folder."""
    for point in reversed(_mount_points(folder)):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
    if left := _mount_points(folder):
        msg = f"these mounts could not be ended, so {folder} stays: {', '.join(left)}"
        raise DevClusterError(msg)
    if folder.exists():
        shutil.rmtree(folder)


def _mount_points(folder: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    return [point for point in points if Path(point).is_relative_to(folder)]
