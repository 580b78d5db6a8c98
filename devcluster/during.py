"""Have the cluster up while something runs, and leave the machine as it was."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from devcluster import env, state
from devcluster.cluster import Cluster
from devcluster.layout import Layout
from devcluster.units import GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from devcluster.env import Environment


_KILLED = 128
"""Shells add this to the number of the signal that ended a command."""


@contextmanager
def cluster_up(say: Callable[[str], None], layout: Layout | None = None) -> Iterator[Environment]:
    """Bring the cluster up for as long as the block runs; one that was up before, if only in part, stays up.

    Raises `DevClusterError` if it does not come up; what was started is ended then too.
    """
    layout = layout or Layout.of()
    cluster = Cluster(layout, os.environ, say)
    was_up = bool(state.load(layout).services)
    try:
        cluster.up(GROUPS)
        yield env.load(layout.env)
    finally:
        if not was_up:
            cluster.down()


def run_during(command: Sequence[str], say: Callable[[str], None]) -> int:
    """Run a command with the cluster up, and return its exit status.

    An interrupt from the terminal reaches the command as well; it is the command that answers it.
    """
    with cluster_up(say):
        before = signal.signal(signal.SIGINT, lambda *_: None)  # unlike SIG_IGN, the command does not inherit this
        try:
            status = subprocess.run(command, check=False).returncode
        finally:
            signal.signal(signal.SIGINT, before)
    return status if status >= 0 else _KILLED - status
