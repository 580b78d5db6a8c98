"""Let the API server fall silent, and see what /healthz says of the watches."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from devcluster.env import Environment
from devcluster.images import push_image
from faults.plans import Plan, PlanClass
from faults.reference import Reference
from faults.story import StoryPlan
from imageops.api.kinds import IMAGE_PULL
from tests.support.control_plane import private_control_plane
from tests.support.failover import prepared
from tests.support.objects import Objects, reason
from tests.support.operator_process import OperatorProcess

LIMIT_SECONDS = 90.0
"""By then a dead watch is no life, and a silent one is another one."""
_SHORT_SILENCE_SECONDS = 50.0
_POLL_SECONDS = 0.5


def _play(cluster: Environment) -> str:
    """Stop the API server until /healthz fails, let it go on, and have the same process work on."""
    with (
        tempfile.TemporaryDirectory(prefix="liveness-") as folder,
        private_control_plane() as plane,
        prepared(plane) as api,
    ):
        operator = OperatorProcess(plane.kubeconfig_operator, cluster.imageops_daemons, Path(folder) / "operator.log")
        operator.start()
        try:
            plane.pause()
            stopped = time.monotonic()
            while time.monotonic() - stopped < _SHORT_SILENCE_SECONDS:
                assert operator.is_alive(), "a silence that is short was taken for the end"
                time.sleep(_POLL_SECONDS)
            while operator.is_alive():
                assert time.monotonic() - stopped < LIMIT_SECONDS, "/healthz is good without a watch"
                time.sleep(_POLL_SECONDS)
            failed = time.monotonic() - stopped
            plane.resume()
            back = time.monotonic()
            image = push_image(cluster.registry, "liveness/app", "1")
            body = Objects(api, "default").run(IMAGE_PULL, "app", {"image": image.reference}, seconds=LIMIT_SECONDS)
            assert reason(body) == "Pulled", body["status"]
            ended = time.monotonic() - back
            assert operator.is_alive(), "/healthz fails although the watches are back"
        finally:
            operator.kill()
    return f"/healthz failed after {failed:.0f} s of silence; a pull was done {ended:.1f} s after its end"


def plans(_: Reference) -> Sequence[Plan]:
    """One plan: it takes two minutes."""
    return [StoryPlan(number=CLASS.first, title="the API server takes requests and answers none", story=_play)]


CLASS = PlanClass(
    "liveness",
    11001,
    "The API server falls silent for so long that every watch is dead, and speaks again.",
    plans,
    alone=True,
)
