"""Use the programs that GitOps pipelines apply and wait with: kubectl, Helm 4, and Flux's kstatus library."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from devcluster import finding, parts

Body = dict[str, Any]

DONE_SECONDS = 120.0
"""For a command that is not one that waits."""


@cache
def program(part: parts.Part) -> Path:
    """Find a program as the development cluster does, building it if it is not there."""
    return finding.find(part, finding.standard_ways(os.environ, print)).path


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a command."""

    code: int
    said: str
    """On both streams."""
    ended: float
    """When it ended, on the monotonic clock."""


@dataclass(slots=True)
class Running:
    """A command that has been started; what it says goes to a file."""

    process: subprocess.Popen[bytes]
    words: Path

    def wait_until_it_says(self, text: str, *, seconds: float = 30.0) -> None:
        """Return when the text is among what it has said."""
        deadline = time.monotonic() + seconds
        while text not in (said := self.words.read_text(encoding="utf-8", errors="replace")):
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {said}"
            assert time.monotonic() < deadline, f"it never said {text!r}: {said}"
            time.sleep(0.02)

    @property
    def waits(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def wait(self, seconds: float) -> Done:
        """Return what came of it."""
        try:
            code = self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        return Done(code, self.words.read_text(encoding="utf-8", errors="replace"), time.monotonic())


@dataclass(frozen=True, slots=True)
class Client:
    """A program that talks to the API server about one namespace, with a home folder of its own."""

    path: Path
    kubeconfig: str
    namespace: str
    home: Path

    def run(self, *words: str, stdin: str = "", good: Iterable[int] = (0,)) -> Done:
        """Run a command to its end, which must be one of the good ones."""
        done = subprocess.run(
            self._command(words),
            input=stdin,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DONE_SECONDS,
            check=False,
        )
        assert done.returncode in good, f"{words}: {done.returncode} {done.stdout}"
        return Done(done.returncode, done.stdout, time.monotonic())

    def start(self, *words: str) -> Running:
        """Start a command."""
        said = self.home / f"said-{time.monotonic_ns()}"
        with said.open("wb") as file:
            process = subprocess.Popen(
                self._command(words),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        return Running(process, said)

    def _command(self, words: Iterable[str]) -> list[str]:
        return [str(self.path), "--namespace", self.namespace, *words]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.home), "KUBECONFIG": self.kubeconfig}


MakeClient = Callable[[parts.Part, str], Client]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What kstatus says of an object."""

    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Kstatus:
    """Flux's own library, as a program."""

    path: Path

    def judge(self, bodies: Iterable[Body]) -> list[Verdict]:
        """Return the verdict about each object."""
        lines = "".join(f"{json.dumps(body)}\n" for body in bodies)
        done = subprocess.run([self.path], input=lines, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return [Verdict(**json.loads(line)) for line in done.stdout.splitlines()]


def manifest(body: Body) -> str:
    """Return what Git holds of an object: nothing that a server has added."""
    metadata = {key: body["metadata"][key] for key in ("name", "labels", "annotations") if body["metadata"].get(key)}
    kept = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata, "spec": body["spec"]}
    return str(yaml.safe_dump(kept))
