"""An exception inside a tool that nobody foresaw, in an operator with real parts around it."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from devcluster import env
from devcluster.install import install
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG
from tests.support.admission import ApiServer
from tests.support.control_plane import private_control_plane
from tests.support.failing_tools import PLANTED
from tests.support.objects import Objects, reason
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.integration

SPECS = {
    IMAGE_PULL: {"image": "registry.example/app:1"},
    IMAGE_PUSH: {"image": "registry.example/app:1"},
    IMAGE_TAG: {"source": "registry.example/app:1", "target": "registry.example/app:2"},
}
EVENT_SECONDS = 30.0


@pytest.mark.feature("tool.exception")
def test_an_unforeseen_exception_ends_its_attempt_and_nothing_else(tmp_path: Path) -> None:
    """InternalError with an Event and a closed entry in history, on all kinds; its text is told nowhere."""
    log = tmp_path / "operator.log"
    with private_control_plane() as plane, closing(ApiServer(plane.kubeconfig)) as api:
        install(Path(plane.kubeconfig))
        daemons = env.load().imageops_daemons
        command = ("-m", "tests.support.failing_tools", "operator")
        operator = OperatorProcess(plane.kubeconfig_operator, daemons, log, command=command)
        objects = Objects(api, "default")
        operator.start()
        try:
            for kind, spec in SPECS.items():
                body = objects.run(kind, "app", {**spec, "daemonName": "default", "backoffLimit": 1})
                status = body["status"]
                assert reason(body) == "BackoffLimitExceeded"
                assert status["error"]["reason"] == "InternalError"
                assert [(entry["outcome"], entry["reason"]) for entry in status["history"]] == [
                    ("Failed", "InternalError")
                ] * 2
                assert all("completionTime" in entry for entry in status["history"])
            deadline = time.monotonic() + EVENT_SECONDS
            while len(events := [event for event in objects.events("app") if event["type"] == "Warning"]) < 2 * len(
                SPECS
            ):
                assert time.monotonic() < deadline, events
                time.sleep(0.1)
            told = f"{[objects.get(kind, 'app') for kind in SPECS]} {events} {operator.read('metrics')}"
        finally:
            operator.stop()
    assert PLANTED not in told + log.read_text(encoding="utf-8")
