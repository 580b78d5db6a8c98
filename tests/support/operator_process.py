"""Run the operator as users run it: a process of its own, with a user that has only the operator's rights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import requests

from devcluster.ports import free_ports

READY_SECONDS = 60.0
STOP_SECONDS = 60.0


@dataclass(slots=True)
class OperatorProcess:
    """One operator process, started and ended as often as a test wants."""

    kubeconfig: str
    daemons: str
    log: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_ports(1)[0])
    command: Sequence[str] = ("-m", "imageops", "operator")
    """What Python is told to run."""
    _process: subprocess.Popen[bytes] | None = None
    _output: IO[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it is ready."""
        self._output = self.log.open("ab")
        environment = {
            **os.environ,
            "KUBECONFIG": self.kubeconfig,
            "IMAGEOPS_DAEMONS": self.daemons,
            "IMAGEOPS_HEALTH_HOST": "127.0.0.1",
            "IMAGEOPS_HEALTH_PORT": str(self.port),
            "IMAGEOPS_LOG_LEVEL": "DEBUG",
            **self.settings,
        }
        self._process = subprocess.Popen(
            [sys.executable, *self.command],
            env=environment,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Return when the operator watches."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            assert self._process is not None
            assert self._process.poll() is None, f"the operator ended with {self._process.returncode}; see {self.log}"
            assert time.monotonic() < deadline, f"the operator is not ready after {seconds} s; see {self.log}"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Tell whether /readyz is good."""
        return self._is_good("readyz")

    def is_alive(self) -> bool:
        """Tell whether /healthz is good."""
        return self._is_good("healthz")

    def _is_good(self, page: str) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/{page}", timeout=10).ok
        except requests.RequestException:
            return False

    def works(self) -> bool:
        """Tell whether it watches: a standby is ready and does not."""
        return self.is_ready() and not self.read("readyz").startswith("standby")

    def wait_works(self, seconds: float = READY_SECONDS) -> None:
        """Return when it watches."""
        deadline = time.monotonic() + seconds
        while not self.works():
            assert time.monotonic() < deadline, f"the operator does not work after {seconds} s; see {self.log}"
            time.sleep(0.05)

    def wait_ended(self, seconds: float) -> int:
        """Return the exit status of a process that ends by itself."""
        assert self._process is not None
        return self._process.wait(seconds)

    def read(self, page: str) -> str:
        """Return what a page of the health server says."""
        return requests.get(f"http://127.0.0.1:{self.port}/{page}", timeout=30).text

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it in its tracks, until `resume`."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on where it was stopped; one that goes on is left alone."""
        self.send(signal.SIGCONT)

    def send(self, how: signal.Signals) -> None:
        """Send it a signal, and leave it at that."""
        assert self._process is not None
        self._process.send_signal(how)

    def stop(self) -> int:
        """Ask it to end, and return its exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(how)
        try:
            status = self._process.wait(STOP_SECONDS)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(STOP_SECONDS)
            self._process = None
            if self._output is not None:
                self._output.close()
        return status
