"""Take the leader away from two operators that share a Lease: killed, or stopped for longer than the Lease lasts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from devcluster.env import Environment
from faults.plans import Plan, PlanClass
from faults.reference import Reference
from faults.story import StoryPlan
from tests.support.control_plane import private_control_plane
from tests.support.failover import (
    DEFAULT_LEASE_SECONDS,
    LAYER_BYTES,
    TakeAway,
    kill_in_push,
    pair,
    pause_in_push,
    prepared,
)

_SHORT_LEASE_SECONDS = 3
_POINTS = 5
"""Trials in a row in each plan; the operator that was taken away stands by in the next one."""
_KILL_PLANS = 4
_PAUSE_PLANS = 2
"""Of each kind the last plan has the default Lease, the others a short one."""


def _play(cluster: Environment, *, take_away: TakeAway, lease_seconds: int, shares: Sequence[float]) -> str:
    """Take the leader away at some points of a push, on an API server that no other operator watches."""
    seconds = []
    with (
        tempfile.TemporaryDirectory(prefix="failover-") as folder,
        private_control_plane() as plane,
        prepared(plane) as api,
        pair(plane, api, cluster, Path(folder), lease_seconds=lease_seconds) as two,
    ):
        for share in shares:
            seconds.append(take_away(two, until_bytes=max(1, int(share * LAYER_BYTES))))
            two.change_places()
    return f"the standby was at work after {', '.join(f'{each:.1f}' for each in seconds)} s"


def plans(_: Reference) -> Sequence[Plan]:
    """Points spread over the whole push, from its first byte to its last."""
    kills = [("killed", kill_in_push, place, _KILL_PLANS) for place in range(_KILL_PLANS)]
    pauses = [("stopped", pause_in_push, place, _PAUSE_PLANS) for place in range(_PAUSE_PLANS)]
    return [
        _plan(CLASS.first + number, what, take_away, (place, count))
        for number, (what, take_away, place, count) in enumerate([*kills, *pauses])
    ]


def _plan(number: int, what: str, take_away: TakeAway, part: tuple[int, int]) -> StoryPlan:
    place, count = part
    shares = [(place + point * count) / (count * _POINTS - 1) for point in range(_POINTS)]
    seconds = DEFAULT_LEASE_SECONDS if place == count - 1 else _SHORT_LEASE_SECONDS
    points = ", ".join(f"{share:.0%}" for share in shares)
    return StoryPlan(
        number=number,
        title=f"leader {what} at {points} of a push, Lease of {seconds} s",
        story=partial(_play, take_away=take_away, lease_seconds=seconds, shares=shares),
        crashes=_POINTS,
    )


CLASS = PlanClass(
    "failover",
    10001,
    "Of two operators that share a Lease the one that leads is killed or stopped in mid-push, and the other goes on.",
    plans,
    alone=True,
)
