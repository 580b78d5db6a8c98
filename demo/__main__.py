"""Run the demonstration: `python -m demo`. Its last line begins with "demo: ok" or "demo: FAILED"."""

from __future__ import annotations

import secrets
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import requests
from rich.console import Console

from demo.errors import DemoError
from demo.promotion import Promotion, example
from demo.proof import Place, prove_equal
from demo.show import LiveView, events_table, steps_table
from devcluster.during import cluster_up
from devcluster.errors import DevClusterError
from devcluster.gate import RegistryGate
from devcluster.images import push_image
from devcluster.install import install
from devcluster.kubeconfig import Access, KubeClient
from devcluster.operator_process import operator_running

if TYPE_CHECKING:
    from demo.promotion import Operation
    from devcluster.env import Environment
    from devcluster.images import PushedImage
    from devcluster.services import Service

_LAYERS = (22_000_000, 12_000_000, 8_000_000, 5_000_000, 3_000_000)
"""Bytes of each layer of each platform: large and small ones, 50 MB in all."""
_PLATFORMS = ("linux/amd64", "linux/arm64")
_BYTES_PER_SECOND = 11_000_000
"""Rate of both registries. Without a limit all is done before anybody has seen a bar move."""
_RUN_SECONDS = 180.0
_WIDTH_OF_LOGS = 160
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED = 130
_REPOSITORY, _TAG = "app", "1.4.2"
"""What the example promotes."""


def main() -> int:
    """Run the demonstration and return its exit status: 0 ok, 1 failed, 130 interrupted."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_LOGS)
    began = time.monotonic()
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        result = _perform(console)
    except KeyboardInterrupt:
        return _failed(console, "interrupted", _INTERRUPTED)
    except (DemoError, DevClusterError, requests.RequestException, TimeoutError) as error:
        return _failed(console, str(error), 1)
    except Exception as error:  # noqa: BLE001 - whatever happens, the last line and the exit status say so
        console.print_exception()
        return _failed(console, type(error).__name__, 1)
    _say(console, f"demo: ok {result}, in {time.monotonic() - began:.0f} s")
    return 0


def _perform(console: Console) -> str:
    with ExitStack() as stack:
        _heading(console, "A Kubernetes API, two Docker Engines and three registries on this machine")
        cluster = stack.enter_context(cluster_up(lambda line: _say(console, f"  {line}")))
        install(Path(cluster.kubeconfig))
        operator = stack.enter_context(operator_running(cluster, "demo-operator"))
        _say(console, f"  operator                 ready, health and metrics at http://{operator.address}")
        run = secrets.token_hex(3)
        image = _make_image(console, cluster, run)
        registries = (cluster.registry, cluster.registry_target)
        gates = [stack.enter_context(RegistryGate(each, bytes_per_second=_BYTES_PER_SECOND)) for each in registries]
        source, target = (f"{gate.address}/demo-{run}" for gate in gates)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        client = stack.enter_context(KubeClient(Access.read(Path(cluster.kubeconfig_team_a)), folder))
        manifest = example(suffix=run, hosts={"staging.example.com": source, "prod.example.com": target})
        promotion = Promotion(client, "team-a", manifest)
        stack.callback(promotion.delete)
        try:
            _promote(console, promotion, operator)
            return _prove(console, image, Place(cluster.registry_target, image.repository, image.tag))
        finally:
            _ignore_signals()  # what follows ends everything; it takes a few seconds and must not be cut short
            _heading(console, "Ending what was started")


def _make_image(console: Console, cluster: Environment, run: str) -> PushedImage:
    _heading(console, "An image in the source registry")
    image = push_image(
        cluster.registry,
        f"demo-{run}/{_REPOSITORY}",
        _TAG,
        layers=_LAYERS,
        platforms=_PLATFORMS,
        attestations=True,
        seed=int(run, 16),
    )
    what = f"{len(_PLATFORMS)} platforms of {len(_LAYERS)} layers with an attestation each"
    _say(console, f"  {image.reference}: {what}, {image.layer_bytes / 1e6:.0f} MB")
    _say(console, f"  {image.digest}")
    return image


def _promote(console: Console, promotion: Promotion, operator: Service) -> None:
    _heading(console, "examples/promote.yaml, applied by a user who may edit the namespace team-a and nothing else")
    promote = promotion.manifest["spec"]["steps"][0]["promote"]
    _say(console, f"  {promote['source']} -> {promote['target']}")
    promotion.apply()
    session: dict[str, Any] = {}
    operations: list[Operation] = []
    with LiveView(console) as view:
        for state in promotion.states(_RUN_SECONDS):
            session, operations = state
            view.update(operations)
            if not operator.alive:
                msg = f"the operator has ended; its log is {operator.log}"
                raise DemoError(msg)
    console.print()
    console.print(steps_table(session, operations))
    console.print(events_table(promotion.events()))
    if session["status"]["phase"] != "Succeeded":
        ready = next(it for it in session["status"]["conditions"] if it["type"] == "Ready")
        msg = f"the Session ended {ready['reason']}: {ready['message']}"
        raise DemoError(msg)


def _prove(console: Console, image: PushedImage, target: Place) -> str:
    _heading(console, "What the two registries say themselves")
    source = Place(image.registry, image.repository, image.tag)
    proof = prove_equal(source, target)
    _say(console, f"  source {proof.digest}")
    _say(console, f"  target {proof.digest}")
    parts = f"{proof.images} images, {proof.attestations} attestations and {proof.blobs} blobs"
    if (proof.images, proof.attestations) != (len(_PLATFORMS), len(_PLATFORMS)):
        msg = f"the target has {parts}"
        raise DemoError(msg)
    _say(console, f"  the same index, byte by byte; the target has all its {parts}")
    return f"promoted {proof.digest} bit for bit"


def _interrupt(_number: int, _frame: object) -> NoReturn:
    _ignore_signals()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _failed(console: Console, why: str, status: int) -> int:
    _say(console, f"demo: FAILED {why}")
    return status


def _heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]", highlight=False)


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
