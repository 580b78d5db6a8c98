"""Measure another commit and this tree in turn, with the same interpreter on the same cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.pairs import Comparison
from devcluster import during
from devcluster.errors import DevClusterError
from devcluster.layout import CHECKOUT, Layout

_LINES_SHOWN = 15
_Medians = dict[tuple[str, str], float]
"""The median of each figure, by its name and unit."""


def compare(base: str, pairs: int, options: Sequence[str], say: Callable[[str], None]) -> list[Comparison]:
    """Measure `base` and this tree as it stands so many times in turn; `options` go to each measurement.

    Each side measures with its own code of this package, as that looks inside the operator. What only one side measures
    is left out, and said.

    Raises:
        DevClusterError: There is no such commit, the cluster does not come up, or a side cannot be measured.

    """
    with _checked_out(base) as folder, during.cluster_up(say):
        sides: dict[Path, list[_Medians]] = {folder: [], CHECKOUT: []}
        for pair in range(pairs):
            # Who is first changes, so that neither side always follows the other's traces.
            order = (folder, CHECKOUT) if pair % 2 == 0 else (CHECKOUT, folder)
            began = time.monotonic()
            for side in order:
                sides[side].append(_measured(side, options))
            say(f"pair {pair + 1} of {pairs} took {time.monotonic() - began:.0f} s")
    return comparisons(sides[folder], sides[CHECKOUT], say)


def comparisons(old: Sequence[_Medians], new: Sequence[_Medians], say: Callable[[str], None]) -> list[Comparison]:
    """Set the two sides' medians beside each other, figure by figure."""
    for name, _ in old[0].keys() ^ new[0].keys():
        say(f"only one side measures: {name.strip()}")
    return [
        Comparison(name, unit, [one[name, unit] for one in old], [one[name, unit] for one in new])
        for name, unit in new[0]
        if (name, unit) in old[0]
    ]


@contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    """Have a commit in a folder of its own while the block runs."""
    with tempfile.TemporaryDirectory(prefix="imageops-bench-") as parent:
        folder = Path(parent) / "old"
        try:
            _git("worktree", "add", "--detach", str(folder), commit)
            yield folder
        finally:
            if folder.exists():
                _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> None:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}"
        raise DevClusterError(msg)


def _measured(side: Path, options: Sequence[str]) -> _Medians:
    """Measure a tree once, on the cluster of this one."""
    environ = os.environ | {
        "PYTHONPATH": f"{side}:{side}/operator",
        "IMAGEOPS_CLUSTER": str(Layout.of().checkout),
    }
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, "-m", "bench", "--json", file.name, *options]
        # In a session of its own an interrupt reaches it once, from here, and it has the time to end its operator.
        with subprocess.Popen(
            command,
            cwd=side,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as measuring:
            try:
                said, _ = measuring.communicate()
            except BaseException:
                measuring.send_signal(signal.SIGINT)
                measuring.communicate()
                raise
        if measuring.returncode:
            tail = "\n".join(said.splitlines()[-_LINES_SHOWN:])
            msg = f"measuring {side} failed:\n{tail}"
            raise DevClusterError(msg)
        figures = json.loads(Path(file.name).read_bytes())["figures"]
    return {(one["name"], one["unit"]): one["percentiles"]["P50"] for one in figures}
