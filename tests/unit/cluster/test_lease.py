from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from imageops.cluster import lease as leases
from imageops.cluster.lease import Lease
from imageops.cluster.paths import ApiPath
from imageops.core.lease import LeaseClaim, Timing
from tests.support.scripted_api import Body, ScriptedApi, api_error, unreachable
from tests.support.virtual_time import monotonic, run

PATH = "/apis/coordination.k8s.io/v1/namespaces/system/leases/imageops"
TIMING = Timing(15)
SLACK = 1.2 * TIMING.retry_period


@pytest.fixture(autouse=True)
def virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the candidates live in the time of the loop."""
    monkeypatch.setattr(leases, "clock", monotonic)


@dataclass(slots=True)
class LateAnswers(ScriptedApi):
    """Stores a replacement, and says so later."""

    after: float = 0.0

    async def replace(self, path: ApiPath | str, body: Mapping[str, Any]) -> Body:
        """Replace an object."""
        stored = await ScriptedApi.replace(self, path, body)
        await asyncio.sleep(self.after)
        return stored


def candidate(api: ScriptedApi, identity: str) -> Lease:
    """Make one."""
    server: Any = api
    return Lease(server, "system", "imageops", identity=identity, timing=TIMING)


def stored(api: ScriptedApi) -> LeaseClaim:
    """Return the Lease as it stands."""
    return LeaseClaim.read(api.objects[PATH]["spec"])


async def standing_by(lease: Lease) -> asyncio.Task[None]:
    """Start a candidate that does not get it for now."""
    waiting = asyncio.create_task(lease.acquire())
    await asyncio.sleep(3 * TIMING.duration_seconds)
    assert not waiting.done()
    assert not lease.held()
    return waiting


def test_one_works_and_the_other_stands_by() -> None:
    """For as long as the first renews; the second knows who it is."""

    async def story() -> None:
        api = ScriptedApi()
        first, second = candidate(api, "first"), candidate(api, "second")
        assert second.holder is None
        await first.acquire()
        keeping = asyncio.create_task(first.keep())
        waiting = await standing_by(second)
        assert first.held()
        assert [second.holder] == ["first"]
        assert stored(api).transitions == 0
        keeping.cancel()
        waiting.cancel()
        await asyncio.gather(keeping, waiting, return_exceptions=True)

    run(story())


def test_a_holder_that_vanishes_is_followed_when_its_time_is_up() -> None:
    """Not before its renew deadline, and at most one look after its duration."""

    async def story() -> None:
        api = ScriptedApi()
        first, second = candidate(api, "first"), candidate(api, "second")
        await first.acquire()
        vanished = monotonic()
        await second.acquire()
        assert not first.held()
        assert TIMING.duration_seconds <= monotonic() - vanished <= TIMING.duration_seconds + SLACK
        assert (stored(api).holder, stored(api).transitions) == ("second", 1)

    run(story())


def test_a_lease_that_is_given_back_changes_hands_at_the_next_look() -> None:
    """And its last holder holds it no more, from before it says so."""

    async def story() -> None:
        api = ScriptedApi()
        first, second = candidate(api, "first"), candidate(api, "second")
        await first.acquire()
        keeping = asyncio.create_task(first.keep())
        waiting = await standing_by(second)
        keeping.cancel()
        api.delay = 0.5
        releasing = asyncio.create_task(first.release())
        await asyncio.sleep(0)
        assert not first.held()
        await releasing
        began = monotonic()
        await waiting
        assert monotonic() - began <= SLACK + 2
        assert second.held()

    run(story())


def test_a_holder_that_cannot_renew_gives_up_at_its_deadline_for_good() -> None:
    """Counted from before the last renewal was sent; before that, failures are borne."""

    async def story() -> None:
        api = ScriptedApi()
        mine = candidate(api, "mine")
        await mine.acquire()
        keeping = asyncio.create_task(mine.keep())
        api.script = [unreachable(), api_error(503)]
        await asyncio.sleep(8)
        assert (mine.held(), api.script) == (True, [])
        api.script = [unreachable() for _ in range(20)]
        began = monotonic()
        await keeping
        assert monotonic() - began <= TIMING.renew_deadline
        assert not mine.held()
        assert mine.remaining() < 0

    run(story())


def test_an_api_server_that_says_nothing_is_no_renewal() -> None:
    """The deadline holds although a request is on its way."""

    async def story() -> None:
        api = ScriptedApi()
        mine = candidate(api, "mine")
        await mine.acquire()
        began = monotonic()
        api.delay = 1_000_000
        keeping = asyncio.create_task(mine.keep())
        await asyncio.sleep(TIMING.renew_deadline)
        assert not mine.held()
        await keeping
        assert monotonic() - began < TIMING.duration_seconds

    run(story())


def test_a_renewal_that_comes_too_late_does_not_count() -> None:
    """Nothing is held again once the deadline has passed, though the API server took the renewal."""

    async def story() -> None:
        api = ScriptedApi()
        mine = candidate(api, "mine")
        await mine.acquire()
        keeping = asyncio.create_task(mine.keep())
        api.script = [unreachable() for _ in range(3)]
        await asyncio.sleep(7)
        api.delay = 4
        await keeping
        assert stored(api).holder == "mine"
        assert not mine.held()

    run(story())


def test_a_claim_whose_answer_was_lost_is_recognised() -> None:
    """The next look shows it to be ours."""

    async def story() -> None:
        api = ScriptedApi()
        mine = candidate(api, "mine")
        api.put(PATH, {"spec": LeaseClaim("mine", 15, "", "", 3).spec()})
        await mine.acquire()
        assert (mine.held(), stored(api).transitions) == (True, 3)

    run(story())


def test_of_two_that_take_it_at_once_one_gets_it() -> None:
    """The other's claim is for a version that is no more."""

    async def story() -> None:
        api = ScriptedApi(delay=0.1)
        both = [candidate(api, "first"), candidate(api, "second")]
        tasks = [asyncio.create_task(one.acquire()) for one in both]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(1)
        assert [one.held() for one in both].count(True) == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(story())


def test_a_lease_that_somebody_else_has_taken_is_lost_at_once() -> None:
    """Even by hand, and against the rules."""

    async def story() -> None:
        api = ScriptedApi()
        mine = candidate(api, "mine")
        await mine.acquire()
        api.put(PATH, {"spec": LeaseClaim("hand", 15, "", "", 1).spec()})
        began = monotonic()
        await mine.keep()
        assert monotonic() - began <= 2 * TIMING.retry_period
        assert (stored(api).holder, mine.held()) == ("hand", False)

    run(story())


def test_a_lease_that_somebody_deletes_is_made_anew() -> None:
    """By the one that holds it."""

    async def story() -> None:
        api = ScriptedApi()
        mine = candidate(api, "mine")
        await mine.acquire()
        keeping = asyncio.create_task(mine.keep())
        del api.objects[PATH]
        await asyncio.sleep(TIMING.renew_deadline)
        assert (stored(api).holder, mine.held()) == ("mine", True)
        keeping.cancel()

    run(story())


def test_what_others_keep_in_a_lease_stays() -> None:
    """Labels, and fields of the spec that are not ours."""

    async def story() -> None:
        api = ScriptedApi()
        api.put(PATH, {"metadata": {"labels": {"team": "a"}}, "spec": {"strategy": "OldestEmulationVersion"}})
        mine = candidate(api, "mine")
        await mine.acquire()
        await mine.release()
        assert api.objects[PATH]["metadata"]["labels"] == {"team": "a"}
        assert api.objects[PATH]["spec"]["strategy"] == "OldestEmulationVersion"
        assert stored(api).holder == ""

    run(story())


def test_only_ones_own_lease_is_given_back() -> None:
    """And a release that is not answered ends all the same."""

    async def story() -> None:
        api = ScriptedApi()
        mine = candidate(api, "mine")
        await mine.acquire()
        api.put(PATH, {"spec": LeaseClaim("other", 15, "", "", 1).spec()})
        await mine.release()
        assert stored(api).holder == "other"
        api.delay = 1_000_000
        began = monotonic()
        await mine.release()
        assert monotonic() - began <= TIMING.renew_deadline

    run(story())


def test_a_candidate_that_is_ended_leaves_nothing_behind() -> None:
    """Not even a claim that was just on its way."""

    async def story() -> None:
        api = LateAnswers()
        mine = candidate(api, "mine")
        await mine.acquire()
        late = candidate(api, "late")
        await mine.release()
        api.after = 1.0
        waiting = asyncio.create_task(late.acquire())
        await asyncio.sleep(0.5)
        assert stored(api).holder == "late"
        api.after = 0.0
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert stored(api).holder == ""

    run(story())
