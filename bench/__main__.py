"""Run the measurements: `python -m bench`. They are printed; `--json FILE` keeps every raw sample too.

With `--base COMMIT` that commit and this tree are measured in turn, and what became worse is said.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from bench import against, latency, tracking, transfers
from bench.figures import Figure, figures_table, ratios_table
from bench.gaps import share_taken
from bench.pairs import BAR, LEAST_PAIRS, Verdict, comparisons_table, raw_lines
from devcluster import during, install
from devcluster.errors import DevClusterError
from devcluster.operator_process import operator_running

_WIDTH_OF_LOGS = 150
_IMPOSSIBLE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 0, 2 where measuring was not possible, 1 where a figure became worse."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_LOGS)
    machine = _machine()
    console.print(machine, highlight=False)
    try:
        return _measure(console, options, machine) if options.base is None else _compare(console, options)
    except DevClusterError as error:
        console.print(f"bench: {error}", style="red", markup=False, highlight=False)
        return _IMPOSSIBLE


def _compare(console: Console, options: argparse.Namespace) -> int:
    """Measure both sides of each pair, and return 1 if a figure became worse."""
    sizes = [f"--updates={options.updates}", f"--operations={options.operations}"]
    found = against.compare(options.base, options.pairs, sizes, _teller(console))
    console.print()
    for line in (line for each in found for line in raw_lines(each)):
        console.print(line, markup=False, highlight=False)
    console.print(comparisons_table(found))
    console.print(
        "A number is the median of one measurement, a ratio that of one pair, the interval one of order statistics."
        f" Worse is an interval wholly above {1 + BAR:g}.",
        highlight=False,
    )
    return int(any(each.verdict is Verdict.WORSE for each in found))


def _measure(console: Console, options: argparse.Namespace, machine: str) -> int:
    """Measure this tree alone; a missed goal is marked and is no failure."""
    figures = [tracking.coalesced(options.updates * 4), *tracking.written(options.updates)]
    _print(console, "Tracking, processor time", figures)
    with during.cluster_up(_teller(console)) as cluster:
        install.install(Path(cluster.kubeconfig))
        with operator_running(cluster, "bench-operator"):
            measured, ratios = latency.measure(cluster, options.operations)
            slow = transfers.measure(cluster)
    _print(console, "Latency, wall time", measured)
    console.print(ratios_table(ratios))
    _print(console, "Slow transfers, wall time", slow)
    console.print(f"Percentiles by nearest rank. Load average at the end {os.getloadavg()[0]:.1f}.", highlight=False)
    if options.json is not None:
        document = {"machine": machine, "figures": [figure.document() for figure in [*figures, *measured, *slow]]}
        options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return 0


def _teller(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(f"  {line}", markup=False, highlight=False)


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
    parser.add_argument(
        "--base", metavar="COMMIT", help="measure this commit and the present tree in turn, and compare"
    )
    parser.add_argument("--pairs", type=_pairs, default=LEAST_PAIRS, help=f"how often; {LEAST_PAIRS} at least")
    return parser


def _pairs(text: str) -> int:
    if not text.isdecimal() or int(text) < LEAST_PAIRS:
        msg = f"{LEAST_PAIRS} pairs at least, or the interval is too wide to tell anything"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
