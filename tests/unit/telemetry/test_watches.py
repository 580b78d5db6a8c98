from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from imageops.telemetry import watches
from imageops.telemetry.watches import CLIENT_SECONDS, DEAD_SECONDS, SERVER_SECONDS, WatchAnswers
from tests.support.virtual_time import run


def test_the_times_follow_from_each_other() -> None:
    """A living watch is asked for anew by the API server's leave, a silent one by ours, and both before it is dead."""
    assert SERVER_SECONDS < CLIENT_SECONDS < DEAD_SECONDS < 90


@pytest.mark.feature("health.liveness")
def test_a_watch_without_an_answer_is_dead_and_lives_again_with_the_next() -> None:
    """Each kind for itself, from when it was first expected."""

    async def story() -> None:
        answers = WatchAnswers()
        await asyncio.sleep(1000)
        assert answers.dead() == []
        answers.expect(["imagepulls", "sessions"])
        await asyncio.sleep(DEAD_SECONDS - 1)
        answers.answered("sessions", None)
        answers.answered("version", None)
        assert answers.dead() == []
        await asyncio.sleep(1)
        assert answers.dead() == ["imagepulls"]
        answers.answered("imagepulls", None)
        assert answers.dead() == []
        await asyncio.sleep(DEAD_SECONDS)
        assert answers.dead() == ["imagepulls", "sessions"]
        answers.expect(())
        assert answers.dead() == []

    run(story())


def test_a_watch_has_begun_with_the_first_answer_that_is_no_refusal() -> None:
    """Each kind for itself, and anew when the kinds are expected anew."""
    answers = WatchAnswers()
    answers.expect(["imagepulls", "sessions"])
    for refusal in (None, 403, 500):
        answers.answered("imagepulls", refusal)
        assert answers.awaited() == ["imagepulls", "sessions"]
    answers.answered("imagepulls", 200)
    assert answers.awaited() == ["sessions"]
    answers.answered("sessions", 200)
    answers.answered("sessions", None)
    assert answers.awaited() == []
    answers.expect(["imagepulls"])
    assert answers.awaited() == ["imagepulls"]


@pytest.mark.feature("health.liveness")
async def test_an_answer_is_headers_or_a_refusal_and_silence_is_none() -> None:
    """Whatever its status says, and before the stream of a watch says anything."""
    silent = asyncio.Event()
    heard: list[tuple[str, int | None]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/silent":
            await silent.wait()
        if request.path == "/stream":
            response = web.StreamResponse()
            await response.prepare(request)
            await silent.wait()
            return response
        return web.Response(status=403)

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(
        trace_configs=[watches.trace(lambda kind, status: heard.append((kind, status)))]
    ) as session:
        async with session.get(f"{base}/apis/refused?watch=true"):
            assert heard == [("refused", 403)]
        async with session.get(f"{base}/stream"):
            assert heard == [("refused", 403), ("stream", 200)]
        with pytest.raises(TimeoutError):
            await session.get(f"{base}/silent", timeout=aiohttp.ClientTimeout(total=0.05))
        assert heard == [("refused", 403), ("stream", 200)]
        silent.set()
        await runner.cleanup()
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{base}/nobody")
    assert heard == [("refused", 403), ("stream", 200), ("nobody", None)]
