"""Two operators with one Lease, on an API server of their own, and what has to hold when the leader goes away."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage, manifest_digest, push_image
from devcluster.install import install
from devcluster.ledger import GateRequest
from imageops.api.kinds import IMAGE_PUSH, OPERATION_KINDS, SESSION
from tests.support.admission import ApiServer
from tests.support.control_plane import ControlPlane
from tests.support.objects import Body, Objects, reason
from tests.support.operator_process import OperatorProcess
from tests.support.watched_engine import WatchedEngine

NAMESPACE = "imageops-system"
"""Where the operator may keep Leases."""
DEFAULT_LEASE_SECONDS = 15
TakeAway = Callable[..., float]
"""Takes the leader of a pair away when `until_bytes` of a push have arrived; returns what it measured."""
LIMIT_SECONDS = 30.0
"""Within which the standby has to be at work."""
LAYER_BYTES = 12_000_000
_BYTES_PER_SECOND = 3_000_000


@dataclass(slots=True)
class Pair:
    """Two operators of which one leads, and the only way from them to an Engine and from that to a registry."""

    leader: OperatorProcess
    standby: OperatorProcess
    objects: Objects
    engine: WatchedEngine
    registry: RegistryGate
    cluster: Environment

    def begin_push(self, *, until_bytes: int) -> PushedImage:
        """Create an ImagePush of a new image, and return when so many bytes of it have reached the registry."""
        unique = secrets.token_hex(4)
        image = push_image(self.cluster.registry, f"failover/{unique}", "1", layers=[LAYER_BYTES], seed=int(unique, 16))
        self.engine.daemon.pull(image.reference)
        self.engine.daemon.tag(image.reference, self.target(image))
        self.registry.bytes_per_second = _BYTES_PER_SECOND
        self.objects.create(IMAGE_PUSH, self.name(image), {"image": self.target(image)})
        self.registry.wait(
            lambda seen: sum(one.request_bytes for one in seen if image.repository in one.path) >= until_bytes,
            seconds=LIMIT_SECONDS,
        )
        return image

    def change_places(self) -> None:
        """Start the leader that is gone again: it stands by now, and the former standby leads."""
        self.leader.kill()
        self.leader.start()
        self.leader, self.standby = self.standby, self.leader
        assert self.leader.works()
        assert not self.standby.works()

    def target(self, image: PushedImage) -> str:
        """Return where an image is pushed to."""
        return f"{self.registry.address}/{image.repository}:{image.tag}"

    def name(self, image: PushedImage) -> str:
        """Return the name of the object that pushes it."""
        return image.repository.rpartition("/")[2]

    def finish_push(self, image: PushedImage) -> Body:
        """Take the brake off, and return the object when it has ended."""
        self.registry.bytes_per_second = None
        return self.objects.wait_finished(IMAGE_PUSH, self.name(image), seconds=2 * LIMIT_SECONDS)

    def assert_pushed_once(self, image: PushedImage, body: Body) -> None:
        """Check that the registry took the tag once, the daemon was asked at most twice, and the status tells it so."""
        status = body["status"]
        assert reason(body) in {"Pushed", "AlreadyPushed"}, status
        assert status["image"]["digest"] == manifest_digest(self.cluster.registry_target, image.repository, image.tag)
        # An attempt that was gone before its first status, which comes after two seconds, is not told of.
        assert [entry["outcome"] for entry in status["history"]] in (["Interrupted", "Succeeded"], ["Succeeded"])
        assert len(self.engine.pushes(image.repository)) <= 2
        if reason(body) == "AlreadyPushed":
            assert len(self.engine.pushes(image.repository)) == 1

    def tag_writes(self, image: PushedImage) -> list[GateRequest]:
        """Return the requests that gave the registry the tag; one cut off with its daemon call gives it nothing."""
        path = f"/v2/{image.repository}/manifests/{image.tag}"
        answered = [one for one in self.registry.requests if one.status is not None]
        return [one for one in answered if one.method == "PUT" and one.path == path]


def lease_settings(seconds: int) -> dict[str, str]:
    """Name a new Lease of this duration in the operator's environment."""
    return {
        "IMAGEOPS_LEASE_NAME": f"failover-{secrets.token_hex(4)}",
        "IMAGEOPS_LEASE_NAMESPACE": NAMESPACE,
        "IMAGEOPS_LEASE_DURATION_SECONDS": str(seconds),
    }


@contextmanager
def prepared(plane: ControlPlane) -> Iterator[ApiServer]:
    """Apply the kinds and roles to an API server, and talk to it as its administrator."""
    install(Path(plane.kubeconfig))
    with closing(ApiServer(plane.kubeconfig)) as api:
        for kind in (*OPERATION_KINDS, SESSION):
            api.wait_until_served(kind)
        yield api


@contextmanager
def pair(
    plane: ControlPlane, api: ApiServer, cluster: Environment, folder: Path, *, lease_seconds: int
) -> Iterator[Pair]:
    """Run two operators on the Engine with the containerd store; the first one leads when the block begins."""
    address = dict(one.split("=", 1) for one in cluster.imageops_daemons.split(","))["default"]
    settings = lease_settings(lease_seconds)
    with RegistryGate(address) as engine, RegistryGate(cluster.registry_target) as registry:
        daemons = f"default=tcp://{engine.address}"
        first, second = (
            OperatorProcess(plane.kubeconfig_operator, daemons, folder / f"{name}.log", settings)
            for name in ("first", "second")
        )
        try:
            first.start(wait=False)
            first.wait_works()
            second.start()
            assert not second.works()
            watched = WatchedEngine("default", address, keeps_digests=True, gate=engine)
            objects = Objects(api, "default")
            yield Pair(first, second, objects, watched, registry, cluster)
        finally:
            first.kill()
            second.kill()


def _is_taken_up(body: Body) -> bool:
    """Tell whether somebody has closed the attempt that the killed leader left, or made one of its own."""
    history = body["status"].get("history") or [{}]
    return "completionTime" in history[0]


def kill_in_push(two: Pair, *, until_bytes: int) -> float:
    """Kill the leader in mid-push; return the seconds until the standby had written its first status."""
    image = two.begin_push(until_bytes=until_bytes)
    two.leader.kill()
    killed = time.monotonic()
    two.registry.bytes_per_second = None
    two.objects.wait(IMAGE_PUSH, two.name(image), _is_taken_up, seconds=LIMIT_SECONDS)
    seconds = time.monotonic() - killed
    two.assert_pushed_once(image, two.finish_push(image))
    writes = two.tag_writes(image)
    assert len(writes) == 1, writes
    return seconds


def pause_in_push(two: Pair, *, until_bytes: int) -> float:
    """Stop the leader in mid-push for longer than its Lease, let it go on, and check that it does nothing more.

    Returns:
        The seconds until the standby worked.
    """
    image = two.begin_push(until_bytes=until_bytes)
    two.leader.pause()
    paused = time.monotonic()
    two.standby.wait_works(LIMIT_SECONDS)
    seconds = time.monotonic() - paused
    body = two.finish_push(image)
    two.assert_pushed_once(image, body)
    before = len(two.engine.gate.requests)
    two.leader.resume()
    assert two.leader.wait_ended(LIMIT_SECONDS) == 1
    asked = [one for one in two.engine.gate.requests[before:] if one.method != "GET"]
    assert asked == []
    assert two.objects.get(IMAGE_PUSH, two.name(image)) == body
    assert two.standby.works()
    return seconds
