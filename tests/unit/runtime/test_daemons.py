from __future__ import annotations

import asyncio
import logging

import pytest

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.engine.protocol import ImageStore
from imageops.runtime.daemons import CHECK_SECONDS, RETURN_CHECK_SECONDS, Daemons, Limits
from imageops.tools.limits import Requester
from tests.support.recording_engine import RecordingEngine
from tests.support.virtual_time import run

AWAY = {"ping": OperationError(Reason.DAEMON_UNAVAILABLE)}


class Bench:
    """Two daemons, and who was told of what."""

    def __init__(self) -> None:
        self.engines = {"default": RecordingEngine(), "old": RecordingEngine(ImageStore.GRAPHDRIVER, name="old")}
        self.returned: list[str] = []
        self.next_ones: list[str] = []
        self.daemons = Daemons(
            engines=self.engines,
            default="default",
            returned=self.returned.append,
            next_one=self.next_ones.append,
            limits=Limits(transfers=1, registry_rate=1.0, registry_burst=1.0),
        )


def test_daemons_are_looked_at_and_their_return_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """An absent one every second, the others every 15; each change is logged once."""

    async def story() -> None:
        mine = Bench()
        mine.engines["old"].failures = dict(AWAY)
        assert (mine.daemons.is_up(None), mine.daemons.image_store(None)) == (False, None)
        watching = asyncio.create_task(mine.daemons.watch())
        await asyncio.sleep(10 * RETURN_CHECK_SECONDS)
        assert (mine.returned, mine.daemons.is_up("old"), mine.daemons.is_away("old")) == (["default"], False, True)
        assert (mine.daemons.image_store("default"), mine.daemons.image_store("old")) == ("containerd", None)
        assert caplog.text.count("daemon old does not answer: DaemonUnavailable") == 1
        mine.engines["old"].failures.clear()
        await asyncio.sleep(1.5 * RETURN_CHECK_SECONDS)
        assert (mine.returned, mine.daemons.image_store("old")) == (["default", "old"], "graphdriver")
        mine.engines["default"].failures = dict(AWAY)
        await asyncio.sleep(CHECK_SECONDS + 1)
        assert (mine.daemons.is_up(None), mine.daemons.image_store(None)) == (False, "containerd")
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    with caplog.at_level(logging.INFO, logger="imageops"):
        run(story())


def test_a_suspected_daemon_is_looked_at_at_once() -> None:
    """Until then it counts as away."""

    async def story() -> None:
        mine = Bench()
        watching = asyncio.create_task(mine.daemons.watch())
        await asyncio.sleep(1)
        mine.daemons.suspect(None)
        assert not mine.daemons.is_up("default")
        await asyncio.sleep(0.1)
        assert mine.daemons.is_up(None)
        assert mine.returned == ["default", "old", "default"]
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    run(story())


async def test_what_has_arrived_is_told() -> None:
    """A daemon that answers, a place that is free; one that has not asked yet need not wait for its turn."""
    mine = Bench()
    transfers = mine.daemons.daemon(None).transfers
    place = transfers.take(Requester("one", "team"))
    with pytest.raises(OperationError):
        transfers.take(Requester("two", "team"))
    assert mine.daemons.arrived(None, "two", asked=True) == set()
    assert mine.daemons.arrived(None, "two", asked=False) == {Reason.THROTTLED}
    transfers.give_back(place)
    assert mine.next_ones == ["two"]
    assert mine.daemons.arrived(None, "two", asked=True) == {Reason.THROTTLED}
    mine.daemons.unused("two")
    mine.daemons.unused("nobody")
    assert mine.daemons.arrived(None, "two", asked=True) == set()
    await mine.daemons._look("default")
    assert mine.daemons.arrived(None, "two", asked=True) == {Reason.DAEMON_UNAVAILABLE}


async def test_what_is_gone_waits_no_more() -> None:
    """And closing closes every engine."""
    mine = Bench()
    transfers = mine.daemons.daemon("default").transfers
    place = transfers.take(Requester("one", "team"))
    for uid in ("two", "three"):
        with pytest.raises(OperationError):
            transfers.take(Requester(uid, "team"))
    mine.daemons.forget("two")
    transfers.give_back(place)
    assert mine.next_ones == ["three"]
    await mine.daemons.close()
    assert all("close" in engine.calls for engine in mine.engines.values())
