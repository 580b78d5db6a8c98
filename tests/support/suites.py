"""Run the suites of `make test`, all of them whatever fails, and say at the end which failed.

    python -m tests.support.suites integration --beside unit chart e2e --after coverage-report

Each suite is a target of make. The first runs in the foreground; those beside it run one after the other at a lower
priority, until the first has ended, each with a log of its own that is shown then; those after it run last.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOGS = Path(".dev") / "suites"
_GENTLY = ("nice", "-n", "10")
"""A tenth of what others get. With less, suites do not end where something else keeps all processors busy."""
_KILLED = 128
"""Shells add this to the number of the signal that ended a command."""
_TERMINATED = _KILLED + signal.SIGTERM
_INTERRUPTED = _KILLED + signal.SIGINT


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say how a suite ended; `status` is that of its make."""

    suite: str
    status: int
    seconds: float

    def __str__(self) -> str:
        """Say it in one line."""
        verdict = "ok" if self.status == 0 else f"FAILED (exit status {self.status})"
        return f"make {self.suite}: {verdict} in {self.seconds:.0f} s"


class Suites:
    """Run suites, and end those that run when this is asked to end."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._gently = True
        self._ending = 0

    def foreground(self, suite: str) -> Outcome:
        """Run a suite; its output is ours."""
        outcome = self._run(suite, (), None)
        self._gently = False
        return outcome

    def beside(self, suite: str) -> Outcome:
        """Run a suite, at a lower priority while one is in the foreground; its output goes to its log."""
        with log_of(suite).open("wb") as log:
            return self._run(suite, _GENTLY if self._gently else (), log.fileno())

    @contextmanager
    def ended_by_signals(self) -> Iterator[None]:
        """Begin nothing more after an interrupt, which the terminal sends to the suites as well, or a SIGTERM."""
        before = {number: signal.signal(number, self._end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: int, _: object) -> None:
        self._ending = _INTERRUPTED if number == signal.SIGINT else _TERMINATED
        if number == signal.SIGTERM:
            for process in tuple(self._running):
                process.terminate()

    def _run(self, suite: str, before: Sequence[str], output: int | None) -> Outcome:
        if self._ending:
            return Outcome(suite, self._ending, 0.0)
        began = time.monotonic()
        command = [*before, "make", "--no-print-directory", suite]
        errors = None if output is None else subprocess.STDOUT
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        self._running.add(process)
        if self._ending == _TERMINATED:  # it came while the process began
            process.terminate()
        status = process.wait()
        self._running.discard(process)
        return Outcome(suite, status if status >= 0 else _KILLED - status, time.monotonic() - began)


def log_of(suite: str) -> Path:
    """Locate the log of a suite that runs beside others."""
    return LOGS / f"{suite}.log"


def run(first: str, beside: Sequence[str], after: Sequence[str]) -> list[Outcome]:
    """Run all suites and return how each of them ended, in the order in which they are shown."""
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    suites = Suites()
    with ThreadPoolExecutor(max_workers=1) as pool, suites.ended_by_signals():
        futures: list[Future[Outcome]] = [pool.submit(suites.beside, suite) for suite in beside]
        outcomes = [suites.foreground(first)]
        for suite, future in zip(beside, futures, strict=True):
            _say(f"\n--- make {suite}, beside make {first}")
            outcomes.append(future.result())
            _show(log_of(suite))
        return [*outcomes, *map(suites.foreground, after)]


def main(arguments: Sequence[str]) -> int:
    """Return 0 if all are good, else 1; the last lines say how each ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.suites", description=__doc__)
    parser.add_argument("first", metavar="TARGET")
    parser.add_argument("--beside", nargs="+", default=[], metavar="TARGET")
    parser.add_argument("--after", nargs="+", default=[], metavar="TARGET")
    options = parser.parse_args(arguments)
    if options.beside:
        _say(f"beside make {options.first}: {', '.join(options.beside)}; {LOGS} has what they say, shown at the end")
    outcomes = run(options.first, options.beside, options.after)
    _say("\n" + "\n".join(map(str, outcomes)))
    failed = [outcome.suite for outcome in outcomes if outcome.status]
    _say(f"tests: FAILED, again by: make {shlex.join(failed)}" if failed else "tests: ok")
    return 1 if failed else 0


def _show(log: Path) -> None:
    if log.exists():
        sys.stdout.buffer.write(log.read_bytes())
        sys.stdout.flush()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
