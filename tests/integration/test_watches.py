"""Watches that break, and that are refused, while transfers run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from devcluster.env import Environment
from devcluster.install import install
from faults.director import Answer
from imageops.api.kinds import IMAGE_PULL
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.admission import ApiServer
from tests.support.api_front import WatchFaults, api_front
from tests.support.control_plane import private_control_plane
from tests.support.metrics import total
from tests.support.objects import Objects, reason
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.integration

SECONDS = 30.0
RATE = 60_000


def _error(code: int) -> bytes:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "etcd is unhappy"}
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


BREAKS = {
    "error-500": _error(500),
    "error-429": _error(429),
    "error-504": _error(504),
    "error-410": _error(410),
    "half-a-line": b'{"type":"MODIFIED","object":{"apiVersion":"imageops.dev/v1alpha1","ki',
    "half-a-line-ended": b'{"type":"MODIFIED","object":{"apiVersion":"imageops.dev/v1alpha1","ki\n',
    "a-page": b"<html><body>502 Bad Gateway</body></html>\n",
}
REFUSALS = (410, 404, 429, 500, 503)


@pytest.fixture
def plane(cluster: Environment, tmp_path: Path) -> Iterator[tuple[Objects, OperatorProcess, WatchFaults]]:
    """Give an API server with one operator, whose every request goes through a front."""
    with private_control_plane() as plane, api_front(plane.kubeconfig_operator, tmp_path) as (kubeconfig, faults):
        install(Path(plane.kubeconfig))
        operator = OperatorProcess(kubeconfig, cluster.imageops_daemons, tmp_path / "operator.log")
        operator.start()
        api = ApiServer(plane.kubeconfig)
        try:
            yield Objects(api, "default"), operator, faults
        finally:
            api.close()
            operator.stop()


def _has_begun(faults: WatchFaults, number: int) -> bool:
    return faults.begun["imagepulls"] >= number


def _await(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.feature("resume.watch")
def test_a_running_pull_survives_whatever_a_watch_is_answered(
    plane: tuple[Objects, OperatorProcess, WatchFaults],
    cluster: Environment,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The process stays, the one attempt goes on to its end, and a change made afterwards is seen each time."""
    objects, operator, faults = plane
    image = make_image(layers=[6_000_000])
    gate = make_gate(image.registry, bytes_per_second=RATE)
    pid = operator.pid
    objects.create(IMAGE_PULL, "app", {"image": through(gate, image)})
    objects.wait(IMAGE_PULL, "app", lambda body: bool((body["status"].get("progress") or {}).get("bytesDone")))
    never = {"image": f"{cluster.registry}/never:1", "imagePullPolicy": "Never", "suspend": True}
    for name, content in BREAKS.items():
        faults.break_next(content)
        objects.create(IMAGE_PULL, f"at-{name}", never)
        _await(lambda: faults.is_used_up, name)
        objects.wait(IMAGE_PULL, f"at-{name}", lambda body: body["status"]["phase"] == "Suspended")
    for status in REFUSALS:
        faults.break_next(_error(500))
        _await(lambda: faults.is_used_up, f"before {status}")
        before, faults.refusal = faults.begun["imagepulls"], Answer.refusal(status, "Whatever")
        objects.create(IMAGE_PULL, f"on-{status}", never)
        _await(partial(_has_begun, faults, before + 2), str(status))
        faults.refusal = None
        objects.wait(IMAGE_PULL, f"on-{status}", lambda body: body["status"]["phase"] == "Suspended")
    body = objects.get(IMAGE_PULL, "app")
    assert body["status"]["phase"] == "Running", "the pull ended before the last fault: it has proved nothing"
    gate.bytes_per_second = None
    body = objects.wait_finished(IMAGE_PULL, "app")
    assert (reason(body), body["status"]["attempts"], len(body["status"]["history"])) == ("Pulled", 1, 1)
    assert (operator.pid, operator.is_alive(), operator.read("readyz")) == (pid, True, "ok\n")
    assert total(operator, "imageops_watch_failures_total", resource="imagepulls") >= len(BREAKS) + len(REFUSALS)
