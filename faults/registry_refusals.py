"""Refuse one registry request of a pull or a push after the other, once or for good, and see what the operator says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Self

from devcluster.gate import RegistryGate
from devcluster.images import PushedImage
from faults.content import assert_held_whole, assert_served_whole
from faults.plans import PlanClass
from faults.reference import Reference
from faults.site import ENGINES, Site
from faults.trials import TrialPlan, side_by_side
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, Kind
from tests.support.objects import Body, finished, reason
from tests.support.watched_engine import WatchedEngine

END_SECONDS = 240.0
"""Engine 20.10 repeats a refused upload for over 25 s by itself before it says so, at each attempt."""
_BODIES = {
    401: b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}',
    429: b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}',
    503: b"",
}
STATUSES = tuple(_BODIES)
_CAUSES = {
    401: frozenset({"AuthFailed", "AuthExpired"}),
    429: frozenset({"RateLimited"}),
    503: frozenset({"RegistryUnavailable"}),
}
"""What an object may say of each refusal, whichever request it met."""
_RETRIES = 1


class Lasting(StrEnum):
    """How long a registry goes on refusing."""

    ONCE = "once"
    FOR_GOOD = "for good"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One fault: the `number`-th request, from 1 on, is answered with `status`."""

    number: int
    status: int
    lasting: Lasting


@dataclass(frozen=True, slots=True)
class Refused:
    """What came of a refusal."""

    reason: str
    """Of the object's Ready condition."""
    cause: str | None
    """Of the last failed attempt, if one failed."""
    asked: str
    """The request that was refused."""
    seconds: float


def count_requests(site: Site, engine: WatchedEngine, kind: Kind) -> int:
    """Return how many requests a pull or a push makes to a registry that serves it."""
    with site.namespace() as objects, _Way(site, engine, kind) as way:
        spec = {"image": way.reference, "daemonName": engine.name}
        body = objects.run(kind, "app", spec, seconds=END_SECONDS)
        count = len(way.gate.requests)
        way.assert_done(body)
        return count


def refuse(site: Site, engine: WatchedEngine, kind: Kind, refusal: Refusal) -> Refused:
    """Refuse a request, and check that the object ends or waits as the refusal wants it, and is never wrongly done.

    Some refusals hinder nothing: Engine 20.10 asks for the configuration after a push only to tell the platform.
    """
    times = 1 if refusal.lasting is Lasting.ONCE else None
    with site.namespace() as objects, _Way(site, engine, kind) as way:
        way.gate.script(
            path=r"/v2/.*",
            status=refusal.status,
            headers={"Content-Type": "application/json"},
            body=_BODIES[refusal.status],
            passing=refusal.number - 1,
            times=times,
        )
        began = time.monotonic()
        spec = {"image": way.reference, "daemonName": engine.name, "backoffLimit": _RETRIES}
        objects.create(kind, "app", spec)
        body = objects.wait(kind, "app", _settled, seconds=END_SECONDS)
        met = way.gate.requests[refusal.number - 1 : refusal.number]
        asked = f"{met[0].method} {met[0].path}" if met else "none"
        cause = (body["status"].get("error") or {}).get("reason")
        _judge(refusal, way, body, cause)
        return Refused(reason(body), cause, asked, time.monotonic() - began)


def _settled(body: Body) -> bool:
    """Tell whether an object has ended, or waits for a registry that limits its rate: a minute and more."""
    return finished(body) or (reason(body) == "RateLimited" and "nextRetryTime" in body["status"])


def _judge(refusal: Refusal, way: _Way, body: Body, cause: str | None) -> None:
    status = body["status"]
    if status["phase"] == "Succeeded":
        way.assert_done(body)
        return
    assert cause in _CAUSES[refusal.status], status
    if cause == "RateLimited" and not finished(body):
        assert status["error"]["retryAfterSeconds"] >= 60, status
    elif refusal.status == 503:
        assert refusal.lasting is Lasting.FOR_GOOD, f"one refusal was not got over: {status}"
        assert reason(body) == "BackoffLimitExceeded", status
        assert len(status["history"]) == 1 + _RETRIES, status
    else:
        assert reason(body) in {cause, "BackoffLimitExceeded"}, status
    assert status["history"][0]["completionTime"], status


class _Way:
    """One image and the gate it is moved through; a context manager that leaves nothing on the daemon."""

    def __init__(self, site: Site, engine: WatchedEngine, kind: Kind) -> None:
        self._engine = engine
        self._pulls = kind is IMAGE_PULL
        self._image: PushedImage = site.image()
        self.gate = RegistryGate(site.cluster.registry if self._pulls else site.cluster.registry_target)

    def __enter__(self) -> Self:
        self.gate.__enter__()
        if not self._pulls:
            self._engine.daemon.pull(self._image.reference)
            self._engine.daemon.tag(self._image.reference, self.reference)
        return self

    def __exit__(self, *_: object) -> None:
        for reference in (self.reference, self._image.reference):
            self._engine.daemon.remove(reference)
        self.gate.__exit__()

    @property
    def reference(self) -> str:
        return f"{self.gate.address}/{self._image.repository}:{self._image.tag}"

    def assert_done(self, body: Body) -> None:
        """Check that the success which an object reports is one."""
        self.gate.release()
        digest = body["status"]["image"]["digest"]
        if self._pulls:
            assert digest == self._image.digest
            assert_held_whole(self._engine.daemon, self.reference, self._image)
        else:
            assert_served_whole(self.gate.address, self._image.repository, self._image.tag, digest)


def plans(_: Reference) -> Sequence[TrialPlan]:
    """Each status, once and for good, at every request of a pull and of a push, on both Engines."""
    cases = [
        (engine, kind, status, lasting)
        for engine in ENGINES
        for kind in (IMAGE_PULL, IMAGE_PUSH)
        for status in STATUSES
        for lasting in Lasting
    ]
    return [
        TrialPlan(
            CLASS.first + place,
            f"{status} {lasting} at every registry request of an {kind.kind} in turn, {engine}",
            partial(refuse_each, engine, kind, status, lasting),
        )
        for place, (engine, kind, status, lasting) in enumerate(cases)
    ]


def refuse_each(engine: str, kind: Kind, status: int, lasting: Lasting, site: Site) -> bool:
    """Refuse every request in turn, each with an object of its own."""
    watched = site.engines[engine]
    numbers = range(1, count_requests(site, watched, kind) + 1)
    side_by_side([partial(refuse, site, watched, kind, Refusal(number, status, lasting)) for number in numbers])
    return True


CLASS = PlanClass(
    "registry-refusals",
    6001,
    "Every registry request of a pull and of a push is answered with 401, 429 or 503 in turn, once or from then on.",
    plans,
    sampled=False,
)
