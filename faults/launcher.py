"""Start operators quickly: a process that has imported all of it once, and forks one for each request.

An operator started so is the one of `python -m imageops operator`: the same command, in a process of its own. A trial
kills it at least once, and nine tenths of a start from nothing would be imports.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import random
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from faults import defects
from imageops.cli.main import main as run_command

_ROOT = Path(__file__).parents[1]
_ENDED = 1
_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent ends."""


def serve() -> None:
    """Fork an operator for each line of the input, and say its process id."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system collects them
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(request["environment"], Path(request["log"]), request["defect"])
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _become(environment: Mapping[str, str], log: Path, defect: str | None) -> None:
    """Go on as the operator, and end with it."""
    status = _ENDED
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # none outlives the one who would end it
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, descriptor in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, descriptor)
        os.environ.update(environment)
        random.seed()
        if defect is not None:
            defects.plant(defect)
        status = run_command(["operator"])
    finally:
        sys.stdout.flush()
        os._exit(status)


class OperatorProcess:
    """One operator process, held by a descriptor so that no other is ever signalled in its place."""

    def __init__(self, pid: int) -> None:
        """Take hold of it."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._descriptor: int | None = None
        try:
            self._descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self.ended.set_result(None)
        else:
            asyncio.get_running_loop().add_reader(self._descriptor, self._note_end)

    def _note_end(self) -> None:
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        if not self.ended.done():
            self.ended.set_result(None)

    async def kill(self) -> None:
        """End it as a crash would, and return when it is gone."""
        if self._descriptor is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        await asyncio.shield(self.ended)


class Launcher:
    """The process that forks operators."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Take a process that runs `serve`."""
        self._process = process
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls) -> Launcher:
        """Start it."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "faults.launcher",
                cwd=_ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )

    async def launch(self, environment: Mapping[str, str], log: Path, *, defect: str | None = None) -> OperatorProcess:
        """Start an operator with these variables, its output appended to a file; `defect` names a planted one."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError
        request = {"environment": dict(environment), "log": str(log), "defect": defect}
        async with self._turn:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            await self._process.stdin.drain()
            return OperatorProcess(int(await self._process.stdout.readline()))

    async def close(self) -> None:
        """End it; operators are ended before."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()


if __name__ == "__main__":
    serve()
