"""Run the development cluster: `python -m devcluster up|down|install|run|during|env|status|build`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from devcluster import env
from devcluster.cluster import Cluster
from devcluster.during import run_during
from devcluster.errors import DevClusterError
from devcluster.install import install
from devcluster.layout import Layout
from devcluster.operator_process import become_operator
from devcluster.units import GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed (or, for status, something is not ready)."""
    console = Console(stderr=True, soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    try:
        return _perform(_parser().parse_args(arguments), Layout.of(), say)
    except DevClusterError as error:
        console.print(f"devcluster: {error}", style="red", markup=False, highlight=False)
        return 1
    except FileNotFoundError:
        console.print("devcluster: nothing is up here; `python -m devcluster up` starts it", style="red")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; `python -m devcluster down` ends what was started")
        return _INTERRUPTED


def _perform(options: argparse.Namespace, layout: Layout, say: Callable[[str], None]) -> int:
    cluster = Cluster(layout, os.environ, say)
    match options.command:
        case "up":
            cluster.up(options.only)
        case "down":
            cluster.down()
        case "build":
            cluster.build(clients=options.clients)
        case "install":
            install(Path(env.load(layout.env).kubeconfig))
        case "run":
            become_operator(env.load(layout.env))
        case "during":
            return run_during(options.program, say)
        case "env":
            sys.stdout.write(layout.env.read_text(encoding="utf-8"))
        case _:
            return _status(cluster, layout)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devcluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start what is missing and wait until all is ready")
    up.add_argument(
        "--only", type=_groups, default=GROUPS, metavar="GROUPS", help=f"some of {','.join(GROUPS)}; all by default"
    )
    commands.add_parser("down", help="end exactly what up started and remove its data")
    commands.add_parser("install", help="apply the CRDs and roles to the API server")
    commands.add_parser("run", help="run the operator against the cluster, in the foreground")
    during = commands.add_parser("during", help="run a command with the cluster up, and end what was not up before")
    during.add_argument("program", nargs=argparse.REMAINDER, metavar="COMMAND", help="the command and its arguments")
    commands.add_parser("env", help="print the shell exports, a password among them: eval this")
    commands.add_parser("status", help="list the parts; exit 1 if one is not ready")
    build = commands.add_parser("build", help="find or build every program, and start none")
    build.add_argument("--clients", action="store_true", help="what only tests use, too: kubectl, helm, promtool…")
    return parser


def _groups(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := [name for name in chosen if name not in GROUPS]:
        msg = f"no group {', '.join(unknown)}; there are {', '.join(GROUPS)}"
        raise argparse.ArgumentTypeError(msg)
    return chosen


def _status(cluster: Cluster, layout: Layout) -> int:
    services = cluster.status()
    ready = bool(services)
    for service in services:
        word = "ready" if service.ready else "not answering" if service.alive else "ended"
        ready = ready and word == "ready"
        pid = service.process.pid if service.process else ""
        sys.stdout.write(f"{service.name:24} {word:14} {pid:>8}  {service.address}\n")
    sys.stdout.write(f"logs: {layout.logs}\n" if services else "nothing is up here\n")
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main())
