"""Build a program from its Go module into the shared cache, once, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from devcluster.errors import DevClusterError
from devcluster.locking import locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devcluster.parts import GoBuild

_REPORT_SECONDS = 10.0
_LOG_LINES_SHOWN = 15


class GoBuilder:
    """Build programs with the Go tool chain and keep the results by name and version.

    Builds of one program by several checkouts take turns by a file lock; the loser finds the winner's result. A result
    appears by rename, so an interrupted build leaves nothing that could be taken for a program.
    """

    def __init__(self, cache: Path, say: Callable[[str], None]) -> None:
        self._programs = cache / "bin"
        self._work = cache / "work"
        self._logs = cache / "logs"
        self._say = say

    def cached(self, go: GoBuild) -> Path | None:
        """Find the program if it has been built before."""
        program = self._programs / go.cache_name
        return program if os.access(program, os.X_OK) else None

    def build(self, go: GoBuild) -> Path:
        """Build the program, or return it at once if it is there.

        Raises `DevClusterError` if there is no Go tool chain or the build fails.
        """
        lock = self._work / f"{go.cache_name}.lock"
        with locked(lock, lambda: self._say(f"{go.cache_name}: another checkout is building it, waiting")):
            if program := self.cached(go):
                return program
            return self._build(go)

    def _build(self, go: GoBuild) -> Path:
        if shutil.which("go") is None:
            msg = f"{go.program} {go.version} has to be built, and that takes Go 1.26 or newer on PATH"
            raise DevClusterError(msg)
        if go.cgo and shutil.which(os.environ.get("CC", "cc")) is None:
            msg = f"{go.program} {go.version} has to be built, and that takes a C compiler: install the package gcc"
            raise DevClusterError(msg)
        for folder in (self._programs, self._work, self._logs):
            folder.mkdir(parents=True, exist_ok=True)
        work = self._work / go.cache_name
        shutil.rmtree(work, ignore_errors=True)  # what an interrupted build left
        work.mkdir()
        started = time.monotonic()
        flags = ["-trimpath", f"-ldflags={' '.join(['-s -w', *(f'-X {stamp}' for stamp in go.stamps)])}"]
        if go.staging:
            self._write_module(work, go)
            self._run(go, ["go", "mod", "tidy"], work, started)
            self._run(go, ["go", "build", *flags, "-o", f"{work}/{go.program}", go.package], work, started)
        elif go.vendored:
            self._copy_module(work / "module", go)
            command = ["go", "build", "-mod=mod", *flags, "-o", f"{work}/{go.program}", go.package]
            self._run(go, command, work / "module", started)
        elif go.source:
            self._run(go, ["go", "build", *flags, "-o", f"{work}/{go.program}", "."], go.source, started)
        else:
            self._run(go, ["go", "install", *flags, f"{go.package}@{go.version}"], work, started)
        program = self._programs / go.cache_name
        (work / go.program).replace(program)
        shutil.rmtree(work)
        self._say(f"{go.cache_name}: built in {_clock(time.monotonic() - started)}")
        return program

    def _write_module(self, work: Path, go: GoBuild) -> None:
        """Write a go.mod that requires the module and repeats its replace lines, with published versions for folders.

        A module that is developed in a folder beside it is taken as published: at the version that its go.mod requires,
        or, where Kubernetes writes v0.0.0 for release v1.X.Y, at v0.X.Y.
        """
        download = _json(["go", "mod", "download", "-json", f"{go.module}@{go.version}"], work)
        module = _json(["go", "mod", "edit", "-json", download["GoMod"]], work)
        published = f"v0.{go.version.split('.', 1)[1]}"
        beside = [entry["Path"] for entry in module["Require"] if entry["Version"] == "v0.0.0"]
        others = [(entry["Old"]["Path"], entry["New"]) for entry in module["Replace"] if "Version" in entry["New"]]
        lines = ["module devcluster/build", f"go {module['Go']}", f"tool {go.package}"]
        lines += [f"require {go.module} {go.version}"]
        lines += [f"replace {path} => {path} {published}" for path in beside]
        lines += [f"replace {path} => {new['Path']} {new['Version']}" for path, new in others]
        (work / "go.mod").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _copy_module(self, folder: Path, go: GoBuild) -> None:
        """Copy the module's source, with the file of its requirements under the name that the tool chain reads."""
        download = _json(["go", "mod", "download", "-json", f"{go.module}@{go.version}"], folder.parent)
        shutil.copytree(
            download["Dir"], folder, copy_function=shutil.copyfile
        )  # what the tool chain keeps is read-only
        for path in (folder, *(each for each in folder.rglob("*") if each.is_dir())):
            path.chmod(0o755)
        for ending in ("mod", "sum"):
            (folder / f"vendor.{ending}").rename(folder / f"go.{ending}")

    def _run(self, go: GoBuild, command: list[str], folder: Path, started: float) -> None:
        log = self._logs / f"{go.cache_name}.log"
        environ = os.environ | {"GOBIN": str(folder), "CGO_ENABLED": "1" if go.cgo else "0", "GOWORK": "off"}
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                ["nice", *command], cwd=folder, env=environ, stdout=output, stderr=output, start_new_session=True
            )
            try:
                while True:
                    self._say(
                        f"{go.cache_name}: building, {_clock(time.monotonic() - started)} of about {go.minutes:g} min"
                    )
                    try:
                        code = process.wait(_REPORT_SECONDS)
                        break
                    except subprocess.TimeoutExpired:
                        continue
            except BaseException:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
                raise
        if code:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES_SHOWN:])
            msg = f"building {go.cache_name} failed; the whole log is {log}\n{tail}"
            raise DevClusterError(msg)


def _json(command: list[str], work: Path) -> dict[str, Any]:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}"
        raise DevClusterError(msg)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
