"""References of all kinds, from the spec to the daemon's call."""

from __future__ import annotations

import pytest

from devcluster.images import manifest_digest
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, Kind
from tests.integration.conftest import MakeImage
from tests.support.objects import Objects, reason
from tests.support.watched_engine import WatchedEngine

pytestmark = pytest.mark.integration


@pytest.mark.feature("ref.normalise")
def test_a_bare_name_gets_host_namespace_and_tag(objects: Objects, watched: WatchedEngine) -> None:
    """`nginx` is docker.io/library/nginx:latest in the status and towards the daemon."""
    spec = {"image": "nginx", "daemonName": watched.name, "imagePullPolicy": "Never"}
    body = objects.run(IMAGE_PULL, "app", spec)
    assert body["spec"]["image"] == "nginx"
    assert body["status"]["reference"] == "docker.io/library/nginx:latest"
    asked = {call.rpartition("/images/")[2] for call in watched.calls("nginx")}
    assert asked == {"docker.io/library/nginx:latest/json"}


@pytest.mark.feature("ref.normalise")
@pytest.mark.feature("ref.port")
def test_without_a_tag_all_kinds_name_latest(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
) -> None:
    """A port is not taken for a tag, and each call to the daemon carries the explicit tag `latest`."""
    image = make_image(tag="latest")
    source = f"{image.registry}/{image.repository}"
    target = f"{source}-copy"
    daemon = {"daemonName": watched.name}
    pull = objects.run(IMAGE_PULL, "pull", {**daemon, "image": source})
    tag = objects.run(IMAGE_TAG, "tag", {**daemon, "source": source, "target": target})
    push = objects.run(IMAGE_PUSH, "push", {**daemon, "image": target})
    assert [reason(body) for body in (pull, tag, push)] == ["Pulled", "Tagged", "Pushed"]
    assert pull["status"]["reference"] == f"{source}:latest"
    assert tag["status"]["sourceReference"] == f"{source}:latest"
    assert tag["status"]["reference"] == push["status"]["reference"] == f"{target}:latest"
    (pulled,), (tagged,) = watched.pulls(image.repository), watched.tags(f"{image.repository}-copy")
    (pushed,) = watched.pushes(image.repository)
    assert pulled.partition("?")[2] == f"fromImage={source}&tag=latest"
    assert tagged.partition("?")[2] == f"repo={target}&tag=latest"
    assert pushed.rpartition("/images/")[2] == f"{target}/push?tag=latest"


@pytest.mark.feature("ref.port")
def test_host_port_path_and_tag_are_told_apart(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
) -> None:
    """`host:5000/a/b:1` splits into host with port, path and tag in all three kinds."""
    image = make_image(repository=f"{objects.namespace}/a/b", tag="1")
    target = f"{image.registry}/{objects.namespace}/a/c:2"
    daemon = {"daemonName": watched.name}
    pull = objects.run(IMAGE_PULL, "pull", {**daemon, "image": image.reference})
    tag = objects.run(IMAGE_TAG, "tag", {**daemon, "source": image.reference, "target": target})
    push = objects.run(IMAGE_PUSH, "push", {**daemon, "image": target})
    assert [reason(body) for body in (pull, tag, push)] == ["Pulled", "Tagged", "Pushed"]
    assert (pull["status"]["reference"], tag["status"]["reference"]) == (image.reference, target)
    assert manifest_digest(image.registry, f"{objects.namespace}/a/c", "2") == push["status"]["image"]["digest"]
    assert [call.partition("?")[2] for call in watched.pulls(objects.namespace)] == [
        f"fromImage={image.registry}/{image.repository}&tag=1",
    ]


@pytest.mark.feature("ref.digest")
def test_a_digest_is_pulled_and_tagged_from(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
) -> None:
    """`repo@sha256:…` works as ImagePull.image and as ImageTag.source, though the registry's tag has moved."""
    image = make_image()
    make_image(repository=image.repository)
    by_digest = f"{image.registry}/{image.repository}@{image.digest}"
    target = f"{image.registry}/{image.repository}:kept"
    daemon = {"daemonName": watched.name}
    pull = objects.run(IMAGE_PULL, "pull", {**daemon, "image": by_digest})
    assert reason(pull) == "Pulled"
    assert (pull["status"]["reference"], pull["status"]["image"]["digest"]) == (by_digest, image.digest)
    tag = objects.run(IMAGE_TAG, "tag", {**daemon, "source": by_digest, "target": target})
    assert reason(tag) == "Tagged"
    assert tag["status"]["image"]["id"] == pull["status"]["image"]["id"]
    assert [call.partition("?")[2] for call in watched.pulls(image.repository)] == [
        f"fromImage={image.registry}/{image.repository}&tag={image.digest}",
    ]


@pytest.mark.feature("ref.digest")
def test_a_tag_beside_a_digest_is_shown_and_the_digest_counts(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
) -> None:
    """`repo:tag@sha256:…` pulls the digest."""
    image = make_image()
    make_image(repository=image.repository)
    both = f"{image.reference}@{image.digest}"
    body = objects.run(IMAGE_PULL, "pull", {"image": both, "daemonName": watched.name})
    assert reason(body) == "Pulled"
    assert (body["status"]["reference"], body["status"]["image"]["digest"]) == (both, image.digest)


@pytest.mark.feature("admission.second-gate")
@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        (IMAGE_PULL, {"image": "a" * 64}, "InvalidReference"),
        (IMAGE_PULL, {"image": "my_host.example/app:1"}, "InvalidReference"),
        (IMAGE_PUSH, {"image": "my_host.example/app:1"}, "InvalidReference"),
        (IMAGE_TAG, {"source": "app:1", "target": f"registry.example/{'a' * 250}"}, "InvalidReference"),
        (IMAGE_TAG, {"source": "nginx", "target": "docker.io/library/nginx:latest"}, "InvalidSpec"),
    ],
    ids=["image-id-as-name", "host-with-underscore", "host-of-a-push", "too-long", "source-is-target"],
)
def test_what_only_python_sees_ends_without_a_call(
    objects: Objects,
    watched: WatchedEngine,
    kind: Kind,
    spec: dict[str, str],
    expected: str,
) -> None:
    """The API server takes these; the second gate ends them Stalled, and the daemon hears nothing."""
    before = len(watched.gate.requests)
    body = objects.run(kind, "app", {**spec, "daemonName": watched.name})
    assert reason(body) == expected
    assert body["status"]["phase"] == "Failed"
    assert body["status"].get("attempts", 0) == 0
    asked = {one.path.rpartition("/")[2] for one in watched.gate.requests[before:]}
    assert asked <= {"_ping", "version", "info"}, "only the look at the daemon itself"
