"""Try the operator's patience: silent registries, restarts between attempts, and daemons away at a deletion."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from faults import rotation
from faults.content import assert_held_whole, assert_served_whole
from faults.plans import PlanClass
from faults.reference import Reference
from faults.site import Site, opened_site
from faults.trials import TrialPlan, side_by_side
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, Kind
from tests.support.objects import Body, Objects, condition, finished
from tests.support.watched_engine import WatchedEngine

QUIET_SECONDS = 90.0
END_SECONDS = 120.0
RETRIES = 2
DEADLINE_SECONDS = 12
RELEASE_SECONDS = 600.0
"""How long a deleted object waits for a daemon that does not answer."""
_GRACE_SECONDS = 30.0
_LAYERS = (24_000_000,)
_BEFORE_SILENCE = 4_000_000
"""Bytes of a layer that pass before it: more than the kernel takes of an upload in advance."""


def keep_quiet(site: Site, engine: WatchedEngine, kind: Kind, seconds: float) -> None:
    """Have a registry say nothing in mid-layer for so long: the one attempt goes on when it speaks again."""
    upstream = site.cluster.registry if kind is IMAGE_PULL else site.cluster.registry_target
    image = site.image(layers=_LAYERS)
    with site.namespace() as objects, RegistryGate(upstream) as gate:
        reference = f"{gate.address}/{image.repository}:{image.tag}"
        if kind is IMAGE_PUSH:
            engine.daemon.pull(image.reference)
            engine.daemon.tag(image.reference, reference)
        gate.stall(path=r".*/blobs/.*", after_bytes=_BEFORE_SILENCE)
        objects.create(kind, "app", {"image": reference, "daemonName": engine.name})
        gate.wait(lambda seen: any(one.request_bytes + one.response_bytes >= _BEFORE_SILENCE for one in seen), 60)
        time.sleep(seconds)  # the silence itself
        assert not finished(objects.get(kind, "app")), "it ended while the registry was silent"
        gate.release()
        body = objects.wait_finished(kind, "app", seconds=END_SECONDS)
        assert [entry["outcome"] for entry in body["status"]["history"]] == ["Succeeded"], body["status"]
        if kind is IMAGE_PULL:
            assert_held_whole(engine.daemon, reference, image)
        else:
            assert_served_whole(gate.address, image.repository, image.tag, body["status"]["image"]["digest"])
        for name in (reference, image.reference):
            engine.daemon.remove(name)


def restart_between_attempts(cluster: Environment) -> None:
    """Kill the operator after every failed attempt: limits of retries and of time count on as if it had not been."""
    with (
        opened_site(cluster, "in-restarts") as site,
        site.namespace() as objects,
        RegistryGate(cluster.registry) as gate,
    ):
        gate.script(path=r"/v2/.+", status=503)
        limits = {"limited": {"backoffLimit": RETRIES}, "timed": {"activeDeadlineSeconds": DEADLINE_SECONDS}}
        for name, limit in limits.items():
            spec = {"image": f"{gate.address}/{objects.namespace}/{name}:1", "daemonName": site.both[0].name, **limit}
            objects.create(IMAGE_PULL, name, spec)
        begun = objects.wait(IMAGE_PULL, "timed", partial(_has_failed, times=1))["status"]["startTime"]
        for times in range(1, RETRIES + 1):
            objects.wait(IMAGE_PULL, "limited", partial(_has_failed, times=times), seconds=END_SECONDS)
            site.operator.kill()
            site.operator.start()
        limited = objects.wait_finished(IMAGE_PULL, "limited", seconds=END_SECONDS)["status"]
        timed = objects.wait_finished(IMAGE_PULL, "timed", seconds=END_SECONDS)
    assert (limited["failedAttempts"], limited["error"]["reason"]) == (RETRIES + 1, "RegistryUnavailable"), limited
    assert [entry["reason"] for entry in limited["history"] if entry["outcome"] == "Failed"] == [
        "RegistryUnavailable"
    ] * (RETRIES + 1), limited
    assert limited["conditions"][0]["reason"] == "BackoffLimitExceeded", limited
    stalled = condition(timed, "Stalled")
    assert stalled is not None, timed["status"]
    assert stalled["reason"] == "DeadlineExceeded", timed["status"]
    assert timed["status"]["startTime"] == begun
    lasted = datetime.fromisoformat(timed["status"]["completionTime"]) - datetime.fromisoformat(begun)
    assert lasted.total_seconds() >= DEADLINE_SECONDS, timed["status"]


@dataclass(frozen=True, slots=True)
class _Deleted:
    """An object whose deletion waits for its daemon."""

    objects: Objects
    engine: WatchedEngine
    image: str


@contextmanager
def _deleted_while_away(site: Site) -> Iterator[_Deleted]:
    """Delete an object with deletionPolicy Delete while its daemon does not answer, and restart the operator."""
    engine = site.both[0]
    image = site.image().reference
    with site.namespace() as objects:
        spec = {"image": image, "daemonName": engine.name, "deletionPolicy": "Delete"}
        body = objects.run(IMAGE_PULL, "app", spec)
        assert body["metadata"]["finalizers"], body["metadata"]
        engine.gate.cut(path=r".*")
        objects.delete(IMAGE_PULL, "app")
        site.operator.kill()
        site.operator.start()
        yield _Deleted(objects, engine, image)


def delete_while_away(cluster: Environment) -> None:
    """Delete an object while its daemon is away: the image goes when the daemon is back, and the object with it."""
    with opened_site(cluster, "in-deletion") as site, _deleted_while_away(site) as deleted:
        objects, engine = deleted.objects, deleted.engine
        assert objects.get(IMAGE_PULL, "app")["metadata"]["finalizers"], "it was let go before its image"
        assert engine.daemon.inspect(deleted.image) is not None
        engine.gate.release()
        objects.wait_gone(IMAGE_PULL, "app")
        assert engine.daemon.inspect(deleted.image) is None


def delete_without_return(cluster: Environment) -> None:
    """Delete an object whose daemon never comes back: it is let go with a warning, and not before its time."""
    with opened_site(cluster, "in-release") as site, _deleted_while_away(site) as deleted:
        objects = deleted.objects
        asked = objects.get(IMAGE_PULL, "app")["metadata"]["deletionTimestamp"]
        until = time.monotonic() + RELEASE_SECONDS + _GRACE_SECONDS
        while (answer := objects.api.request("GET", objects.path(IMAGE_PULL, "app"))).status != 404:
            assert time.monotonic() < until, f"it still waits: {answer.body['metadata']}"
            time.sleep(1.0)
        events = [event for event in objects.events("app") if event["reason"] == "FinalizerReleased"]
        assert [event["type"] for event in events] == ["Warning"], objects.events("app")
        told = datetime.fromisoformat(events[0]["firstTimestamp"]) - datetime.fromisoformat(asked)
        assert told.total_seconds() >= RELEASE_SECONDS, f"let go after {told}"
        deleted.engine.gate.release()
        deleted.engine.daemon.remove(deleted.image)


def _has_failed(body: Body, *, times: int) -> bool:
    return int(body["status"].get("failedAttempts", 0)) >= times


def _quiet_everywhere(site: Site) -> None:
    cases = [(engine, kind) for engine in site.both for kind in (IMAGE_PULL, IMAGE_PUSH)]
    side_by_side([partial(keep_quiet, site, engine, kind, QUIET_SECONDS) for engine, kind in cases])


def _rotate_everywhere(site: Site) -> None:
    cases = [(engine, kind) for engine in site.both for kind in (IMAGE_PULL, IMAGE_PUSH)]
    side_by_side([partial(rotation.rotate, site, engine, kind) for engine, kind in cases])


_TRIALS: Mapping[str, Callable[[Site], None]] = {
    "a registry silent for 90 s in mid-layer, pulls and pushes on both Engines": _quiet_everywhere,
    "the operator killed after every failed attempt": lambda site: restart_between_attempts(site.cluster),
    "a deletion while the daemon is away": lambda site: delete_while_away(site.cluster),
    "a deletion without the daemon's return": lambda site: delete_without_return(site.cluster),
    "a password changed in mid-transfer, pulls and pushes on both Engines": _rotate_everywhere,
}


def plans(_: Reference) -> Sequence[TrialPlan]:
    """Each of them once."""
    return [
        TrialPlan(CLASS.first + place, title, partial(_done, work))
        for place, (title, work) in enumerate(_TRIALS.items())
    ]


def _done(work: Callable[[Site], None], site: Site) -> bool:
    work(site)
    return True


CLASS = PlanClass(
    "patience",
    9001,
    "Silent registries, restarts between attempts, deletions without a daemon, and passwords that change.",
    plans,
    sampled=False,
)
