"""What daemons and registries are asked to bear: limits, fair turns, shared pulls, and nothing from memory."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage, push_image
from devcluster.ledger import GateRequest
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG
from tests.integration.conftest import WATCHED, MakeGate, MakeImage, Measured, through
from tests.support.objects import Body, Objects, reason, run_ended
from tests.support.registry_tags import tagged
from tests.support.status_watch import StatusWatch
from tests.support.watched_engine import EngineUnderTest, WatchedEngine

pytestmark = pytest.mark.integration

LIMIT = 6
"""Streams that the operator opens at one daemon unless it is set otherwise."""
PAUSE_SECONDS = 60
MANIFESTS = r"/v2/.*/manifests/.*"


def is_pull(request: GateRequest) -> bool:
    """Tell whether a call of the operator opens a pull's stream."""
    return request.method == "POST" and "/images/create" in request.path


def names(prefix: str, count: int) -> list[str]:
    """Return names of objects."""
    return [f"{prefix}{number:03}" for number in range(count)]


def pull_many(objects: Objects, image: PushedImage, engine: EngineUnderTest, wanted: list[str]) -> None:
    """Create pulls of references of their own, which lead to one image."""
    for name, reference in zip(wanted, tagged(image, wanted), strict=True):
        objects.create(IMAGE_PULL, name, {"image": reference, "daemonName": engine.name})


def throttled(body: Body) -> bool:
    """Tell whether an operation waits for its turn."""
    return bool(body["status"].get("conditions")) and reason(body) == "Throttled"


@pytest.fixture
def watched_default(addresses: dict[str, str], gates: dict[str, RegistryGate]) -> Iterator[WatchedEngine]:
    """Return the Engine with the containerd store, as the operator reaches it through a gate."""
    yield WatchedEngine(f"{WATCHED}default", addresses["default"], keeps_digests=True, gate=gates["default"])
    gates["default"].release()


# --- a registry that asks for a pause; it begins with the first test and ends with the last


@dataclass(frozen=True, slots=True)
class Pause:
    """What waits for a registry that said 429."""

    objects: Objects
    gate: RegistryGate
    image: PushedImage
    refused: Body
    """The pull that met the 429, right after that."""


@pytest.fixture(scope="module")
def pause(shared_objects: Objects, cluster: Environment, make_image: MakeImage) -> Iterator[Pause]:
    """Have a registry say 429 to one pull."""
    image = make_image(tag="1")
    with RegistryGate(cluster.registry) as gate:
        gate.script(path=MANIFESTS, status=429, headers={"Retry-After": "7"}, body=b"{}")
        shared_objects.create(IMAGE_PULL, "refused", {"image": through(gate, image)})
        refused = shared_objects.wait(IMAGE_PULL, "refused", lambda body: bool(body["status"].get("error")))
        gate.release()
        yield Pause(shared_objects, gate, image, refused)


@pytest.mark.feature("retry.retry-after", "limit.registry-budget")
def test_a_429_pauses_the_registry_for_a_minute(pause: Pause) -> None:
    """The Engine hides Retry-After, so the pause is 60 s; status.error and nextRetryTime say so, the attempt counts."""
    status = pause.refused["status"]
    assert (status["error"]["reason"], status["phase"]) == ("RateLimited", "Pending")
    assert status["error"]["retryAfterSeconds"] == PAUSE_SECONDS
    failed_at = datetime.fromisoformat(status["history"][0]["completionTime"])
    due = datetime.fromisoformat(status["nextRetryTime"]) - failed_at
    assert timedelta(seconds=PAUSE_SECONDS - 2) <= due <= timedelta(seconds=PAUSE_SECONDS + 2)
    assert (status["attempts"], status["failedAttempts"]) == (1, 1)


@pytest.mark.feature("limit.registry-budget")
def test_the_pause_holds_all_with_that_registry_and_credential_and_nobody_else(
    pause: Pause,
    make_gate: MakeGate,
) -> None:
    """Another pull waits as Throttled and uses no attempt; another registry or credential is served at once."""
    objects, image = pause.objects, pause.image
    before = len(pause.gate.requests)
    for name in ("waits-1", "waits-2"):
        push_image(image.registry, image.repository, name, layers=[2000], seed=2)
        objects.create(IMAGE_PULL, name, {"image": f"{pause.gate.address}/{image.repository}:{name}"})
        body = objects.wait(IMAGE_PULL, name, throttled)
        assert (body["status"]["attempts"], body["status"]["phase"]) == (0, "Pending")
        assert 0 < body["status"]["error"]["retryAfterSeconds"] <= PAUSE_SECONDS
    assert len(pause.gate.requests) == before
    other = make_gate(image.registry)
    assert reason(objects.run(IMAGE_PULL, "other-registry", {"image": through(other, image)})) == "Pulled"
    objects.create_secret(
        "login",
        "kubernetes.io/basic-auth",
        {"username": "somebody", "password": "else"},
        annotations={"imageops.dev/registry": pause.gate.address},
    )
    push_image(image.registry, image.repository, "own", layers=[2000], seed=4)
    spec = {"image": f"{pause.gate.address}/{image.repository}:own", "secretRef": {"name": "login"}}
    assert reason(objects.run(IMAGE_PULL, "other-credential", spec)) == "Pulled"


# --- the daemon's limit


@pytest.mark.feature("limit.daemon")
def test_no_more_streams_than_the_limit_and_none_fails(
    objects: Objects,
    watched_default: WatchedEngine,
    make_image: MakeImage,
) -> None:
    """Of 200 pulls six are under way, the rest waits as Throttled without an attempt; in the end all are Pulled."""
    image, gate = make_image(), watched_default.gate
    wanted = names("p", 200)
    first = len(gate.requests)
    gate.stall(method="POST", path=r".*/images/create")
    pull_many(objects, image, watched_default, wanted)
    objects.wait(IMAGE_PULL, wanted[-1], throttled, seconds=60)

    def settled() -> bool:
        reasons = Counter(reason(body) for body in objects.all(IMAGE_PULL) if body["status"].get("conditions"))
        return reasons == {"Pulling": LIMIT, "Throttled": len(wanted) - LIMIT}

    objects.wait(IMAGE_PULL, wanted[0], lambda _: settled())
    waiting = [body for body in objects.all(IMAGE_PULL) if throttled(body)]
    assert {(body["status"]["attempts"], body["status"]["phase"]) for body in waiting} == {(0, "Pending")}
    assert sum(map(is_pull, gate.requests[first:])) == LIMIT

    peak = 0

    def all_done(requests: Sequence[GateRequest]) -> bool:
        nonlocal peak
        pulls = [one for one in requests[first:] if is_pull(one)]
        peak = max(peak, sum(not one.finished for one in pulls))
        return len(pulls) == len(wanted) and all(one.finished for one in pulls)

    gate.release()
    gate.wait(all_done, seconds=120)
    assert peak <= LIMIT
    for name in wanted:
        status = objects.wait_finished(IMAGE_PULL, name)["status"]
        assert (status["phase"], status["attempts"], status["failedAttempts"]) == ("Succeeded", 1, 0)


@pytest.mark.feature("fair.namespaces")
def test_a_namespace_is_not_kept_waiting_by_the_queue_of_another(
    objects: Objects,
    other_objects: Objects,
    watched_default: WatchedEngine,
    make_image: MakeImage,
    measured: Measured,
) -> None:
    """With 500 pulls of one namespace waiting, the one pull of another is among the next ten to start."""
    image, gate = make_image(), watched_default.gate
    first = len(gate.requests)
    gate.stall(method="POST", path=r".*/images/create")
    pull_many(objects, image, watched_default, names("a", 500))
    objects.wait(IMAGE_PULL, "a499", throttled, seconds=60)
    pull_many(other_objects, image, watched_default, ["b000"])
    other_objects.wait(IMAGE_PULL, "b000", throttled)
    gate.release()
    assert reason(other_objects.wait_finished(IMAGE_PULL, "b000")) == "Pulled"
    objects.delete_all(IMAGE_PULL)  # or those still waiting would be in the way of other tests
    order = [one.path for one in gate.requests[first:] if is_pull(one)]
    place = next(number for number, path in enumerate(order) if "b000" in path) - LIMIT
    measured(f"with 500 pulls of another namespace waiting, a pull was number {place + 1} to start")
    assert place < 10


@pytest.mark.feature("fair.quick-work")
def test_quick_work_does_not_queue_behind_long_pulls(
    objects: Objects,
    watched_default: WatchedEngine,
    make_image: MakeImage,
    measured: Measured,
) -> None:
    """Tags and pulls of present images end while the pull limit is full and more pulls wait."""
    present = make_image()
    watched_default.daemon.pull(present.reference)
    watched_default.gate.stall(method="POST", path=r".*/images/create")
    pull_many(objects, make_image(), watched_default, names("long", LIMIT + 4))
    objects.wait(IMAGE_PULL, "long000", lambda _: sum(throttled(body) for body in objects.all(IMAGE_PULL)) == 4)
    began: dict[str, float] = {}
    with StatusWatch(objects, IMAGE_TAG) as tags, StatusWatch(objects, IMAGE_PULL) as pulls:
        for number in range(40):
            target = f"local.example/{objects.namespace}:{number}"
            tag = {"source": present.reference, "target": target, "daemonName": watched_default.name}
            pull = {"image": present.reference, "daemonName": watched_default.name}
            work = ((tags, IMAGE_TAG, f"tag{number}", tag), (pulls, IMAGE_PULL, f"there{number}", pull))
            for watch, kind, name, spec in work:
                began[name] = time.monotonic()
                body = objects.run(kind, name, spec)
                assert body["status"]["phase"] == "Succeeded"
                watch.wait_for(body)
        ended = {one.name: one.at for one in reversed((*tags.seen(), *pulls.seen())) if "completionTime" in one.status}
    seconds = sorted(ended[name] - began[name] for name in began)
    p95 = seconds[math.ceil(0.95 * len(seconds)) - 1]
    median = seconds[len(seconds) // 2]
    measured(f"quick work beside full pulls: n={len(seconds)}, median {median:.3f} s, P95 {p95:.3f} s")
    assert sum(is_pull(one) and not one.finished for one in watched_default.gate.requests) == LIMIT


# --- shared pulls


def share(objects: Objects, engine: EngineUnderTest, reference: str, count: int, **fields: object) -> list[str]:
    """Create equal pulls, and return their names when all show how far the one stream is."""
    wanted = names("same", count)
    for name in wanted:
        objects.create(IMAGE_PULL, name, {"image": reference, "daemonName": engine.name, **fields})
    for name in wanted:
        objects.wait(IMAGE_PULL, name, lambda body: bool((body["status"].get("progress") or {}).get("bytesDone")))
    return wanted


@pytest.mark.feature("share.pull")
def test_equal_pulls_share_one_stream(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """Twenty make one call at the daemon and one GET of each blob at the registry; all show progress and end Pulled."""
    image = make_image(layers=[3_000_000, 50_000])
    gate = make_gate(image.registry, bytes_per_second=800_000)
    wanted = share(objects, watched, through(gate, image), 20, imagePullPolicy="Always")
    bodies = [objects.wait_finished(IMAGE_PULL, name) for name in wanted]
    assert {reason(body) for body in bodies} == {"Pulled"}
    assert {body["status"]["image"]["digest"] for body in bodies} == {image.digest}
    assert len(watched.pulls(image.repository)) == 1
    blobs = Counter(one.path for one in gate.requests if "/blobs/" in one.path and one.method == "GET")
    assert set(blobs.values()) == {1}
    assert len(blobs) == 3
    moved = [body["status"]["history"][0].get("bytesTransferred", 0) for body in bodies]
    assert sum(count > 0 for count in moved) == 1, "the bytes of one stream belong to one record"


@pytest.mark.feature("share.pull")
def test_unequal_pulls_never_share(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """Another platform, tag or credential makes a call of its own, though the content be the same."""
    image = make_image(platforms=["linux/amd64", "linux/arm64"])
    gate = make_gate(image.registry)
    objects.create_secret(
        "login",
        "kubernetes.io/basic-auth",
        {"username": "somebody", "password": "else"},
        annotations={"imageops.dev/registry": gate.address},
    )
    plain: Body = {"image": through(gate, image), "daemonName": watched.name, "imagePullPolicy": "Always"}
    watched.gate.stall(method="POST", path=r".*/images/create")
    specs = {
        "plain": plain,
        "platform": {**plain, "platforms": ["linux/amd64"]},
        "digest": {**plain, "image": f"{gate.address}/{image.repository}@{image.digest}"},
        "credential": {**plain, "secretRef": {"name": "login"}},
    }
    for name, spec in specs.items():
        objects.create(IMAGE_PULL, name, spec)
    watched.gate.wait(lambda _: len(watched.pulls(image.repository)) == len(specs))
    watched.gate.release()
    assert {reason(objects.wait_finished(IMAGE_PULL, name)) for name in specs} == {"Pulled"}


@pytest.mark.feature("share.cancel")
def test_the_last_to_leave_stops_a_shared_stream(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """Nineteen of twenty are cancelled, the one that began it among them: the stream goes on; with the last it ends."""
    image = make_image(layers=[8_000_000])
    gate = make_gate(image.registry, bytes_per_second=400_000)
    wanted = share(objects, watched, through(gate, image), 20)
    for name in wanted[:-1]:
        objects.patch(IMAGE_PULL, name, {"spec": {"cancel": True}})
    for name in wanted[:-1]:
        assert reason(objects.wait_finished(IMAGE_PULL, name)) == "Cancelled"

    def sent() -> int:
        return sum(one.response_bytes for one in gate.requests)

    before = sent()
    gate.wait(lambda requests: sum(one.response_bytes for one in requests) > before + 400_000)
    last = objects.get(IMAGE_PULL, wanted[-1])
    assert last["status"]["phase"] == "Running"
    objects.patch(IMAGE_PULL, wanted[-1], {"spec": {"cancel": True}})
    gate.wait(lambda requests: all(one.finished for one in requests))
    assert sent() < image.layer_bytes
    assert reason(objects.wait_finished(IMAGE_PULL, wanted[-1])) == "Cancelled"
    assert len(watched.pulls(image.repository)) == 1


@pytest.mark.feature("share.cancel")
def test_a_shared_stream_that_fails_is_retried_by_each_ones_own_limit(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """Who may not retry gives up; the others try again, and share again where they meet."""
    image = make_image(layers=[2_500_000])
    gate = make_gate(image.registry, bytes_per_second=500_000)
    watched.gate.cut(method="POST", path=r".*/images/create", after_bytes=1500, times=1)
    for number in range(4):
        spec = {"image": through(gate, image), "daemonName": watched.name, "backoffLimit": number % 2}
        objects.create(IMAGE_PULL, f"p{number}", spec)
    for number in range(4):
        objects.wait(IMAGE_PULL, f"p{number}", lambda body: body["status"].get("failedAttempts") == 1)
    assert len(watched.pulls(image.repository)) == 1
    gate.bytes_per_second = None
    bodies = [objects.wait_finished(IMAGE_PULL, f"p{number}") for number in range(4)]
    assert [body["status"]["phase"] for body in bodies] == ["Failed", "Succeeded"] * 2
    assert {body["status"]["error"]["reason"] for body in bodies[::2]} == {"DaemonConnectionLost"}
    assert [body["status"]["failedAttempts"] for body in bodies] == [1, 1, 1, 1]


# --- nothing from memory


@pytest.mark.feature("cache.no-stale")
def test_no_success_is_served_from_memory(objects: Objects, watched: WatchedEngine, make_image: MakeImage) -> None:
    """An image that somebody removed behind the operator is found missing by the next run, and pulled."""
    image = make_image()
    spec = {"image": image.reference, "daemonName": watched.name}
    assert reason(objects.run(IMAGE_PULL, "app", spec)) == "Pulled"
    watched.daemon.remove(image.reference)
    objects.ask_again(IMAGE_PULL, "app", "again")
    assert reason(objects.wait(IMAGE_PULL, "app", run_ended(2))) == "Pulled"
    objects.ask_again(IMAGE_PULL, "app", "and again")
    assert reason(objects.wait(IMAGE_PULL, "app", run_ended(3))) == "AlreadyPresent"
    tag = {"source": image.reference, "target": f"local.example/{objects.namespace}:1", "daemonName": watched.name}
    assert reason(objects.run(IMAGE_TAG, "tag", tag)) == "Tagged"
    watched.daemon.remove(tag["target"])
    objects.ask_again(IMAGE_TAG, "tag", "again")
    assert reason(objects.wait(IMAGE_TAG, "tag", run_ended(2))) == "Tagged"
    assert watched.daemon.inspect(tag["target"]) is not None


@pytest.mark.feature("cache.no-stale")
def test_no_failure_is_served_from_memory(objects: Objects, watched: WatchedEngine, make_image: MakeImage) -> None:
    """What the registry lacked a moment ago is asked for anew."""
    repository = f"{objects.namespace}/late"
    registry = make_image().registry
    spec = {"image": f"{registry}/{repository}:1", "daemonName": watched.name}
    assert reason(objects.run(IMAGE_PULL, "app", spec)) == "ImageNotFound"
    make_image(repository=repository)
    objects.ask_again(IMAGE_PULL, "app", "again")
    assert reason(objects.wait(IMAGE_PULL, "app", run_ended(2))) == "Pulled"


@pytest.mark.feature("cache.layers")
def test_only_the_layer_that_is_new_moves(
    objects: Objects,
    engine: EngineUnderTest,
    cluster: Environment,
    make_gate: MakeGate,
) -> None:
    """A second image shares four of five layers: its pull and its push move the fifth and nothing else."""
    source, target = make_gate(cluster.registry), make_gate(cluster.registry_target)
    repository, shared = f"{objects.namespace}/app", [60_000, 50_000, 40_000, 30_000]
    seed = int(objects.namespace.removeprefix("test-"), 16)
    images = [push_image(cluster.registry, repository, str(n), layers=[*shared, 20_000 + n], seed=seed) for n in (1, 2)]
    moved: list[tuple[set[str], set[int]]] = []
    for number, image in enumerate(images):
        seen = len(source.requests), len(target.requests)
        pulled, pushed = through(source, image), f"{target.address}/{repository}:{number}"
        assert reason(objects.run(IMAGE_PULL, f"p{number}", {"image": pulled, "daemonName": engine.name})) == "Pulled"
        engine.daemon.tag(pulled, pushed)
        assert reason(objects.run(IMAGE_PUSH, f"u{number}", {"image": pushed, "daemonName": engine.name})) == "Pushed"
        layers = {layer.digest: layer.size for layer in image.manifests[0].layers}
        fetched = {one.path.rpartition("/")[2] for one in source.requests[seen[0] :] if one.method == "GET"}
        sent = [one.request_bytes for one in target.requests[seen[1] :] if one.method in {"PATCH", "PUT"}]
        moved.append((fetched & set(layers), {count for count in sent if count > 10_000}))
    old, new = ({layer.digest for layer in image.manifests[0].layers} for image in images)
    assert moved[0][0] == old
    assert moved[1][0] == new - old
    assert (len(moved[0][1]), len(moved[1][1])) == (5, 1)


# --- the end of the pause


@pytest.mark.feature("limit.registry-budget", "retry.retry-after")
def test_the_first_one_through_lifts_the_pause(pause: Pause) -> None:
    """When the minute is over all that waited are served, without waiting for each other any longer."""
    for name in ("refused", "waits-1", "waits-2"):
        body = pause.objects.wait_finished(IMAGE_PULL, name, seconds=PAUSE_SECONDS + 60)
        assert reason(body) == "Pulled"
    objects, image = pause.objects, pause.image
    push_image(image.registry, image.repository, "late", layers=[2000], seed=3)
    body = objects.run(IMAGE_PULL, "late", {"image": f"{pause.gate.address}/{image.repository}:late"})
    assert (reason(body), body["status"]["attempts"]) == ("Pulled", 1)
    assert "Throttled" not in {one["reason"] for one in objects.events("late")}
