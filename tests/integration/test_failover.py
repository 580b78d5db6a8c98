"""Two operators with one Lease: one works, the other takes over."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from devcluster.env import Environment
from imageops.api.kinds import IMAGE_PULL
from tests.integration.conftest import MakeImage, Measured
from tests.support.admission import ApiServer
from tests.support.control_plane import ControlPlane, private_control_plane
from tests.support.failover import LIMIT_SECONDS, Pair, kill_in_push, lease_settings, pair, pause_in_push, prepared
from tests.support.objects import Objects, reason
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.integration

LEASE_SECONDS = 3
BLOCKABLE = """
import signal, sys, threading
from imageops.cli.main import main
signal.signal(signal.SIGUSR1, lambda *_: threading.Event().wait())
sys.exit(main(["operator"]))
"""
"""The operator, with an event loop that a signal blocks for good."""


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """Run an API server that no other operator watches."""
    with private_control_plane() as plane:
        yield plane


@pytest.fixture(scope="module")
def own_api(plane: ControlPlane) -> Iterator[ApiServer]:
    """Talk to it as its administrator, with our kinds and roles applied."""
    with prepared(plane) as api:
        yield api


@pytest.fixture
def two(plane: ControlPlane, own_api: ApiServer, cluster: Environment, tmp_path: Path) -> Iterator[Pair]:
    """Run two operators, of which the first leads."""
    with pair(plane, own_api, cluster, tmp_path, lease_seconds=LEASE_SECONDS) as two:
        yield two


@pytest.mark.feature("scale.failover")
def test_the_standby_goes_on_where_a_killed_leader_was(two: Pair, measured: Measured) -> None:
    """Killed in mid-push: the registry gets the tag once, and the status tells of the interruption."""
    asked = [one for one in two.engine.gate.requests if one.method != "GET"]
    assert asked == []
    seconds = kill_in_push(two, until_bytes=2_000_000)
    measured(f"leader killed in mid-push, Lease of {LEASE_SECONDS} s: the standby wrote after {seconds:.1f} s")
    assert 'leader_election_master_status{name="failover-' in two.standby.read("metrics")


@pytest.mark.feature("scale.failover")
def test_a_leader_that_was_stopped_for_longer_than_its_lease_does_nothing_more(two: Pair, measured: Measured) -> None:
    """It ends as soon as it goes on: no write, no call to the daemon, and the standby leads undisturbed."""
    seconds = pause_in_push(two, until_bytes=2_000_000)
    measured(f"leader stopped in mid-push, Lease of {LEASE_SECONDS} s: the standby worked after {seconds:.1f} s")


@pytest.mark.feature("scale.failover")
def test_a_leader_that_is_asked_to_end_hands_over(two: Pair, measured: Measured) -> None:
    """It drains, gives the Lease back, and the standby takes it at its next look; a standby simply ends."""
    image = two.begin_push(until_bytes=1_000_000)
    assert two.leader.stop() == 0
    ended = time.monotonic()
    two.standby.wait_works(LIMIT_SECONDS)
    measured(f"leader asked to end: the standby worked {time.monotonic() - ended:.1f} s after its end")
    two.assert_pushed_once(image, two.finish_push(image))
    two.leader.start()
    assert not two.leader.works()
    assert two.leader.stop() == 0
    assert two.standby.works()


@pytest.mark.feature("scale.failover")
def test_a_leader_that_cannot_renew_ends_and_a_standby_waits(two: Pair, plane: ControlPlane) -> None:
    """While the API server says nothing nobody works; when it speaks again the standby does."""
    plane.pause()
    try:
        assert two.leader.wait_ended(LIMIT_SECONDS) == 1
        assert requests.get(f"http://127.0.0.1:{two.standby.port}/healthz", timeout=10).ok
    finally:
        plane.resume()
    two.standby.wait_works(LIMIT_SECONDS)


@pytest.mark.feature("health.liveness")
def test_a_blocked_event_loop_is_no_life_and_loses_the_lease(
    plane: ControlPlane, own_api: ApiServer, cluster: Environment, make_image: MakeImage, tmp_path: Path
) -> None:
    """/healthz gives no answer, the watchdog ends the process, and the next one goes on from the statuses."""
    settings = lease_settings(LEASE_SECONDS)
    blocked, follower = (
        OperatorProcess(plane.kubeconfig_operator, cluster.imageops_daemons, tmp_path / "operator.log", settings)
        for _ in range(2)
    )
    blocked.command = ("-c", BLOCKABLE)
    blocked.start(wait=False)
    try:
        blocked.wait_works()
        follower.start()
        blocked.send(signal.SIGUSR1)
        with pytest.raises(requests.RequestException):
            probe_often(blocked)
        assert blocked.wait_ended(LIMIT_SECONDS) == 1
        follower.wait_works(LIMIT_SECONDS)
        body = Objects(own_api, "default").run(IMAGE_PULL, "after-the-block", {"image": make_image().reference})
        assert reason(body) == "Pulled"
    finally:
        blocked.kill()
        follower.kill()


def probe_often(operator: OperatorProcess) -> None:
    """Probe as a kubelet does, until there is no answer."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        requests.get(f"http://127.0.0.1:{operator.port}/healthz", timeout=1)
