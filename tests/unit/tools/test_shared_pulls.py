from __future__ import annotations

import asyncio
from typing import Any

import pytest

from imageops.api.references import Reference
from imageops.core.outcome import Outcome
from imageops.core.progress import ProgressTracker
from imageops.tools.daemon import Daemon
from imageops.tools.execution import Execution
from imageops.tools.limits import Requester
from imageops.tools.pull import PullArguments, PullTool
from tests.support.recorder import Recorder
from tests.support.recording_engine import FixedCredentials, RecordingEngine, daemon, remote

NAMES = [f"registry.example/app:{number}" for number in range(4)]


def begin(place: Daemon, who: str, name: str) -> asyncio.Task[Outcome]:
    """Begin to pull a reference for somebody."""
    tool = PullTool(place, FixedCredentials(), Requester(who, "team"))
    arguments = PullArguments(reference=Reference.parse(name))
    execution = Execution[Any, Any](tool, arguments, ProgressTracker(), Recorder())
    return asyncio.create_task(execution.run())


async def settle() -> None:
    """Let all go on until they wait for something outside."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.feature("share.pull")
async def test_who_joins_an_equal_pull_leaves_its_reserved_place_to_others() -> None:
    """Two places: one is taken by a pull, the other reserved for one that turns out to need none."""
    engine = RecordingEngine(registry={name: remote() for name in NAMES}, gate=asyncio.Event())
    place = daemon(engine, transfers=2)
    assert engine.gate is not None
    first = [begin(place, who, name) for who, name in (("one", NAMES[0]), ("two", NAMES[1]))]
    await settle()
    refused = [await begin(place, who, NAMES[2]) for who in ("three", "four")]
    assert [outcome.reason.value for outcome in refused] == ["Throttled", "Throttled"]
    engine.gate.set()
    await asyncio.gather(*first)
    assert all(place.transfers.has_place(who) for who in ("three", "four"))
    engine.gate.clear()
    sharers = [begin(place, who, NAMES[2]) for who in ("three", "four")]
    await settle()
    assert not place.transfers.has_place("four")
    other = begin(place, "five", NAMES[3])
    await settle()
    engine.gate.set()
    assert [outcome.reason.value for outcome in await asyncio.gather(*sharers, other)] == ["Pulled"] * 3
    assert len(engine.seen("pull")) == 4


@pytest.mark.feature("share.cancel")
async def test_a_pull_that_begins_while_the_last_one_leaves_is_a_stream_of_its_own() -> None:
    """It does not join what is being stopped."""
    engine = RecordingEngine(registry={NAMES[0]: remote()}, gate=asyncio.Event())
    place = daemon(engine)
    assert engine.gate is not None
    first = begin(place, "one", NAMES[0])
    await settle()
    first.cancel()
    second = begin(place, "two", NAMES[0])
    await settle()
    engine.gate.set()
    assert (await second).reason.value == "Pulled"
    assert len(engine.seen("pull")) == 2
    with pytest.raises(asyncio.CancelledError):
        await first
