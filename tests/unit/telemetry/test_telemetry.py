from __future__ import annotations

import asyncio
import io
import json
import logging
import queue
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from imageops.telemetry import logs
from imageops.telemetry.health import METRICS_CONTENT_TYPE, HealthServer, Verdict
from imageops.telemetry.logs import JsonFormatter
from imageops.telemetry.metrics import Metrics

SECRET = "hunter2-hunter2"


def fail() -> None:
    """Raise what repeats a secret."""
    raise RuntimeError(SECRET) from ValueError(SECRET)


def line(record: logging.LogRecord) -> dict[str, Any]:
    """Format a record."""
    text = JsonFormatter().format(record)
    assert "\n" not in text
    result: dict[str, Any] = json.loads(text)
    return result


def record(message: str, *arguments: object, **extra: Any) -> logging.LogRecord:
    """Make a record."""
    made = logging.LogRecord("imageops.x", logging.WARNING, "x.py", 1, message, arguments, extra.pop("exc_info", None))
    made.__dict__.update(extra)
    return made


def test_a_record_is_one_object_on_one_line() -> None:
    """With a time in UTC, and what it is about as fields of their own."""
    made = line(record("pulled %s\nin %d s", "an image \u00e9", 5, imageops_kind="ImagePull", imageops_uid="u-1"))
    assert made.pop("ts").endswith("+00:00")
    assert made == {
        "level": "warning",
        "logger": "imageops.x",
        "msg": "pulled an image \u00e9\nin 5 s",
        "kind": "ImagePull",
        "uid": "u-1",
    }


def test_an_exception_is_told_by_its_type_and_place_and_not_by_its_text() -> None:
    """Which may repeat what a registry or a Secret said."""
    with pytest.raises(RuntimeError) as caught:
        fail()
    made = line(record("it failed", exc_info=(caught.type, caught.value, caught.tb)))
    assert SECRET not in json.dumps(made)
    assert made["error"] == "RuntimeError"
    assert made["stack"][-1].startswith("test_telemetry.py:")
    assert made["stack"][-1].endswith(" fail")


def test_a_record_without_an_exception_has_no_stack() -> None:
    """Also where somebody logs an exception that there is none of."""
    assert "stack" not in line(record("fine", exc_info=(None, None, None)))


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Put the logging of the process back."""
    names = (None, "imageops", "kopf")
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    handlers = logging.getLogger().handlers
    yield
    logging.getLogger().handlers = handlers
    for logger, level in before:
        logger.setLevel(level)


@pytest.mark.usefixtures("restored_logging")
def test_our_level_holds_for_us_and_libraries_speak_from_warning_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it as JSON on standard error."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.set_up("DEBUG")
    logging.getLogger("imageops.tools").debug("ours")
    logging.getLogger("aiohttp").info("not shown")
    logging.getLogger("kopf.objects").info("not shown")
    logging.getLogger("kopf").warning("theirs")
    assert [json.loads(text)["msg"] for text in stream.getvalue().splitlines()] == ["ours", "theirs"]


async def test_probes_tell_the_verdict_and_scrapes_the_metrics() -> None:
    """From the first second, and whatever comes after."""
    verdicts = {"alive": Verdict(good=True, text="ok"), "ready": Verdict(good=False, text="waiting for CRDs")}
    metrics = Metrics()
    server = HealthServer(
        alive=lambda: verdicts["alive"],
        ready=lambda: verdicts["ready"],
        metrics=metrics.exposition,
    )
    port = await server.start("127.0.0.1", 0)

    async def answer(path: str) -> tuple[int, str, str]:
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}{path}") as response:
            return response.status, await response.text(), response.headers["Content-Type"]

    try:
        assert (await answer("/healthz"))[:2] == (200, "ok\n")
        assert (await answer("/readyz"))[:2] == (503, "waiting for CRDs\n")
        verdicts["ready"] = Verdict(good=True, text="degraded")
        assert (await answer("/readyz"))[:2] == (200, "degraded\n")
        status, text, kind = await answer("/metrics")
        assert (status, kind) == (200, METRICS_CONTENT_TYPE)
        assert "imageops_operations_running" in text
        assert (await answer("/other"))[0] == 404
    finally:
        await server.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await answer("/healthz")


def probe_often(url: str) -> None:
    """Probe until there is no answer: the loop need not be blocked yet."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        requests.get(url, timeout=0.5)


@pytest.mark.feature("health.liveness")
def test_a_probe_of_a_blocked_event_loop_gets_no_answer() -> None:
    """Which a kubelet takes for a failure; it answers again when the loop turns again."""
    release, ports = threading.Event(), queue.Queue[int]()

    async def serve() -> None:
        good = Verdict(good=True, text="ok")
        server = HealthServer(alive=lambda: good, ready=lambda: good, metrics=Metrics().exposition)
        ports.put(await server.start("127.0.0.1", 0))
        await asyncio.to_thread(blocked.wait)
        release.wait()
        await asyncio.to_thread(ended.wait)
        await server.stop()

    blocked, ended = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    url = f"http://127.0.0.1:{ports.get(timeout=10)}/healthz"
    try:
        assert requests.get(url, timeout=10).ok
        blocked.set()
        with pytest.raises(requests.ReadTimeout):
            probe_often(url)
        release.set()
        assert requests.get(url, timeout=10).ok
    finally:
        for event in (blocked, release, ended):
            event.set()
        thread.join(10)


def test_no_name_of_an_object_is_a_label() -> None:
    """A thousand objects make no more series than one."""
    metrics = Metrics()
    metrics.operations.labels("ImagePull", "succeeded", "Pulled").inc()
    families = {family.name for family in text_string_to_metric_families(metrics.exposition().decode())}
    assert {"controller_runtime_reconcile", "imageops_operations", "imageops_status_patch"} <= families
    collectors = (metrics.operations, metrics.bytes, metrics.daemon_up)
    labels = {label for collector in collectors for label in collector._labelnames}
    assert labels <= {"kind", "result", "reason", "direction", "daemon"}


def test_two_processes_in_one_test_share_no_metrics() -> None:
    """Each has its own registry."""
    Metrics()
    Metrics()
