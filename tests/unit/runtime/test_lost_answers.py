"""What becomes of writes that are made and not answered, and of what happens before an answer."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from imageops.api.kinds import IMAGE_PULL, SESSION
from tests.support.builders import DIGEST, pull_step
from tests.support.operator_bench import OperatorBench, play, settle
from tests.support.recording_engine import RecordingEngine, remote
from tests.support.scripted_api import Body, api_error, unreachable

REF = "registry.example/a:1"
SPEC = {"image": REF}
OUTAGE = 12
"""Refusals in a row: more than statuses are kept of those that were sent."""


def bench() -> OperatorBench:
    """Make a bench whose registry has two images."""
    return OperatorBench(
        engine=RecordingEngine(registry={f"registry.example/{name}:1": remote(DIGEST) for name in "ab"})
    )


def once(what: str, happens: Callable[[str], Awaitable[None]]) -> Callable[[str, Any], Awaitable[None]]:
    """Let something happen before the first answer to a patch of each pull that says this."""
    seen: set[str] = set()

    async def made(path: str, operations: Any) -> None:
        if "/imagepulls/" not in path or not path.endswith("/status") or path in seen:
            return
        *_, change = operations
        if what in change["value"] or change["path"].endswith(what):
            seen.add(path)
            await happens(path.removesuffix("/status"))

    return made


async def lose(_: str) -> None:
    """Lose the answer, after the watch has told of the write."""
    await asyncio.sleep(0.2)
    raise unreachable()


async def lose_at_once(_: str) -> None:
    """Lose the answer before the watch tells of the write."""
    raise unreachable()


def let_watch_lag(mine: OperatorBench) -> None:
    """Let the watch tell of no end of a pull before the pull's spec is changed."""
    tell = mine.api.watch

    def watch(event: str, body: Body) -> None:
        lags = body["kind"] == IMAGE_PULL.kind and "completionTime" in (body.get("status") or {})
        if not lags or body["metadata"]["generation"] > 1:
            tell(event, body)

    mine.api.watch = watch


@pytest.mark.parametrize(("loss", "lags"), [(lose, False), (lose_at_once, False), (lose_at_once, True)])
def test_an_end_whose_answer_is_lost_reaches_the_session(*, loss: Callable[[str], Awaitable[None]], lags: bool) -> None:
    """Nothing is done again."""

    async def story(mine: OperatorBench) -> None:
        if lags:
            let_watch_lag(mine)
        mine.api.made = once("completionTime", loss)
        mine.apply(SESSION, "release", {"steps": [pull_step("a"), pull_step("b")]})
        await settle()
        assert mine.status(SESSION, "release")["phase"] == "Succeeded"

    assert len(play(story, bench()).engine.seen("pull")) == 2


@pytest.mark.parametrize("ends_meanwhile", [True, False])
def test_an_outage_behind_a_lost_answer_undoes_nothing(*, ends_meanwhile: bool) -> None:
    """However many statuses were sent meanwhile: what was stored is known as our own."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()

        async def lose_and_refuse(path: str) -> None:
            mine.api.script = [api_error(503)] * OUTAGE
            await lose(path)

        mine.api.made = once("/progress", lose_and_refuse)
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(5.0)
        if ends_meanwhile:
            mine.engine.gate.set()
        await settle(120.0)
        mine.engine.gate.set()
        await settle()

    mine = play(story, bench())
    assert len(mine.engine.seen("pull")) == 1
    [attempt] = mine.status(IMAGE_PULL, "app")["history"]
    assert attempt["outcome"] == "Succeeded"


def test_what_somebody_changes_before_the_answer_is_not_forgotten() -> None:
    """Here something that nobody reads: the deletion in time is for the version that is there then."""

    async def story(mine: OperatorBench) -> None:
        async def touch(path: str) -> None:
            body = copy.deepcopy(mine.api.objects[path])
            body["metadata"]["managedFields"] = [{"manager": "somebody"}]
            mine.api.put(path, body)
            await asyncio.sleep(0.2)

        mine.api.made = once("completionTime", touch)
        mine.apply(IMAGE_PULL, "app", SPEC | {"ttlSecondsAfterFinished": 60})
        await settle(300.0)
        assert mine.path(IMAGE_PULL, "app") not in mine.api.objects

    play(story, bench())


def test_an_edit_that_overtakes_the_reading_after_a_lost_answer_is_run() -> None:
    """What the API server told before it does not bring the former spec back."""

    async def story(mine: OperatorBench) -> None:
        read = mine.api.get

        async def get(path: str) -> Body:
            body = await read(path)
            mine.apply(IMAGE_PULL, "app", {"image": "registry.example/b:1"})
            await asyncio.sleep(0.2)
            return body

        let_watch_lag(mine)
        mine.api.made = once("completionTime", lose_at_once)
        server: Any = SimpleNamespace(get=get)
        mine.controller._writes = replace(mine.controller._writes, api=server)
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle()
        status = mine.status(IMAGE_PULL, "app")
        assert (status["run"], status["observedGeneration"]) == (2, 2)

    play(story, bench())


def test_a_refusal_that_only_looks_like_a_conflict_is_not_tried_without_pause() -> None:
    """A webhook may say 422 as well as a failed test does."""

    async def story(mine: OperatorBench) -> None:
        mine.api.script = [api_error(422, "Invalid")] * 1000
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle(31.0)
        assert 3 <= len(mine.writes(IMAGE_PULL, "app")) <= 4

    play(story, bench())


@pytest.mark.feature("status.only-status")
def test_a_status_that_somebody_puts_before_the_answer_to_the_last_write_does_not_stand() -> None:
    """The end is written over it, as over one that is put while work goes on."""

    async def story(mine: OperatorBench) -> None:
        async def tamper(path: str) -> None:
            body = copy.deepcopy(mine.api.objects[path])
            body["status"] = {"phase": "Pending", "run": 1}
            mine.api.put(path, body)
            await asyncio.sleep(0.2)

        mine.api.made = once("completionTime", tamper)
        mine.apply(IMAGE_PULL, "app", SPEC)
        await settle()
        assert mine.status(IMAGE_PULL, "app")["phase"] == "Succeeded"
        assert (mine.status(IMAGE_PULL, "app")["run"], len(mine.engine.seen("pull"))) == (1, 1)

    play(story, bench())
