"""Run a command with a Kubernetes node of its own: `python -m e2e COMMAND [ARGUMENT …]`."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from devcluster import finding
from devcluster.errors import DevClusterError
from devcluster.layout import CHECKOUT, cache_folder
from devcluster.machine import Purpose, make_ready
from devcluster.parts import HELM_4, KSTATUS, KUBECTL, Part
from e2e.errors import NodeError
from e2e.images import ENGINE_PARTS, make_images
from e2e.isolation import cgroup_of, isolated, remove_cgroups
from e2e.node import PROGRAMS
from e2e.plan import Plan

LOGS = CHECKOUT / ".dev" / "e2e"
CLIENTS = (KUBECTL, HELM_4, KSTATUS)
"""What the trials use."""
_INTERRUPTED = 130


def main(command: Sequence[str]) -> int:
    """Return the exit status of the command; the last line says whether it is good."""
    console = Console(stderr=True, soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    begun = time.monotonic()
    try:
        status = _run(command, say)
        verdict = "" if status == 0 else f"exit status {status}; logs are in {LOGS}"
    except (NodeError, DevClusterError) as error:
        status, verdict = 1, str(error)
    except KeyboardInterrupt:
        status, verdict = _INTERRUPTED, "interrupted"
    took = f"{time.monotonic() - begun:.0f} s"
    say(f"e2e: FAILED after {took}: {verdict}" if verdict else f"e2e: ok in {took}")
    return status


def _run(command: Sequence[str], say: Callable[[str], None]) -> int:
    make_ready(Purpose.TESTS, os.environ, say)
    ways = finding.standard_ways(os.environ, say)
    found: dict[str, str] = {}

    def find(part: Part) -> Path:
        if part.name not in found:
            found[part.name] = str(finding.find(part, ways).path)
        return Path(found[part.name])

    for part in (*PROGRAMS, *ENGINE_PARTS, *CLIENTS):  # nothing can be installed or built once it has begun
        find(part)
    images = make_images(cache_folder(os.environ), find, say)
    run = Path(f"/tmp/imageops-n{secrets.token_hex(3)}")  # noqa: S108 - short, and made with mode 0700
    run.mkdir(mode=0o700)
    try:
        Plan(found, images, command).write(run)
        return isolated([sys.executable, "-m", "e2e.inside", str(run)])
    finally:
        remove_cgroups(cgroup_of(run))
        shutil.rmtree(LOGS, ignore_errors=True)
        if (logs := run / ".dev" / "logs").exists():
            shutil.move(logs, LOGS)
        shutil.rmtree(run)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what a time limit sends is to end the node as well
    sys.exit(main(sys.argv[1:]))
