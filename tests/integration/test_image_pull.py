"""ImagePull on real parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devcluster.gate import RegistryGate
from devcluster.images import manifest_digest
from imageops.api.kinds import IMAGE_PULL
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.objects import Body, Objects, condition, reason, run_ended
from tests.support.watched_engine import EngineUnderTest, WatchedEngine

pytestmark = pytest.mark.integration

BOTH = ["linux/amd64", "linux/arm64"]


@pytest.mark.feature("pull.succeeds")
def test_a_pull_ends_pulled_and_the_daemon_has_the_image(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """Both engines end Succeeded with reason Pulled, and an inspect finds the image."""
    image = make_image(layers=[50_000, 20_000])
    assert engine.daemon.inspect(image.reference) is None
    body = objects.run(IMAGE_PULL, "app", {"image": image.reference, "daemonName": engine.name})
    succeeded = condition(body, "Succeeded")
    assert succeeded is not None
    assert (succeeded["status"], succeeded["reason"]) == ("True", "Pulled")
    assert engine.daemon.inspect(image.reference) is not None


@pytest.mark.feature("pull.evidence")
def test_the_status_says_what_daemon_and_registry_say(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """Id, size and platform are those of the inspect, the digest is the registry's."""
    image = make_image(layers=[50_000, 20_000])
    body = objects.run(IMAGE_PULL, "app", {"image": image.reference, "daemonName": engine.name})
    found = engine.daemon.inspect(image.reference)
    assert found is not None
    assert body["status"]["image"] == {
        "id": found["Id"],
        "sizeBytes": found["Size"],
        "platforms": [f"{found['Os']}/{found['Architecture']}"],
        "digest": manifest_digest(image.registry, image.repository, image.tag),
        "present": True,
    }
    assert body["status"]["history"][0]["digest"] == image.digest
    assert body["status"]["daemon"]["imageStore"] == ("containerd" if engine.keeps_digests else "graphdriver")


@pytest.mark.feature("pull.evidence")
def test_what_is_unknown_is_absent(objects: Objects, engine: EngineUnderTest) -> None:
    """An image that no registry knows has no digest in the status."""
    made = engine.daemon.make(f"local.example/{objects.namespace}:1", objects.namespace.encode())
    spec = {"image": f"local.example/{objects.namespace}:1", "daemonName": engine.name}
    image = objects.run(IMAGE_PULL, "app", spec)["status"]["image"]
    assert image["id"] == made
    # The containerd store gives what it makes itself a digest; a graphdriver knows none before a push.
    assert "digest" not in image or engine.keeps_digests


@pytest.mark.feature("pull.policy.if-not-present")
def test_a_present_image_is_not_pulled(objects: Objects, watched: WatchedEngine, make_image: MakeImage) -> None:
    """IfNotPresent makes no create call for a present image, and does not ask the registry either."""
    image = make_image()
    watched.daemon.pull(image.reference)
    body = objects.run(IMAGE_PULL, "app", {"image": image.reference, "daemonName": watched.name})
    assert reason(body) == "AlreadyPresent"
    assert body["status"]["image"]["digest"] == image.digest
    assert watched.pulls(image.repository) == []
    assert watched.lookups(image.repository) == []


@pytest.mark.feature("pull.policy.always")
def test_always_asks_the_registry_on_each_run(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
) -> None:
    """A tag that has moved is found by the next run, and the new digest is on the daemon and in the status."""
    first = make_image()
    spec = {"image": first.reference, "daemonName": watched.name, "imagePullPolicy": "Always"}
    before = objects.run(IMAGE_PULL, "app", spec)
    second = make_image(repository=first.repository)
    objects.ask_again(IMAGE_PULL, "app", "again")
    after = objects.wait(IMAGE_PULL, "app", run_ended(2))
    assert before["status"]["image"]["digest"] == first.digest
    assert after["status"]["image"]["digest"] == second.digest != first.digest
    found = watched.daemon.inspect(first.reference)
    assert found is not None
    assert found["Id"] == after["status"]["image"]["id"]
    assert f"{first.registry}/{first.repository}@{second.digest}" in found["RepoDigests"]
    assert len(watched.pulls(first.repository)) == 2


@pytest.mark.feature("pull.policy.never")
def test_never_does_not_ask_the_registry(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """Never with an absent image ends Stalled after one attempt, and the registry hears nothing."""
    image = make_image()
    gate = make_gate(image.registry)
    spec = {"image": through(gate, image), "daemonName": watched.name, "imagePullPolicy": "Never"}
    body = objects.run(IMAGE_PULL, "app", spec)
    stalled = condition(body, "Stalled")
    assert stalled is not None
    assert stalled["reason"] == "ImageNotOnDaemon"
    assert body["status"]["attempts"] == 1
    assert gate.requests == ()
    assert watched.pulls(image.repository) == []


def _hides_a_layer(registry: RegistryGate, _: RegistryGate) -> None:
    """Have the registry say, in mid-pull, that it lacks a blob: the daemon has answered HTTP 200 by then."""
    error = b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}'
    registry.script(path=r".*/blobs/.*", status=404, headers={"Content-Type": "application/json"}, body=error)


def _drops_the_stream(_: RegistryGate, daemon: RegistryGate) -> None:
    daemon.cut(path=r".*/images/create", after_bytes=30)


def _ends_in_half_a_line(_: RegistryGate, daemon: RegistryGate) -> None:
    body = b'{"status":"Pulling from test/app","id":"1"}\r\n{"status":"Digest: sha256:'
    daemon.script(path=r".*/images/create", status=200, body=body)


def _ends_without_a_last_word(_: RegistryGate, daemon: RegistryGate) -> None:
    body = b'{"status":"Downloading","id":"0123456789ab","progressDetail":{"current":9,"total":9}}\r\n'
    body += b'{"status":"Pull complete","id":"0123456789ab"}\r\n'
    daemon.script(path=r".*/images/create", status=200, body=body)


@pytest.mark.feature("pull.positive-end")
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (_hides_a_layer, "ImageNotFound"),
        (_drops_the_stream, "DaemonConnectionLost"),
        (_ends_in_half_a_line, "DaemonConnectionLost"),
        (_ends_without_a_last_word, "DaemonError"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_only_a_positive_end_is_a_success(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
    fault: Callable[[RegistryGate, RegistryGate], None],
    expected: str,
) -> None:
    """An error inside the stream, a dropped socket, half a line, or 100 % without a last record is a failed attempt."""
    image = make_image(layers=[200_000])
    gate = make_gate(image.registry)
    fault(gate, watched.gate)
    spec = {"image": through(gate, image), "daemonName": watched.name, "backoffLimit": 0}
    body = objects.run(IMAGE_PULL, "app", spec)
    assert body["status"]["phase"] == "Failed"
    assert body["status"]["error"]["reason"] == expected
    assert body["status"]["history"][0]["outcome"] == "Failed"
    assert len(watched.pulls(image.repository)) == 1


@pytest.mark.feature("pull.platform")
def test_the_platform_that_is_asked_for_is_pulled(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """An index gives the platform asked for, and the status names it."""
    image = make_image(platforms=BOTH)
    spec = {"image": image.reference, "daemonName": engine.name, "platforms": ["linux/arm64"]}
    body = objects.run(IMAGE_PULL, "app", spec)
    assert reason(body) == "Pulled"
    assert body["status"]["image"]["platforms"] == ["linux/arm64"]


@pytest.mark.feature("pull.platform")
@pytest.mark.parametrize("platforms", [BOTH, ["linux/amd64"]], ids=["index", "plain-manifest"])
def test_a_platform_that_does_not_exist_is_not_found(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    platforms: list[str],
) -> None:
    """An index without the platform, and a plain manifest of another one, end PlatformNotFound after one attempt."""
    image = make_image(platforms=platforms)
    spec = {"image": image.reference, "daemonName": engine.name, "platforms": ["linux/s390x"]}
    body = objects.run(IMAGE_PULL, "app", spec)
    assert reason(body) == "PlatformNotFound"
    assert body["status"]["attempts"] == 1


@pytest.mark.feature("pull.platform")
def test_two_platforms_of_one_reference_conflict_on_a_graphdriver(
    objects: Objects,
    graphdriver: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """The second platform would take the tag of the first, so it ends PlatformConflict and the tag stays."""
    image = make_image(platforms=BOTH)
    spec = {"image": image.reference, "daemonName": graphdriver.name}
    first = objects.run(IMAGE_PULL, "first", {**spec, "platforms": ["linux/amd64"]})
    second = objects.run(IMAGE_PULL, "second", {**spec, "platforms": ["linux/arm64"]})
    assert (reason(first), reason(second)) == ("Pulled", "PlatformConflict")
    found = graphdriver.daemon.inspect(image.reference)
    assert found is not None
    assert found["Id"] == first["status"]["image"]["id"]


@pytest.mark.feature("pull.platform")
def test_two_platforms_of_one_reference_live_together_on_containerd(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """The containerd store adds the second platform to the first."""
    image = make_image(platforms=BOTH)
    spec = {"image": image.reference, "daemonName": containerd.name}
    objects.run(IMAGE_PULL, "first", {**spec, "platforms": ["linux/amd64"]})
    second = objects.run(IMAGE_PULL, "second", {**spec, "platforms": ["linux/arm64"]})
    assert reason(second) == "Pulled"
    assert second["status"]["image"]["platforms"] == ["linux/arm64"]
    assert set(containerd.daemon.manifests(image.reference).values()) == {True}


@pytest.mark.feature("pull.platform.all")
def test_all_brings_every_child_of_an_index(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """Both platforms and both attestations, laid out as BuildKit does it, are available afterwards."""
    image = make_image(platforms=BOTH, attestations=True)
    spec = {"image": image.reference, "daemonName": containerd.name, "platforms": ["All"]}
    body = objects.run(IMAGE_PULL, "app", spec)
    assert reason(body) == "Pulled"
    assert body["status"]["image"]["digest"] == image.digest
    assert set(BOTH) <= set(body["status"]["image"]["platforms"])
    progress = body["status"]["progress"]
    assert (progress["percent"], progress["layersDone"]) == (100, progress["layersTotal"])
    assert containerd.daemon.manifests(image.reference) == {child.digest: True for child in image.manifests}


@pytest.mark.feature("pull.platform.all")
def test_all_completes_a_present_image(objects: Objects, containerd: EngineUnderTest, make_image: MakeImage) -> None:
    """An image of which one platform is present is not complete: the other children are fetched."""
    image = make_image(platforms=BOTH, attestations=True)
    containerd.daemon.pull(image.reference)
    assert set(containerd.daemon.manifests(image.reference).values()) == {True, False}
    spec = {"image": image.reference, "daemonName": containerd.name, "platforms": ["All"]}
    assert reason(objects.run(IMAGE_PULL, "first", spec)) == "Pulled"
    assert set(containerd.daemon.manifests(image.reference).values()) == {True}
    assert reason(objects.run(IMAGE_PULL, "second", spec)) == "AlreadyPresent"


@pytest.mark.feature("pull.platform.all")
def test_all_is_unsupported_on_a_graphdriver(
    objects: Objects,
    graphdriver: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """A store that keeps one platform of a reference ends EngineUnsupported, and nothing is pulled."""
    image = make_image(platforms=BOTH)
    spec = {"image": image.reference, "daemonName": graphdriver.name, "platforms": ["All"]}
    assert reason(objects.run(IMAGE_PULL, "app", spec)) == "EngineUnsupported"
    assert graphdriver.daemon.inspect(image.reference) is None


def _downloading(body: Body) -> bool:
    return bool((body["status"].get("progress") or {}).get("bytesDone"))


@pytest.mark.feature("pull.image-edited")
def test_an_edited_image_takes_the_place_of_a_running_pull(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The old call is stopped at once, and the object ends with the new image and its generation."""
    old, new = make_image(layers=[20_000_000]), make_image()
    gate = make_gate(old.registry, bytes_per_second=500_000)
    objects.create(IMAGE_PULL, "app", {"image": through(gate, old), "daemonName": engine.name})
    objects.wait(IMAGE_PULL, "app", _downloading)
    objects.patch(IMAGE_PULL, "app", {"spec": {"image": new.reference}})
    body = objects.wait_finished(IMAGE_PULL, "app")
    blobs = gate.wait(lambda requests: all(one.finished for one in requests))
    assert max(one.response_bytes for one in blobs) < 20_000_000, "the old pull ran to its end"
    assert reason(body) == "Pulled"
    status = body["status"]
    assert (status["reference"], status["observedGeneration"], status["run"]) == (new.reference, 2, 2)
    assert status["image"]["digest"] == new.digest
    assert [entry["outcome"] for entry in status["history"]] == ["Interrupted", "Succeeded"]
    assert engine.daemon.inspect(through(gate, old)) is None


@pytest.mark.feature("pull.image-edited")
def test_an_edited_image_after_the_end_is_a_new_run(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """A version bump on the same object pulls the new image."""
    first, second = make_image(), make_image()
    objects.run(IMAGE_PULL, "app", {"image": first.reference, "daemonName": engine.name})
    objects.patch(IMAGE_PULL, "app", {"spec": {"image": second.reference}})
    status = objects.wait_finished(IMAGE_PULL, "app")["status"]
    assert (status["reference"], status["observedGeneration"], status["run"]) == (second.reference, 2, 2)
    assert status["image"]["digest"] == second.digest


@pytest.mark.feature("pull.platform", "pull.deletion-policy")
def test_a_pull_of_one_platform_takes_its_tag_along(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """DeletionPolicy Delete removes the reference to an index of which one platform was pulled."""
    image = make_image(platforms=BOTH)
    fields = {"platforms": ["linux/arm64"], "deletionPolicy": "Delete"}
    objects.run(IMAGE_PULL, "app", {"image": image.reference, "daemonName": engine.name, **fields})
    objects.delete(IMAGE_PULL, "app")
    objects.wait_gone(IMAGE_PULL, "app")
    assert engine.daemon.inspect(image.reference) is None
