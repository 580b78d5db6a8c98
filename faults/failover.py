"""Take the leader away from two operators that share a Lease: killed, or stopped for longer than the Lease lasts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from devcluster.env import Environment
from faults.plans import Plan, PlanClass
from faults.reference import Reference
from faults.story import StoryPlan
from tests.support.control_plane import private_control_plane
from tests.support.failover import DEFAULT_LEASE_SECONDS, LAYER_BYTES, kill_in_push, pair, pause_in_push, prepared

_KILLS = 20
_PAUSES = 10
_SHORT_LEASE_SECONDS = 3
"""For most trials; the last of each kind has the default."""


def _play(cluster: Environment, *, take_away: Callable[..., float], lease_seconds: int, until_bytes: int) -> str:
    """Take the leader away at one point of a push, on an API server that no other operator watches."""
    with (
        tempfile.TemporaryDirectory(prefix="failover-") as folder,
        private_control_plane() as plane,
        prepared(plane) as api,
        pair(plane, api, cluster, Path(folder), lease_seconds=lease_seconds) as two,
    ):
        return f"the standby was at work after {take_away(two, until_bytes=until_bytes):.1f} s"


def plans(_: Reference) -> Sequence[Plan]:
    """Points spread over the whole push, from its first byte to its last."""
    return [
        StoryPlan(
            number=CLASS.first + offset + place,
            title=f"leader {what} when {share:.0%} of a push are over, Lease of {seconds} s",
            story=partial(
                _play, take_away=take_away, lease_seconds=seconds, until_bytes=max(1, int(share * LAYER_BYTES))
            ),
        )
        for what, take_away, count, offset in (
            ("killed", kill_in_push, _KILLS, 0),
            ("stopped", pause_in_push, _PAUSES, _KILLS),
        )
        for place in range(count)
        for share in (place / (count - 1),)
        for seconds in (DEFAULT_LEASE_SECONDS if place == count // 2 else _SHORT_LEASE_SECONDS,)
    ]


CLASS = PlanClass(
    "failover",
    8001,
    "Of two operators that share a Lease the one that leads is killed or stopped in mid-push, and the other goes on.",
    plans,
    alone=True,
)
