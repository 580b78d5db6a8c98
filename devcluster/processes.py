"""Start and end processes, told apart by id and start time so that a recycled id is never signalled."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PROC = Path("/proc")
_STATE, _PARENT, _START = 0, 1, 19
"""Places in /proc/<pid>/stat behind the closing bracket of the name: fields 3, 4 and 22 of proc(5)."""
_KILL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """Identify one process for as long as the machine runs.

    `start_time` is in clock ticks since boot. A process id may be given out again, but never with the same start.
    """

    pid: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Identify the process that has this id now, or None if there is none or it has ended already."""
        fields = _stat(pid)
        if fields is None:
            return None
        if fields[_STATE] in "ZX":
            with suppress(ChildProcessError):  # it is not ours to collect
                os.waitpid(pid, os.WNOHANG)
            return None
        return cls(pid=pid, start_time=int(fields[_START]))

    @property
    def alive(self) -> bool:
        """Say whether this very process still runs."""
        return Process.of(self.pid) == self


def spawn(argv: Sequence[str], *, environ: Mapping[str, str], log: Path) -> Process:
    """Start a program in a session of its own, with its output appended to the log.

    Nothing but the given environment is handed down, and the program outlives the caller.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        argv[0],
        list(argv),
        environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGINT],
    )
    fields = _stat(pid)  # there even if it has died: nobody else collects our child
    return Process(pid=pid, start_time=int(fields[_START]) if fields else 0)


def send(process: Process, number: signal.Signals) -> bool:
    """Signal this very process; answer False if it is gone.

    A process descriptor is opened before the start time is compared, so the id cannot change hands in between.
    """
    with ExitStack() as stack:
        descriptor = _open(process, stack)
        if descriptor is None:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
        return True


def wait_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Wait until the processes have ended and return those that have not when the time is up."""
    deadline = time.monotonic() + seconds
    left = []
    for process in processes:
        with ExitStack() as stack:
            descriptor = _open(process, stack)
            if descriptor is None:
                continue
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                left.append(process)
                continue
        Process.of(process.pid)  # collects it if it was our child
    return left


def end(processes: Sequence[Process], seconds: float) -> None:
    """Ask the processes to end, and kill those that have not after so many seconds."""
    for process in processes:
        send(process, signal.SIGTERM)
    left = wait_gone(processes, seconds)
    for process in left:
        send(process, signal.SIGKILL)
    wait_gone(left, _KILL_SECONDS)


def descendants(roots: Iterable[Process]) -> list[Process]:
    """List the living children of these processes, their children, and so on."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        if fields := _stat(pid):
            children.setdefault(int(fields[_PARENT]), []).append(pid)
    found = []
    waiting = [root.pid for root in roots if root.alive]
    while waiting:
        for pid in children.get(waiting.pop(), []):
            if process := Process.of(pid):
                found.append(process)
                waiting.append(pid)
    return found


def having_argument(argument: str, program: str) -> list[Process]:
    """List the processes that have this argument and whose program's name begins so."""
    found = []
    for pid in _pids():
        with suppress(OSError):
            arguments = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
            named = Path(arguments[0]).name.startswith(program)
            if named and argument in arguments[1:] and (process := Process.of(pid)):
                found.append(process)
    return found


def boot_id() -> str:
    """Read what tells this boot of the machine from every other."""
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _open(process: Process, stack: ExitStack) -> int | None:
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    stack.callback(os.close, descriptor)
    return descriptor if process.alive else None


def _pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
