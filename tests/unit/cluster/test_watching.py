from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from imageops.cluster import watching
from imageops.cluster.watching import Request, WatchKeeper

PULLS = "/apis/imageops.dev/v1alpha1/imagepulls"
TEAM = "/apis/imageops.dev/v1alpha1/namespaces/team-a/sessions"
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}


def event(name: str, kind: str = "ADDED") -> bytes:
    """Return the line of an event, as the API server writes it."""
    body = {"type": kind, "object": {"metadata": {"name": name, "uid": name}, "spec": {"image": "a}b"}}}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def error(code: int, **details: Any) -> bytes:
    """Return the line of an error."""
    return json.dumps({"type": "ERROR", "object": {"code": code, "details": details}}).encode() + b"\n"


@dataclass
class Heard:
    """Keeps what it is told."""

    answers: list[tuple[str, str | None, int | None]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def answered(self, kind: str, namespace: str | None, status: int | None) -> None:
        """Keep an answer."""
        self.answers.append((kind, namespace, status))

    def failed(self, kind: str) -> None:
        """Keep a failure."""
        self.failures.append(kind)


@dataclass
class Answer:
    """What the API server of a test says next."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Whether the connection is dropped after the content."""


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Keep the pauses instead of waiting for them."""
    seen: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds:  # aiohttp yields by a sleep of 0
            seen.append(seconds)
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return seen


@asynccontextmanager
async def server(*answers: Answer) -> AsyncIterator[tuple[aiohttp.ClientSession, str, Heard]]:
    """Serve these answers in turn, to a session with the keeper."""
    left = list(answers)

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = left.pop(0)
        headers = {"Content-Type": "application/json"} | answer.headers
        response = web.StreamResponse(status=answer.status, headers=headers)
        if answer.cut:
            response.headers["Content-Length"] = str(len(answer.content) + 1)
        await response.prepare(request)
        await response.write(answer.content)
        if answer.cut and request.transport is not None:
            request.transport.close()
        return response

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    heard = Heard()
    try:
        async with aiohttp.ClientSession(middlewares=[WatchKeeper(heard)]) as session:
            yield session, f"http://127.0.0.1:{runner.addresses[0][1]}", heard
    finally:
        await runner.cleanup()


async def watched(session: aiohttp.ClientSession, url: str) -> list[Any]:
    """Return the events of one watch, read as kopf reads them."""
    async with session.get(url, params={"watch": "true"}) as response:
        assert response.status == 200
        content = b"".join([chunk async for chunk in response.content.iter_chunked(1_000_000)])
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PULLS, Request("imagepulls", None, watch=False)),
        (TEAM, Request("sessions", "team-a", watch=False)),
        ("/apis/imageops.dev/v1alpha1", None),
        ("/apis/imageops.dev/v1alpha1/", None),
        (f"{PULLS}/app", None),
        (f"{TEAM}/app", None),
        ("/apis/apps/v1/deployments", None),
        ("/version", None),
    ],
)
def test_a_path_tells_what_is_listed(path: str, expected: Request | None) -> None:
    """Lists of our kinds, in a namespace or in all; nothing else."""
    assert Request.of(path, watch=False) == expected


BROKEN = {
    "half a line": event("b")[:40],
    "half a line, ended": event("b")[:40] + b"\n",
    "a page of a proxy": b"<html>upstream\n",
    "a list": b"[]\n",
    "no object": b'{"type":"ADDED","object":null}\n',
    "no metadata": b'{"type":"ADDED","object":{"x":{}}}\n',
    "an error of code 500": error(500),
    "an error of code 429": error(429, retryAfterSeconds=7),
    "an error of code 504": error(504),
    "an error of code None": b'{"type":"ERROR","object":{}}\n',
    "an error of code '500'": b'{"type":"ERROR","object":{"code":"500"}}\n',
}


@pytest.mark.feature("resume.watch")
@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN)
async def test_a_broken_watch_ends_in_order_after_a_pause(line: bytes, slept: list[float]) -> None:
    """What came before is passed on; then kopf is told to list anew, or goes on from the last version."""
    async with server(Answer(event("a") + line)) as (session, base, heard):
        events = await watched(session, base + PULLS)
    assert events[0] == json.loads(event("a"))
    goes_on = line in (BROKEN["an error of code 429"], BROKEN["half a line"])
    assert events[1:] == ([] if goes_on else [GONE])
    assert heard.failures == ["imagepulls"]
    assert slept == [7.0 if b"retryAfter" in line else 1.0]


@pytest.mark.feature("resume.watch")
@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 422, 429, 500, 503, 504])
async def test_a_refused_watch_is_made_anew(status: int, slept: list[float]) -> None:
    """With the version it had where time helps, else by a list."""
    refusal = Answer(b"no", status, {"Retry-After": "9999" if status == 429 else "Thu, 01 Jan 2026 00:00:00 GMT"})
    async with server(refusal) as (session, base, heard):
        events = await watched(session, base + TEAM)
    assert events == ([] if status in {403, 429, 500, 503, 504} else [GONE])
    assert heard.answers == [("sessions", "team-a", status)]
    assert slept == [30.0 if status == 429 else 1.0]


LISTS = {
    "refused": Answer(b"{}", 404),
    "gone": Answer(b"{}", 410),
    "moved": Answer(b"{}", 302, {"Location": "/elsewhere"}),
    "no HTTP": Answer(b"{}", 304),
    "busy": Answer(b"{}", 500),
    "half": Answer(b'{"metadata":{},"items":['),
    "empty": Answer(b""),
    "a page": Answer(b"<html>", headers={"Content-Type": "text/html"}),
    "JSON, said to be none": Answer(b'{"metadata":{},"items":[]}', headers={"Content-Type": "text/plain"}),
    "another thing": Answer(b'{"metadata":{},"items":{}}'),
    "an item of another kind": Answer(b'{"metadata":{},"items":[1]}'),
    "cut": Answer(b'{"metadata":{},"items":[]', cut=True),
}


@pytest.mark.feature("resume.watch")
@pytest.mark.parametrize("answer", LISTS.values(), ids=LISTS)
async def test_a_list_that_is_none_fails_as_a_broken_transfer_does(answer: Answer, slept: list[float]) -> None:
    """From which kopf begins anew."""
    async with server(answer) as (session, base, _):
        with pytest.raises(aiohttp.ClientPayloadError):
            await session.get(base + PULLS)
    assert slept == ([] if answer.cut else [1.0])


@pytest.mark.feature("resume.watch")
async def test_pauses_grow_until_it_goes_well_and_the_first_is_logged(
    slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """A good line ends a row of failures; so does a list that is one, of lists."""
    caplog.set_level("INFO")
    bad = [Answer(status=503) for _ in range(6)]
    good = Answer(event("a") + event("b", "BOOKMARK"))
    async with server(*bad, good, Answer(error(500)), Answer(status=500), Answer(b'{"metadata":{}}')) as (
        session,
        base,
        heard,
    ):
        for _ in bad:
            assert await watched(session, base + PULLS) == []
        assert len(await watched(session, base + PULLS)) == 2
        assert await watched(session, base + PULLS) == [GONE]
        with pytest.raises(aiohttp.ClientPayloadError):
            await session.get(base + PULLS)
        async with session.get(base + PULLS) as response:
            assert await response.json() == {"metadata": {}}
    assert slept == [1.0, 1.0, 2.0, 3.0, 5.0, 5.0, 1.0, 1.0]
    assert len(heard.failures) == 8
    levels = [record.levelname for record in caplog.records if record.name == "imageops.cluster"]
    assert levels == ["WARNING", "INFO", "WARNING", "WARNING", "INFO"]


@pytest.mark.feature("resume.watch")
async def test_a_watch_that_ends_at_once_with_nothing_is_paused(slept: list[float]) -> None:
    """One that has said something, or has lasted, ends as watches do."""
    async with server(Answer(), Answer(event("a")), Answer(cut=True)) as (session, base, heard):
        assert await watched(session, base + PULLS) == []
        assert len(await watched(session, base + PULLS)) == 1
        assert await watched(session, base + PULLS) == []
    assert slept == [1.0, 1.0]
    assert heard.failures == ["imagepulls"] * 2


async def test_a_quiet_watch_is_well(monkeypatch: pytest.MonkeyPatch, slept: list[float]) -> None:
    """It has lasted."""
    monkeypatch.setattr(watching, "QUICK_SECONDS", 0.0)
    async with server(Answer()) as (session, base, heard):
        assert await watched(session, base + PULLS) == []
    assert (slept, heard.failures) == ([], [])


@pytest.mark.feature("resume.watch")
async def test_whatever_else_is_asked_is_left_alone(slept: list[float]) -> None:
    """Discovery, and a refused login, which kopf answers by a new one."""
    async with server(Answer(b"no", 500), Answer(b"no", 304), Answer(b"no", 401)) as (session, base, heard):
        async with session.get(f"{base}/version") as response:
            assert (response.status, await response.text()) == (500, "no")
        with pytest.raises(aiohttp.ClientResponseError):
            await session.get(f"{base}/version")
        async with session.get(base + PULLS) as response:
            assert (response.status, await response.text()) == (401, "no")
    assert (slept, heard.failures, heard.answers) == ([], [], [("imagepulls", None, 401)])


@pytest.mark.feature("health.liveness")
async def test_a_refused_connection_is_an_answer_and_silence_is_none() -> None:
    """Whoever is silent may be dead."""
    heard, silent = Heard(), asyncio.Event()

    async def handle(_request: web.Request) -> web.StreamResponse:
        await silent.wait()
        return web.Response()

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(middlewares=[WatchKeeper(heard)]) as session:
        with pytest.raises(TimeoutError):
            await session.get(base + PULLS, timeout=aiohttp.ClientTimeout(total=0.05))
        assert heard.answers == []
        silent.set()
        await runner.cleanup()
        for path in (PULLS, "/version"):
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(base + path)
    assert heard.answers == [("imagepulls", None, None)]


def test_most_lines_are_judged_without_being_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks whole is; braces in texts cost a second look."""
    assert watching._is_plainly_whole(event("a").strip().replace(b"a}b", b"ab"))
    assert not watching._is_plainly_whole(event("a").strip())
    assert watching._judge(event("a").strip())[0] is watching._Next.GO_ON
    monkeypatch.setattr(json, "loads", lambda _: next(repeat(None)))
    assert watching._judge(event("a").strip().replace(b"a}b", b"ab"))[0] is watching._Next.GO_ON
    assert watching._judge(b"")[0] is watching._Next.GO_ON
