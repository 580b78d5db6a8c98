"""Describe a part of the cluster as one process to run, start it and wait until it is ready."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import processes
from devcluster.errors import DevClusterError
from devcluster.probes import Probe
from devcluster.processes import Process

if TYPE_CHECKING:
    from collections.abc import Mapping

_POLL_SECONDS = 0.05
_LOG_LINES_SHOWN = 8
_PORT_TAKEN = "address already in use"


class PortTakenError(DevClusterError):
    """Say that another program took a picked port first, so that new ones are to be picked."""


@dataclass(frozen=True, slots=True)
class Service:
    """Describe one process: how it is run, how it shows that it is ready, and which process it is now.

    `address` is what a person wants to know of it. `after` names parts that have to be ready first. `stale` are files
    that a killed process leaves and that would stop the next one. `ready_seconds` and `stop_seconds` are deadlines.
    """

    name: str
    argv: tuple[str, ...]
    probe: Probe
    log: str
    address: str
    environ: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    ready_seconds: float = 60.0
    stop_seconds: float = 15.0
    process: Process | None = None

    @property
    def alive(self) -> bool:
        """Say whether the process that was started still runs."""
        return self.process is not None and self.process.alive

    @property
    def ready(self) -> bool:
        """Say whether the process runs and answers."""
        return self.alive and self.probe.answered()

    def started(self) -> Service:
        """Start the process and return the service with it."""
        for path in self.stale:
            Path(path).unlink(missing_ok=True)
        return replace(self, process=processes.spawn(self.argv, environ=self.environ, log=Path(self.log)))

    def wait_ready(self) -> None:
        """Wait until the part answers.

        Raises `PortTakenError` if it ended because its port was taken, `DevClusterError` if it ended otherwise or is
        not ready in time; both show the end of its log.
        """
        deadline = time.monotonic() + self.ready_seconds
        while not self.ready:  # an answer alone may come from another program on the same port
            if not self.alive:
                tail = self._log_tail()
                kind = PortTakenError if _PORT_TAKEN in tail.lower() else DevClusterError
                msg = f"{self.name} ended before it was ready; its log is {self.log}\n{tail}"
                raise kind(msg)
            if time.monotonic() > deadline:
                tail = self._log_tail()
                msg = f"{self.name} is not ready after {self.ready_seconds:g} s; its log is {self.log}\n{tail}"
                raise DevClusterError(msg)
            time.sleep(_POLL_SECONDS)

    def _log_tail(self) -> str:
        lines = Path(self.log).read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES_SHOWN:])
