"""ImagePush on real parts."""

from __future__ import annotations

import pytest
import requests

from devcluster.env import Environment
from devcluster.images import PushedImage, manifest_digest
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG
from tests.integration.conftest import MakeGate, MakeImage
from tests.support.objects import Body, Objects, condition, reason
from tests.support.watched_engine import EngineUnderTest, WatchedEngine

pytestmark = pytest.mark.integration

DENIED = (
    b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied",'
    b'"detail":[{"Type":"repository","Action":"push"}]}]}'
)
"""With a detail, as registries send it: Engine 20.10 takes a denial without one for a fault that passes."""
JSON = {"Content-Type": "application/json"}


def local(engine: EngineUnderTest, image: PushedImage, target: str) -> str:
    """Bring an image to the daemon and tag it for a push; return the target."""
    engine.daemon.pull(image.reference)
    engine.daemon.tag(image.reference, target)
    return target


def target_of(cluster: Environment, image: PushedImage, tag: str = "1") -> str:
    """Return where tests push an image: the same repository in the target registry."""
    return f"{cluster.registry_target}/{image.repository}:{tag}"


def served(cluster: Environment, image: PushedImage, tag: str = "1") -> str | None:
    """Return the digest that the target registry serves."""
    return manifest_digest(cluster.registry_target, image.repository, tag)


@pytest.mark.feature("push.succeeds")
@pytest.mark.feature("push.digest-forms")
def test_a_push_ends_pushed_with_the_digest_that_the_registry_serves(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """The digest is found in the words of either Engine, and it is the one that the registry names afterwards."""
    image = make_image(layers=[50_000, 20_000])
    target = local(watched, image, target_of(cluster, image))
    body = objects.run(IMAGE_PUSH, "app", {"image": target, "daemonName": watched.name})
    assert reason(body) == "Pushed"
    digest = served(cluster, image)
    assert digest is not None
    assert body["status"]["image"]["digest"] == body["status"]["history"][0]["digest"] == digest
    assert (digest == image.digest) == watched.keeps_digests
    calls = [call for call in watched.calls(image.repository) if "/push?" in call or "/distribution/" in call]
    assert ["/push?" in call for call in calls] == [False, True, False]


@pytest.mark.feature("push.succeeds")
def test_a_registry_that_keeps_nothing_is_a_failed_attempt(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
    cluster: Environment,
) -> None:
    """The registry answers 201 to the manifest and stores nothing: the Engine calls it done, the status does not."""
    image = make_image()
    gate = make_gate(cluster.registry_target)
    # Engine 20.10 wants a digest in the answer and believes any, Engine 29 compares one that is there.
    headers = {} if watched.keeps_digests else {"Docker-Content-Digest": f"sha256:{'a' * 64}"}
    gate.script(method="PUT", path=r".*/manifests/.*", status=201, headers=headers)
    target = local(watched, image, f"{gate.address}/{image.repository}:1")
    body = objects.run(IMAGE_PUSH, "app", {"image": target, "daemonName": watched.name, "backoffLimit": 0})
    assert reason(body) == "BackoffLimitExceeded"
    assert body["status"]["error"]["reason"] == "ImageChanged"
    assert body["status"]["history"][0]["outcome"] == "Failed"
    assert len(watched.pushes(image.repository)) == 1
    assert served(cluster, image) is None


@pytest.mark.feature("push.succeeds")
def test_a_registry_that_keeps_nothing_and_says_so_without_a_word_is_a_failed_attempt(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
    cluster: Environment,
) -> None:
    """Its 404 has no body: a graph driver's Engine tells the status, Engine 29 nothing, and none makes it a success."""
    image = make_image()
    gate = make_gate(cluster.registry_target)
    headers = {} if watched.keeps_digests else {"Docker-Content-Digest": f"sha256:{'a' * 64}"}
    gate.script(method="PUT", path=r".*/manifests/.*", status=201, headers=headers)
    for method in ("HEAD", "GET"):
        gate.script(method=method, path=r".*/manifests/1$", status=404)
    target = local(watched, image, f"{gate.address}/{image.repository}:1")
    spec = {"image": target, "daemonName": watched.name, "backoffLimit": 0, "ifExists": "Replace"}
    error = objects.run(IMAGE_PUSH, "app", spec)["status"]["error"]
    assert error["reason"] in {"ImageChanged", *(["RegistryError"] if watched.keeps_digests else [])}
    assert served(cluster, image) is None


@pytest.mark.feature("push.denied-in-200-stream")
@pytest.mark.parametrize("status", [401, 403])
def test_a_denied_upload_is_seen_in_the_stream(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
    cluster: Environment,
    status: int,
) -> None:
    """The daemon answers HTTP 200 and tells of the refusal inside the stream: AuthFailed after one attempt."""
    image = make_image()
    gate = make_gate(cluster.registry_target)
    gate.script(method="POST", path=r".*/blobs/uploads/", status=status, headers=JSON, body=DENIED)
    target = local(watched, image, f"{gate.address}/{image.repository}:1")
    body = objects.run(IMAGE_PUSH, "app", {"image": target, "daemonName": watched.name})
    assert reason(body) == "AuthFailed"
    assert condition(body, "Stalled") is not None
    assert body["status"]["attempts"] == 1
    pushes = [one for one in watched.gate.requests if "/push" in one.path and image.repository in one.path]
    assert [one.status for one in pushes] == [200]


@pytest.mark.feature("push.digest-forms")
def test_a_stream_without_a_digest_is_a_failure(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Every layer pushed and HTTP 200 prove nothing."""
    image = make_image()
    target = local(watched, image, target_of(cluster, image))
    words = b'{"status":"The push refers to repository [x]"}\r\n{"status":"Pushed","id":"0123456789ab"}\r\n'
    watched.gate.script(method="POST", path=r".*/push", status=200, headers=JSON, body=words)
    body = objects.run(IMAGE_PUSH, "app", {"image": target, "daemonName": watched.name, "backoffLimit": 0})
    assert body["status"]["error"]["reason"] == "DaemonError"
    assert served(cluster, image) is None


@pytest.mark.feature("push.digest-forms")
def test_a_push_that_arrived_without_a_word_is_recognised(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Where the registry has the tag after a stream that named no digest, the next look ends AlreadyPushed."""
    image = make_image()
    target = local(watched, image, target_of(cluster, image))
    words = b'{"status":"Pushed","id":"0123456789ab"}\r\n'
    watched.gate.script(method="POST", path=r".*/push", status=200, headers=JSON, body=words, times=1)
    objects.create(IMAGE_PUSH, "app", {"image": target, "daemonName": watched.name})
    objects.wait(IMAGE_PUSH, "app", lambda body: bool(body["status"].get("failedAttempts")))
    watched.daemon.push(target)
    body = objects.wait_finished(IMAGE_PUSH, "app")
    assert reason(body) == "AlreadyPushed"
    assert body["status"]["image"]["digest"] == served(cluster, image)
    assert len(watched.pushes(image.repository)) == 1


@pytest.mark.feature("push.one-tag")
def test_only_the_named_tag_is_pushed(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Of three local tags one reaches the registry, and the daemon keeps its three."""
    image = make_image()
    targets = {local(engine, image, target_of(cluster, image, tag)) for tag in ("1", "2", "3")}
    repository = f"{cluster.registry_target}/{image.repository}"
    assert engine.daemon.tags(repository) == targets
    body = objects.run(IMAGE_PUSH, "app", {"image": f"{repository}:2", "daemonName": engine.name})
    assert reason(body) == "Pushed"
    answer = requests.get(f"http://{cluster.registry_target}/v2/{image.repository}/tags/list", timeout=10)
    assert answer.json()["tags"] == ["2"]
    assert engine.daemon.tags(repository) == targets


@pytest.mark.feature("push.if-exists.same")
def test_the_same_content_is_already_pushed_in_all_modes(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Fail, Skip and Replace give AlreadyPushed without a push call, also under preconditions that do not hold."""
    image = make_image()
    target = local(watched, image, target_of(cluster, image))
    watched.daemon.push(target)
    spec = {"image": target, "daemonName": watched.name}
    for mode in ("Fail", "Skip", "Replace"):
        body = objects.run(IMAGE_PUSH, mode.lower(), {**spec, "ifExists": mode})
        assert reason(body) == "AlreadyPushed"
        assert body["status"]["image"]["digest"] == served(cluster, image)
    other = {"ifExists": "Replace", "preconditions": {"digest": f"sha256:{'a' * 64}"}}
    assert reason(objects.run(IMAGE_PUSH, "preconditions", {**spec, **other})) == "AlreadyPushed"
    assert watched.pushes(image.repository) == []


def occupied(
    engine: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> tuple[PushedImage, str, str]:
    """Put other content under the target tag: return the image to push, the target, and the digest that is there."""
    image = make_image()
    other = make_image(registry=cluster.registry_target, repository=image.repository)
    return image, local(engine, image, target_of(cluster, image)), other.digest


@pytest.mark.feature("push.if-exists.other")
@pytest.mark.parametrize(
    ("mode", "expected"),
    [({}, "TagConflict"), ({"ifExists": "Fail"}, "TagConflict"), ({"ifExists": "Skip"}, "PushSkipped")],
    ids=["default", "Fail", "Skip"],
)
def test_other_content_is_left_alone(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    cluster: Environment,
    mode: dict[str, str],
    expected: str,
) -> None:
    """Fail, which is the default, ends TagConflict and Skip PushSkipped, both without a push call."""
    image, target, there = occupied(watched, make_image, cluster)
    body = objects.run(IMAGE_PUSH, "app", {"image": target, "daemonName": watched.name, **mode})
    assert reason(body) == expected
    assert body["status"]["attempts"] == 1
    assert watched.pushes(image.repository) == []
    assert served(cluster, image) == there


@pytest.mark.feature("push.if-exists.other")
def test_replace_pushes_and_keeps_what_was_there(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Replace moves the tag, and status.previous holds the digest to roll back to."""
    image, target, there = occupied(engine, make_image, cluster)
    body = objects.run(IMAGE_PUSH, "app", {"image": target, "daemonName": engine.name, "ifExists": "Replace"})
    assert reason(body) == "Pushed"
    assert body["status"]["previous"] == {"digest": there}
    assert body["status"]["image"]["digest"] == served(cluster, image) != there


@pytest.mark.feature("push.preconditions")
def test_a_push_with_preconditions_replaces_exactly_that(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Another digest, or a tag that does not exist, ends PreconditionFailed without a push call."""
    image, target, there = occupied(watched, make_image, cluster)
    spec = {"image": target, "daemonName": watched.name, "ifExists": "Replace"}
    wrong = {"preconditions": {"digest": f"sha256:{'a' * 64}"}}
    assert reason(objects.run(IMAGE_PUSH, "wrong", {**spec, **wrong})) == "PreconditionFailed"
    absent = {**spec, "image": local(watched, image, target_of(cluster, image, "none"))}
    right = {"preconditions": {"digest": there}}
    assert reason(objects.run(IMAGE_PUSH, "absent", {**absent, **right})) == "PreconditionFailed"
    assert watched.pushes(image.repository) == []
    assert served(cluster, image) == there
    body = objects.run(IMAGE_PUSH, "right", {**spec, **right})
    assert reason(body) == "Pushed"
    assert body["status"]["previous"] == {"digest": there}
    assert served(cluster, image) == body["status"]["image"]["digest"]


@pytest.mark.feature("push.absent")
def test_an_absent_image_is_neither_pushed_nor_tagged_from(objects: Objects, watched: WatchedEngine) -> None:
    """Both kinds end Stalled with ImageNotOnDaemon after one attempt and no push or tag call."""
    absent = f"registry.example/{objects.namespace}:1"
    push = objects.run(IMAGE_PUSH, "push", {"image": absent, "daemonName": watched.name})
    spec = {"source": absent, "target": f"registry.example/{objects.namespace}:2", "daemonName": watched.name}
    tag = objects.run(IMAGE_TAG, "tag", spec)
    for body in (push, tag):
        stalled = condition(body, "Stalled")
        assert stalled is not None
        assert stalled["reason"] == "ImageNotOnDaemon"
        assert body["status"]["attempts"] == 1
    assert {call.partition(" ")[0] for call in watched.calls(objects.namespace)} == {"GET"}


def _with_all_platforms(objects: Objects, engine: EngineUnderTest, make_image: MakeImage) -> PushedImage:
    image = make_image(platforms=["linux/amd64", "linux/arm64"], attestations=True)
    spec = {"image": image.reference, "daemonName": engine.name, "platforms": ["All"]}
    assert reason(objects.run(IMAGE_PULL, "all", spec)) == "Pulled"
    return image


@pytest.mark.feature("push.platform")
@pytest.mark.parametrize("number", [0, 1], ids=["amd64", "arm64"])
def test_one_platform_of_an_index_is_pushed(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
    number: int,
) -> None:
    """The target tag then names that platform's manifest, and the other platform's is not in the repository."""
    image = _with_all_platforms(objects, containerd, make_image)
    wanted, other = image.manifests[number], image.manifests[1 - number]
    target = target_of(cluster, image)
    containerd.daemon.tag(image.reference, target)
    spec = {"image": target, "daemonName": containerd.name, "platforms": [wanted.platform]}
    body = objects.run(IMAGE_PUSH, "app", spec)
    assert reason(body) == "Pushed"
    assert body["status"]["image"]["digest"] == served(cluster, image) == wanted.digest
    assert manifest_digest(cluster.registry_target, image.repository, other.digest) is None
    assert reason(objects.run(IMAGE_PUSH, "again", spec)) == "AlreadyPushed"


@pytest.mark.feature("push.platform")
def test_all_pushes_the_whole_index_or_nothing(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """All arrives with the digest of the index; a daemon that lacks a part of it ends PlatformNotFound."""
    image = _with_all_platforms(objects, containerd, make_image)
    target = target_of(cluster, image)
    containerd.daemon.tag(image.reference, target)
    spec = {"image": target, "daemonName": containerd.name, "platforms": ["All"]}
    assert reason(objects.run(IMAGE_PUSH, "app", spec)) == "Pushed"
    assert served(cluster, image) == image.digest
    part = make_image(platforms=["linux/amd64", "linux/arm64"])
    spec["image"] = local(containerd, part, target_of(cluster, part))
    assert reason(objects.run(IMAGE_PUSH, "part", spec)) == "PlatformNotFound"
    assert served(cluster, part) is None


@pytest.mark.feature("push.platform")
def test_of_several_platforms_of_an_incomplete_index_one_has_to_be_named(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Without a platform nothing is pushed, unless the daemon's own is there: then that one and no other."""
    image = make_image(platforms=["linux/amd64", "linux/arm64", "linux/s390x", "linux/ppc64le"])
    own, *others = image.manifests
    for number, one in enumerate(others[:2]):
        spec = {"image": image.reference, "daemonName": containerd.name, "platforms": [one.platform]}
        assert reason(objects.run(IMAGE_PULL, f"pull-{number}", spec)) == "Pulled"
    target = target_of(cluster, image)
    containerd.daemon.tag(image.reference, target)
    spec = {"image": target, "daemonName": containerd.name}
    body = objects.run(IMAGE_PUSH, "unnamed", spec)
    assert (reason(body), body["status"]["attempts"], served(cluster, image)) == ("PlatformNotFound", 1, None)
    body = objects.run(IMAGE_PUSH, "named", {**spec, "platforms": [others[1].platform]})
    assert (reason(body), served(cluster, image)) == ("Pushed", others[1].digest)
    objects.run(IMAGE_PULL, "own", {"image": image.reference, "daemonName": containerd.name})
    body = objects.run(IMAGE_PUSH, "own", {**spec, "ifExists": "Replace"})
    assert (reason(body), served(cluster, image)) == ("Pushed", own.digest)
    assert body["status"]["image"]["platforms"] == [own.platform]


@pytest.mark.feature("push.platform")
def test_a_graphdriver_pushes_no_single_platform(
    objects: Objects,
    graphdriver: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """An engine that cannot push by platform ends EngineUnsupported, and nothing is pushed."""
    image = make_image()
    target = local(graphdriver, image, target_of(cluster, image))
    spec = {"image": target, "daemonName": graphdriver.name, "platforms": ["linux/amd64"]}
    body: Body = objects.run(IMAGE_PUSH, "app", spec)
    assert reason(body) == "EngineUnsupported"
    assert served(cluster, image) is None
