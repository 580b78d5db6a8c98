"""Run the measurements: `python -m bench`. They are printed; `--json FILE` keeps every raw sample too."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import latency, tracking, transfers
from bench.figures import Figure, figures_table, ratios_table
from bench.gaps import share_taken
from devcluster import during, install
from devcluster.errors import DevClusterError
from devcluster.operator_process import operator_running

_WIDTH_OF_LOGS = 150


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status says only whether measuring was possible."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_LOGS)
    machine = _machine()
    console.print(machine, highlight=False)
    figures = [tracking.coalesced(options.updates * 4), *tracking.written(options.updates)]
    _print(console, "Tracking, processor time", figures)
    try:
        with during.cluster_up(lambda line: console.print(f"  {line}", markup=False, highlight=False)) as cluster:
            install.install(Path(cluster.kubeconfig))
            with operator_running(cluster, "bench-operator"):
                measured, ratios = latency.measure(cluster, options.operations)
                slow = transfers.measure(cluster)
    except DevClusterError as error:
        console.print(f"bench: {error}", style="red", markup=False, highlight=False)
        return 1
    _print(console, "Latency, wall time", measured)
    console.print(ratios_table(ratios))
    _print(console, "Slow transfers, wall time", slow)
    console.print(f"Percentiles by nearest rank. Load average at the end {os.getloadavg()[0]:.1f}.", highlight=False)
    if options.json is not None:
        document = {"machine": machine, "figures": [figure.document() for figure in [*figures, *measured, *slow]]}
        options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return 0


def _print(console: Console, title: str, figures: Sequence[Figure]) -> None:
    console.print()
    console.print(figures_table(title, figures))
    for figure in figures:
        console.print(f"  {figure.name.strip()}: {figure.clock}.", markup=False, highlight=False)


def _machine() -> str:
    return (
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors,"
        f" load average {os.getloadavg()[0]:.1f}, {share_taken():.1%} of a busy loop's time taken by others"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--updates", type=int, default=5_000, help="written updates; four times as many coalesced")
    parser.add_argument("--operations", type=int, default=60, help="operations of each kind to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all samples in a file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
