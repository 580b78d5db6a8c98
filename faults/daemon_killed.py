"""Kill dockerd in the middle of pulls and pushes, and start it again at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from devcluster import control
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage
from devcluster.ledger import GateRequest
from faults.content import assert_held_whole, assert_served_whole
from faults.plans import PlanClass
from faults.reference import Reference
from faults.site import Site
from faults.trials import TrialPlan, side_by_side
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, Kind
from tests.support.objects import Body, reason
from tests.support.status_watch import StatusWatch
from tests.support.watched_engine import WatchedEngine

AT_A_TIME = 2
"""Objects in mid-transfer at each kill."""
END_SECONDS = 60.0
KILLS = 20
"""In mid-pull, and again in mid-push, on each Engine."""
KILLS_WITH_CONTAINERD = 3
_PULLED_LAYERS = (1_500_000, 1_500_000)
_PUSHED_LAYERS = (12_000_000,)
"""The kernel takes some megabytes of an upload in advance, so it has to be larger to be cut in the middle."""
_SPEEDS = {IMAGE_PULL: 2_000_000, IMAGE_PUSH: 12_000_000}
_MOVED = {IMAGE_PULL: range(100_000, 2_000_000), IMAGE_PUSH: range(500_000, 8_000_000)}
"""Bytes after which the daemon is killed; the trial's number chooses among them."""
_GOLDEN = 0.618033988749895
"""Its multiples, taken modulo 1, spread evenly however many there are."""


_DONE = {IMAGE_PULL: "Pulled", IMAGE_PUSH: "Pushed"}


@dataclass(frozen=True, slots=True)
class _Transfer:
    """One image, and the name it is moved by: through a gate before the registry."""

    image: PushedImage
    reference: str


@dataclass(frozen=True, slots=True)
class Killed:
    """What one kill came to."""

    seconds: float
    """From the daemon's return to the last end."""
    calls: int
    """Pulls or pushes that the daemon was asked for."""
    failed_attempts: int


def kill_in_mid_transfer(
    site: Site, engine: WatchedEngine, kind: Kind, *, number: int, containerd: bool = False
) -> Killed:
    """Kill the daemon when bytes have moved, start it, and check that all objects end well, once, and truly.

    `number` chooses the moment. With `containerd` the daemon's containerd dies as well.
    """
    amount = _MOVED[kind]
    enough = amount[int(number * _GOLDEN % 1 * len(amount))]
    upstream = site.cluster.registry if kind is IMAGE_PULL else site.cluster.registry_target
    with site.namespace() as objects, RegistryGate(upstream, bytes_per_second=_SPEEDS[kind]) as gate:
        transfers = {f"app-{place}": _prepared(site, engine, kind, gate) for place in range(AT_A_TIME)}
        with StatusWatch(objects, kind) as watch:
            for name, transfer in transfers.items():
                objects.create(kind, name, {"image": transfer.reference, "daemonName": engine.name})
            gate.wait(lambda seen: _moved(kind, seen) >= enough, END_SECONDS)
            _kill_and_start(engine, containerd=containerd)
            returned = time.monotonic()
            gate.bytes_per_second = None
            ends = {name: objects.wait_finished(kind, name, seconds=END_SECONDS) for name in transfers}
            seconds = time.monotonic() - returned
            for body in ends.values():
                assert_one_end(watch, body)
        calls = sum(_assert_done(engine, kind, gate, transfers[name], body) for name, body in ends.items())
        for transfer in transfers.values():
            engine.daemon.remove(transfer.reference)
            engine.daemon.remove(transfer.image.reference)
        return Killed(seconds, calls, sum(body["status"].get("failedAttempts", 0) for body in ends.values()))


def assert_one_end(watch: StatusWatch, body: Body) -> None:
    """Check that an object's run has ended once and not gone on after it."""
    ends = {one.status["completionTime"] for one in watch.wait_for(body) if "completionTime" in one.status}
    assert len(ends) == 1, f"{body['metadata']['name']} ended {len(ends)} times"
    assert body["status"]["run"] == 1


def _prepared(site: Site, engine: WatchedEngine, kind: Kind, gate: RegistryGate) -> _Transfer:
    """Make an image, and have it on the daemon if it is to be pushed."""
    image = site.image(layers=_PULLED_LAYERS if kind is IMAGE_PULL else _PUSHED_LAYERS)
    transfer = _Transfer(image, f"{gate.address}/{image.repository}:{image.tag}")
    if kind is IMAGE_PUSH:
        engine.daemon.pull(image.reference)
        engine.daemon.tag(image.reference, transfer.reference)
    return transfer


def _moved(kind: Kind, seen: Sequence[GateRequest]) -> int:
    """Return the bytes of content that have passed a registry's gate."""
    return sum(one.response_bytes if kind is IMAGE_PULL else one.request_bytes for one in seen)


def _kill_and_start(engine: WatchedEngine, *, containerd: bool) -> None:
    dockerd, beneath = f"engine-{engine.name}", f"containerd-{engine.name}"
    control.kill(dockerd)
    if containerd:
        control.kill(beneath)
        control.start(beneath)
    control.start(dockerd)


def _assert_done(engine: WatchedEngine, kind: Kind, gate: RegistryGate, transfer: _Transfer, body: Body) -> int:
    """Check what the daemon or the registry has, and return the number of calls it took."""
    status, image = body["status"], transfer.image
    assert reason(body) == _DONE[kind], status
    if kind is IMAGE_PULL:
        assert status["image"]["digest"] == image.digest
        assert_held_whole(engine.daemon, transfer.reference, image)
        calls = engine.pulls(image.repository)
    else:
        assert_served_whole(gate.address, image.repository, image.tag, status["image"]["digest"])
        calls = engine.pushes(image.repository)
    assert 1 <= len(calls) <= 1 + status.get("failedAttempts", 0), calls
    return len(calls)


def plans(_: Reference) -> Sequence[TrialPlan]:
    """Twenty kills in mid-pull and twenty in mid-push on both Engines, and some more with their containerd."""
    kills = [(kind, number, False) for number in range(KILLS) for kind in _DONE]
    kills += [(kind, number, True) for number in range(KILLS_WITH_CONTAINERD) for kind in _DONE]
    return [
        TrialPlan(CLASS.first + place, _title(kind, number, containerd), partial(_kill_both, kind, number, containerd))
        for place, (kind, number, containerd) in enumerate(kills)
    ]


def _title(kind: Kind, number: int, containerd: bool) -> str:  # noqa: FBT001 - handed on from the list of kills
    what = "dockerd and containerd" if containerd else "dockerd"
    return f"{what} killed on both Engines in a running {kind.kind}, moment {number + 1}"


def _kill_both(kind: Kind, number: int, containerd: bool, site: Site) -> bool:  # noqa: FBT001 - likewise
    side_by_side(
        [
            partial(kill_in_mid_transfer, site, engine, kind, number=number, containerd=containerd)
            for engine in site.both
        ]
    )
    return True


CLASS = PlanClass(
    "daemon-killed",
    5001,
    "dockerd is killed (SIGKILL) on both Engines with two objects each in mid-transfer, and started again at once.",
    plans,
    alone=True,
    sampled=False,
)
