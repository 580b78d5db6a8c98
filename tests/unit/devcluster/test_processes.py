"""Processes are told apart by id and start time."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from devcluster import processes
from devcluster.processes import Process

_FOREVER = "import signal; signal.pause()"
_STUBBORN = "import signal, sys; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
_PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {_FOREVER!r}]); {_FOREVER}"


def _python(code: str, log: Path) -> Process:
    return processes.spawn([sys.executable, "-c", code], environ={}, log=log)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Locate a log file for a process."""
    return tmp_path / "log"


def _wait_for(holds: object) -> None:
    """Yield the processor until the condition holds; pytest's own limit ends it."""
    assert callable(holds)
    while not holds():
        os.sched_yield()


def test_a_process_with_a_recycled_id_is_never_signalled(log: Path) -> None:
    """A record whose start time is not that of the process with its id stands for nobody."""
    living = _python(_FOREVER, log)
    recycled = replace(living, start_time=living.start_time - 1)
    assert not recycled.alive
    assert not processes.send(recycled, signal.SIGKILL)
    processes.end([recycled], seconds=5)
    assert living.alive
    processes.end([living], seconds=5)
    assert not living.alive


def test_a_process_that_ended_is_not_alive_though_nobody_collected_it(log: Path) -> None:
    """A zombie keeps its id and start time, but it has ended."""
    process = _python("", log)
    assert processes.wait_gone([process], seconds=10) == []
    assert not process.alive
    assert Process.of(process.pid) is None


def test_a_process_deaf_to_the_request_is_killed_at_the_deadline(log: Path) -> None:
    """SIGTERM comes first, SIGKILL when the time is up."""
    process = _python(_STUBBORN, log)
    _wait_for(lambda: "deaf" in log.read_text())
    processes.end([process], seconds=0.1)
    assert not process.alive


def test_descendants_are_found_below_a_living_process(log: Path) -> None:
    """A child that a part starts is known, so that it can be ended with it."""
    parent = _python(_PARENT, log)
    _wait_for(lambda: processes.descendants([parent]))
    (child,) = processes.descendants([parent])
    assert child.pid != parent.pid
    processes.end([parent, child], seconds=5)
    assert not child.alive
    assert processes.descendants([parent]) == []


def test_a_started_program_gets_nothing_of_the_callers_environment(log: Path) -> None:
    """Settings of a shell, such as a proxy or DOCKER_CONFIG, reach no part; output goes to the log."""
    process = processes.spawn(
        [
            sys.executable,
            "-c",
            "import os; print(os.environ.get('HOME'), os.environ['OWN'], os.getsid(0) == os.getpid())",
        ],
        environ={"OWN": "1"},
        log=log,
    )
    processes.wait_gone([process], seconds=10)
    assert log.read_text() == "None 1 True\n"


def test_processes_are_found_by_an_argument_only_with_the_right_program(log: Path, tmp_path: Path) -> None:
    """An editor that shows the same path is no process of ours."""
    mark = str(tmp_path / "c.sock")
    process = processes.spawn([sys.executable, "-c", _FOREVER, "-address", mark], environ={}, log=log)
    _wait_for(lambda: processes.having_argument(mark, "python"))
    assert processes.having_argument(mark, "python") == [process]
    assert processes.having_argument(mark, "containerd") == []
    processes.end([process], seconds=5)
