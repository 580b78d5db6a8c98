"""Attempts, retries and their limit on real parts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from devcluster.gate import RegistryGate
from imageops.api.kinds import IMAGE_PULL
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.objects import Body, Objects, condition, reason
from tests.support.operator_process import OperatorProcess
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration


def _server_error(gate: RegistryGate) -> None:
    gate.script(path=r"/v2/.+", status=503)


def _reset(gate: RegistryGate) -> None:
    gate.cut(path=r"/v2/.+")


def _silence(gate: RegistryGate) -> None:
    gate.stall(path=r".*/blobs/.*", after_bytes=1_000)


FAULTS: dict[str, tuple[Callable[[RegistryGate], None], str]] = {
    "server-error": (_server_error, "RegistryUnavailable"),
    "reset": (_reset, "RegistryUnavailable"),
    "silence": (_silence, "TimedOut"),
}


def _has_failed(body: Body) -> bool:
    return bool(body["status"].get("failedAttempts"))


@pytest.mark.feature("retry.only-retryable")
@pytest.mark.feature("tool.error-cleared")
def test_what_may_pass_is_tried_again(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """A 503, a reset and a timeout wait with reason and time, and succeed later; history keeps the failed attempt."""
    gates = {}
    for name, (fault, _) in FAULTS.items():
        image = make_image()
        gates[name] = make_gate(image.registry)
        fault(gates[name])
        spec = {"image": through(gates[name], image), "daemonName": engine.name, "timeoutSeconds": 6}
        objects.create(IMAGE_PULL, name, spec)
    for name, (_, expected) in FAULTS.items():
        failed = objects.wait(IMAGE_PULL, name, _has_failed)["status"]
        gates[name].release()
        assert failed["phase"] == "Pending"
        assert (failed["error"]["reason"], failed["error"]["class"]) == (expected, "Retryable")
        assert 3 <= failed["error"]["retryAfterSeconds"] <= 5
        ended = datetime.fromisoformat(failed["history"][0]["completionTime"])
        assert 3 <= (datetime.fromisoformat(failed["nextRetryTime"]) - ended).total_seconds() <= 7
    for name, (_, expected) in FAULTS.items():
        body = objects.wait_finished(IMAGE_PULL, name)
        status = body["status"]
        assert reason(body) == "Pulled"
        assert "error" not in status
        assert "nextRetryTime" not in status
        outcomes = [(entry["outcome"], entry["reason"], entry["attempt"]) for entry in status["history"]]
        assert outcomes == [("Failed", expected, 1), ("Succeeded", "Pulled", 2)]
        assert (status["attempts"], status["failedAttempts"], status["run"]) == (2, 1, 1)


@pytest.mark.feature("retry.limit")
def test_a_lasting_fault_ends_at_the_limit_across_a_crash(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    operator: OperatorProcess,
) -> None:
    """BackoffLimit 1 makes two attempts, a killed operator in between included, and keeps the cause."""
    image = make_image()
    gate = make_gate(image.registry)
    _server_error(gate)
    spec = {"image": through(gate, image), "daemonName": engine.name, "backoffLimit": 1}
    objects.create(IMAGE_PULL, "app", spec)
    planned = objects.wait(IMAGE_PULL, "app", _has_failed)["status"]["nextRetryTime"]
    operator.kill()
    operator.start()
    body = objects.wait_finished(IMAGE_PULL, "app")
    stalled = condition(body, "Stalled")
    assert stalled is not None
    assert stalled["reason"] == "BackoffLimitExceeded"
    status = body["status"]
    assert status["error"]["reason"] == "RegistryUnavailable"
    assert [entry["reason"] for entry in status["history"]] == ["RegistryUnavailable"] * 2
    assert (status["attempts"], status["failedAttempts"]) == (2, 2)
    assert status["history"][1]["startTime"] >= planned, "the wait was not cut short by the restart"


@pytest.mark.feature("retry.retry-after")
@pytest.mark.feature("limit.registry-budget")
def test_a_rate_limit_pauses_all_who_use_that_registry(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """A 429 is tried again after 60 s at the earliest; meanwhile another pull waits as Throttled without an attempt."""
    image, other, elsewhere = make_image(), make_image(), make_image()
    gate = make_gate(image.registry)
    gate.script(path=r"/v2/.+", status=429)
    objects.create(IMAGE_PULL, "limited", {"image": through(gate, image), "daemonName": engine.name})
    limited = objects.wait(IMAGE_PULL, "limited", _has_failed)["status"]
    assert limited["error"]["reason"] == "RateLimited"
    assert limited["error"]["retryAfterSeconds"] >= 60
    ended = datetime.fromisoformat(limited["history"][0]["completionTime"])
    assert (datetime.fromisoformat(limited["nextRetryTime"]) - ended).total_seconds() >= 59
    asked = len(gate.requests)
    objects.create(IMAGE_PULL, "next", {"image": through(gate, other), "daemonName": engine.name})
    waiting = objects.wait(IMAGE_PULL, "next", lambda body: reason(body) == "Throttled")["status"]
    assert (waiting["phase"], waiting.get("attempts", 0), waiting.get("history", [])) == ("Pending", 0, [])
    assert len(gate.requests) == asked
    free = objects.run(IMAGE_PULL, "free", {"image": elsewhere.reference, "daemonName": engine.name})
    assert reason(free) == "Pulled", "another registry is not paused"


@pytest.mark.feature("retry.retry-after")
@pytest.mark.feature("error.public-reports")
@pytest.mark.parametrize(
    ("told", "least", "most"),
    [("retry-after: 880.092µs, allowed: 44000/minute", 60, 61), ("retry-after: 9", 9, 10)],
    ids=["below a second", "told"],
)
@pytest.mark.parametrize("path", [r"/v2/.+", r".*/blobs/.*"], ids=["at once", "mid-pull"])
def test_a_wait_that_a_registry_tells_is_held_to_reason(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    told: str,
    least: int,
    most: int,
    path: str,
) -> None:
    """Microseconds are no wait, so it is the base pause; a wait of seconds is what it says, also in mid-pull."""
    image = make_image()
    gate = make_gate(image.registry)
    body = f'{{"errors":[{{"code":"TOOMANYREQUESTS","message":"{told}"}}]}}'
    gate.script(path=path, status=429, headers={"Content-Type": "application/json"}, body=body.encode())
    # With a platform a question goes before the pull; Engine 29 alone asks by HEAD, whose answer has no words.
    spec = {"image": through(gate, image), "daemonName": engine.name, "platforms": ["linux/amd64"]}
    objects.create(IMAGE_PULL, "limited", spec)
    error = objects.wait(IMAGE_PULL, "limited", _has_failed)["status"]["error"]
    assert error["reason"] == "RateLimited"
    assert least <= error["retryAfterSeconds"] <= most
