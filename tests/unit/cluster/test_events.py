from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from imageops.api.kinds import IMAGE_PULL
from imageops.api.reasons import Reason
from imageops.cluster import events
from imageops.cluster.events import EventRecorder
from imageops.cluster.objects import ObjectKey
from tests.support.scripted_api import ScriptedApi, api_error

KEY = ObjectKey(IMAGE_PULL, "team", "n" * 250, "uid-1")
OTHER = ObjectKey(IMAGE_PULL, "team", "other", "uid-2")
COLLECTION = "/api/v1/namespaces/team/events"


@asynccontextmanager
async def recording(api: ScriptedApi) -> AsyncIterator[EventRecorder]:
    """Publish in the background."""
    server: Any = api
    recorder = EventRecorder(server)
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_event_is_published_on_its_object() -> None:
    """With a closed reason, our own words, and a name that fits."""
    api = ScriptedApi()
    async with recording(api) as recorder:
        recorder.record(KEY, Reason.RETRYING, "x" * 9000, warning=True)
        recorder.record(OTHER, Reason.PULLED, "Done.", warning=False)
        await recorder.drain(5.0)
    first, second = (request.body for request in api.of("POST"))
    assert (first["type"], first["reason"], first["count"], len(first["message"])) == ("Warning", "Retrying", 1, 512)
    assert first["involvedObject"] == {
        "apiVersion": "imageops.dev/v1alpha1",
        "kind": "ImagePull",
        "namespace": "team",
        "name": KEY.name,
        "uid": "uid-1",
    }
    assert len(first["metadata"]["name"]) <= 253
    assert (second["type"], second["involvedObject"]["uid"]) == ("Normal", "uid-2")


async def test_what_repeats_raises_a_count_instead_of_a_second_event() -> None:
    """Of the same object, reason and message; the time of the last one moves."""
    api = ScriptedApi()
    async with recording(api) as recorder:
        for _ in range(3):
            recorder.record(KEY, Reason.RETRYING, "Again.", warning=True)
        recorder.record(KEY, Reason.RETRYING, "Otherwise.", warning=True)
        recorder.record(OTHER, Reason.RETRYING, "Again.", warning=True)
        await recorder.drain(5.0)
    assert len(api.of("POST")) == 3
    counts = {request.body[0]["value"] for request in api.of("PATCH")}
    assert counts == {2, 3}
    assert sorted(body["count"] for body in api.objects.values()) == [1, 1, 3]


async def test_an_event_that_the_api_server_dropped_is_published_anew() -> None:
    """It keeps them for an hour."""
    api = ScriptedApi()
    async with recording(api) as recorder:
        recorder.record(KEY, Reason.RETRYING, "Again.", warning=True)
        await recorder.drain(5.0)
        api.objects.clear()
        recorder.record(KEY, Reason.RETRYING, "Again.", warning=True)
        await recorder.drain(5.0)
    assert [body["count"] for body in api.objects.values()] == [1]


async def test_a_refused_event_is_forgotten_and_the_next_one_published(caplog: pytest.LogCaptureFixture) -> None:
    """Events are best effort: the status is the record."""
    api = ScriptedApi(script=[api_error(403, "Forbidden"), None, api_error(500)])
    async with recording(api) as recorder:
        recorder.record(KEY, Reason.PULLED, "One.", warning=False)
        recorder.record(KEY, Reason.PULLED, "Two.", warning=False)
        recorder.record(KEY, Reason.PULLED, "Two.", warning=False)
        recorder.record(KEY, Reason.PULLED, "Three.", warning=False)
        await recorder.drain(5.0)
    assert [body["message"] for body in api.objects.values()] == ["Two.", "Three."]
    assert caplog.text.count("was not published") == 2


async def test_a_full_queue_drops_and_never_blocks(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A storm of Events harms nobody but itself."""
    monkeypatch.setattr(events, "_QUEUE_LENGTH", 2)
    server: Any = ScriptedApi()
    recorder = EventRecorder(server)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            recorder.record(OTHER, Reason.PULLED, str(number), warning=False)
    assert "dropped an Event of ImagePull team/other" in caplog.text


async def test_only_so_many_events_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ones that repeated last."""
    monkeypatch.setattr(events, "_REMEMBERED", 2)
    api = ScriptedApi()
    async with recording(api) as recorder:
        for message in ("a", "b", "a", "c", "a", "b"):
            recorder.record(KEY, Reason.RETRYING, message, warning=True)
        await recorder.drain(5.0)
    assert [request.body["message"] for request in api.of("POST")] == ["a", "b", "c", "b"]
