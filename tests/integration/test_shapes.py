"""What registries hold besides plain images: pulled and promoted whole, or refused before anything is pushed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest
import requests

from devcluster import shapes
from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import manifest_digest
from devcluster.shapes import PushedShape
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, SESSION
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.memory_registry import serving
from tests.support.objects import Objects, reason
from tests.support.sessions import promote, pull, push, tag
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

Make = Callable[..., PushedShape]
LISTED = 32
"""Platforms that a status lists."""


@pytest.fixture
def make(cluster: Environment) -> Make:
    """Return a function that puts a shape into a repository of its own."""

    def made(push_shape: Callable[..., PushedShape], *arguments: Any, tag: str = "1", **options: Any) -> PushedShape:
        unique = secrets.token_hex(4)
        seed = int(unique, 16)
        return push_shape(cluster.registry, f"test/{unique}", tag, *arguments, seed=seed, **options)

    return made


def whole_at(registry: str, shape: PushedShape) -> bool:
    """Tell whether a registry serves the tag and all that it leads to, byte for byte."""
    wanted = {shape.tag: shape.digest, **{part: part for part in shape.parts}}
    return all(manifest_digest(registry, shape.repository, name) == digest for name, digest in wanted.items())


def writes(gate: RegistryGate) -> list[str]:
    """Return the requests that would change a registry."""
    return [f"{one.method} {one.path}" for one in gate.requests if one.method not in {"GET", "HEAD"}]


@pytest.mark.feature("pull.shapes", "pull.platform.all")
@pytest.mark.parametrize(
    ("push_shape", "options"),
    [
        (shapes.push_nested, {}),
        (shapes.push_nested, {"named": False}),
        (shapes.push_nested, {"depth": 4}),
        (shapes.push_nested, {"depth": 2, "named": False}),
        (shapes.push_wide, {"children": 33}),
        (shapes.push_wide, {"children": 60}),
        (shapes.push_wide, {"children": 3, "named": False}),
        (shapes.push_mixed, {}),
        (shapes.push_mixed, {"image": False}),
    ],
    ids=["nested", "nameless", "deep", "deep-nameless", "33", "60", "no-platforms", "mixed", "artifacts"],
)
def test_an_index_of_any_make_is_promoted_whole(
    objects: Objects,
    containerd: EngineUnderTest,
    make: Make,
    cluster: Environment,
    push_shape: Callable[..., PushedShape],
    options: dict[str, Any],
) -> None:
    """All that it leads to arrives under equal digests; the status lists each platform once, and not too many."""
    shape = make(push_shape, **options)
    target = f"{cluster.registry_target}/{shape.repository}:1"
    steps = [promote("ship", shape.reference, target)]
    body = objects.run(SESSION, "release", {"daemonName": containerd.name, "steps": steps}, seconds=120)
    assert reason(body) == "Completed", body["status"]
    assert whole_at(cluster.registry_target, shape)
    (proof,) = body["status"]["evidence"]
    assert proof["sourceDigest"] == proof["targetDigest"] == shape.digest
    assert proof["digestPreserved"] is True
    platforms = proof.get("platforms", [])
    assert len(platforms) == len(set(platforms)) <= LISTED
    again = {"image": shape.reference, "daemonName": containerd.name, "platforms": ["All"]}
    present = objects.run(IMAGE_PULL, "again", again)
    assert reason(present) == "AlreadyPresent"
    assert present["status"]["image"].get("platforms", []) == platforms


@pytest.mark.feature("pull.shapes", "pull.platform.all")
@pytest.mark.parametrize("part", [0, 1, 2, 3, 4, 5])
def test_an_index_with_a_part_missing_in_the_registry_is_no_success(
    objects: Objects,
    containerd: EngineUnderTest,
    make: Make,
    make_gate: MakeGate,
    cluster: Environment,
    part: int,
) -> None:
    """Whichever part of an index of indexes the registry has lost: nothing is pushed, now or later."""
    shape = make(shapes.push_nested)
    lost = f"http://{cluster.registry}/v2/{shape.repository}/manifests/{shape.parts[part]}"
    requests.delete(lost, timeout=10).raise_for_status()
    gate = make_gate(cluster.registry_target)
    target = f"{gate.address}/{shape.repository}:1"
    for name in ("first", "second"):
        steps = [promote("ship", shape.reference, target)]
        body = objects.run(SESSION, name, {"daemonName": containerd.name, "steps": steps})
        assert (reason(body), body["status"]["steps"][0]["reason"]) == ("StepFailed", "ImageNotFound")
    assert writes(gate) == []


@pytest.mark.feature("pull.shapes", "pull.platform.all")
def test_an_index_that_lists_more_than_the_daemon_tells_is_never_called_whole(
    objects: Objects, containerd: EngineUnderTest, make_gate: MakeGate
) -> None:
    """Pulled for one platform it looks whole to the daemon, which lists no entry that is no manifest."""
    with serving() as source, serving() as target:
        here, there = make_gate(source.address), make_gate(target.address)
        unique = secrets.token_hex(4)
        shape = shapes.push_with_blob(here.address, f"test/{unique}", "1", seed=int(unique, 16))
        spec = {"image": shape.reference, "daemonName": containerd.name}
        assert reason(objects.run(IMAGE_PULL, "plain", spec)) == "Pulled"
        for name in ("first", "second"):
            body = objects.run(IMAGE_PULL, name, spec | {"platforms": ["All"]})
            assert (reason(body), body["status"]["attempts"]) == ("EngineUnsupported", 1)
        sent = f"{there.address}/{shape.repository}:1"
        every = pull("get", shape.reference, platforms=["All"])
        steps = [every, tag("name", shape.reference, sent), push("put", sent)]
        body = objects.run(SESSION, "release", {"daemonName": containerd.name, "steps": steps})
        assert body["status"]["steps"][0]["reason"] == "EngineUnsupported"
        assert there.requests == ()
        assert reason(objects.run(IMAGE_PULL, "again", spec)) == "AlreadyPresent"


@pytest.mark.feature("pull.shapes", "pull.platform.all")
@pytest.mark.parametrize(("status", "word"), [(429, "RateLimited"), (401, "AuthFailed")])
def test_a_registry_that_refuses_one_child_is_not_asked_for_the_next(
    objects: Objects, containerd: EngineUnderTest, make: Make, make_gate: MakeGate, *, status: int, word: str
) -> None:
    """Of 32 children that are left one is asked for."""
    shape = make(shapes.push_wide, children=33)
    gate = make_gate(shape.registry)
    left = "|".join(shape.parts[1:])
    gate.script(path=rf".*/manifests/(?:{left})", status=status)
    spec = {"image": f"{gate.address}/{shape.repository}:1", "daemonName": containerd.name, "platforms": ["All"]}
    body = objects.run(IMAGE_PULL, "app", spec | {"backoffLimit": 0})
    assert body["status"]["error"]["reason"] == word
    asked = {one.path for one in gate.requests if one.path.rpartition("/")[2] in shape.parts[1:]}
    assert len(asked) == 1


@pytest.mark.feature("pull.shapes")
def test_an_index_of_which_half_is_unknown_to_the_daemon_is_not_pushed(
    objects: Objects,
    containerd: EngineUnderTest,
    make: Make,
    make_gate: MakeGate,
    cluster: Environment,
) -> None:
    """Pulled for one platform it looks whole to the daemon; the push ends EngineUnsupported, and by platform goes."""
    shape = make(shapes.push_nested)
    gate = make_gate(cluster.registry_target)
    target = f"{gate.address}/{shape.repository}:1"
    steps = [pull("get", shape.reference), tag("name", shape.reference, target), push("put", target)]
    body = objects.run(SESSION, "release", {"daemonName": containerd.name, "steps": steps})
    assert [row["reason"] for row in body["status"]["steps"]] == ["Pulled", "Tagged", "EngineUnsupported"]
    assert writes(gate) == []
    spec = {"image": target, "daemonName": containerd.name, "platforms": ["linux/amd64"]}
    assert reason(objects.run(IMAGE_PUSH, "part", spec)) == "Pushed"
    assert manifest_digest(cluster.registry_target, shape.repository, "1") == shape.parts[0]


@pytest.mark.feature("pull.shapes", "session.promote.graphdriver")
@pytest.mark.parametrize(
    ("write", "refused_by"),
    [
        (shapes.zstd_image, {"graphdriver"}),
        (shapes.tall_image, {"graphdriver"}),
        (shapes.helm_chart, {"graphdriver"}),
        (shapes.artifact, {"graphdriver"}),
        (shapes.signature, {"graphdriver", "default"}),
    ],
    ids=["zstd", "130-layers", "chart", "artifact", "signature"],
)
def test_a_manifest_of_any_make_is_promoted_as_it_is_or_refused_at_once(
    objects: Objects,
    engine: EngineUnderTest,
    make: Make,
    make_gate: MakeGate,
    cluster: Environment,
    write: Callable[..., Any],
    refused_by: set[str],
) -> None:
    """Equal digests, or EngineUnsupported after one attempt with nothing sent; a second try finds the same."""
    name = f"sha256-{'1' * 64}.sig" if write is shapes.signature else "1"
    shape = make(shapes.push_single, write, tag=name)
    gate = make_gate(cluster.registry_target)
    target = f"{gate.address}/{shape.repository}:{name}"
    if engine.name not in refused_by:
        steps = [promote("ship", shape.reference, target)]
        body = objects.run(SESSION, "release", {"daemonName": engine.name, "steps": steps}, seconds=120)
        assert reason(body) == "Completed", body["status"]
        assert whole_at(cluster.registry_target, shape)
        assert body["status"]["evidence"][0]["digestPreserved"] is True
        return
    for again in ("first", "second"):
        steps = [promote("ship", shape.reference, target, digestPolicy="Report")]
        body = objects.run(SESSION, again, {"daemonName": engine.name, "steps": steps}, seconds=120)
        (row,) = body["status"]["steps"]
        assert (reason(body), row["reason"], row["attempts"]) == ("StepFailed", "EngineUnsupported", 1)
    assert gate.requests == ()
    assert engine.daemon.inspect(shape.reference) is None


@pytest.mark.feature("pull.shapes")
def test_a_foreign_layer_is_promoted_with_the_image(
    objects: Objects, containerd: EngineUnderTest, make_gate: MakeGate
) -> None:
    """Its content is fetched by the URL of its manifest and sent along: equal digests, and the target has the layer."""
    with serving() as source, serving() as target:
        here, there = make_gate(source.address), make_gate(target.address)
        unique = secrets.token_hex(4)
        shape = shapes.push_single(here.address, f"test/{unique}", "1", shapes.foreign_image, seed=int(unique, 16))
        fetched = json.loads(source.manifests[shape.digest][1])["layers"][0]
        assert fetched["urls"]
        steps = [promote("ship", shape.reference, f"{there.address}/{shape.repository}:1")]
        body = objects.run(SESSION, "release", {"daemonName": containerd.name, "steps": steps})
        assert reason(body) == "Completed", body["status"]
        assert target.manifests["1"] == source.manifests["1"]
        assert fetched["digest"] in target.blobs


@pytest.mark.feature("pull.shapes", "pull.succeeds")
def test_an_anonymous_pull_asks_the_registry_for_nothing_twice(
    objects: Objects, engine: EngineUnderTest, make_image: MakeImage, make_gate: MakeGate
) -> None:
    """One question for the tag, and each manifest and blob once: no look-up comes before it."""
    image = make_image()
    gate = make_gate(image.registry)
    body = objects.run(IMAGE_PULL, "app", {"image": through(gate, image), "daemonName": engine.name})
    assert reason(body) == "Pulled"
    asked = [f"{one.method} {one.path}" for one in gate.requests if one.path != "/v2/" and "?" not in one.path]
    (manifest,) = image.manifests
    base = f"/v2/{image.repository}"
    wanted = [f"HEAD {base}/manifests/1", f"GET {base}/manifests/{image.digest}"]
    wanted += [
        f"GET {base}/blobs/{digest}" for digest in (manifest.config_digest, *(it.digest for it in manifest.layers))
    ]
    assert sorted(asked) == sorted(wanted)


@pytest.mark.feature("pull.shapes")
def test_a_registry_whose_answers_lack_their_length_is_pulled_from(
    objects: Objects, containerd: EngineUnderTest, make_image: MakeImage, make_gate: MakeGate
) -> None:
    """The question before a pull has no readable answer then, and the pull succeeds as `docker pull` does."""
    image = make_image()
    gate = make_gate(image.registry)
    fields = {"Content-Length": "", "Content-Type": image.media_type, "Docker-Content-Digest": image.digest}
    gate.script(method="HEAD", path=r".*/manifests/1", status=200, headers=fields)
    spec = {"image": through(gate, image), "daemonName": containerd.name, "platforms": ["linux/amd64"]}
    body = objects.run(IMAGE_PULL, "app", spec)
    assert (reason(body), body["status"]["attempts"]) == ("Pulled", 1)
    assert body["status"]["image"]["digest"] == image.digest


@pytest.mark.feature("pull.shapes")
def test_a_push_that_cannot_be_read_back_says_so(
    objects: Objects, engine: EngineUnderTest, make_image: MakeImage, make_gate: MakeGate
) -> None:
    """It is pushed, once; status and message tell that nobody has seen what the registry serves."""
    image = make_image()
    engine.daemon.pull(image.reference)
    gate = make_gate(image.registry)
    target = f"{gate.address}/{image.repository}:2"
    engine.daemon.tag(image.reference, target)
    fields = {"Content-Length": "", "Content-Type": image.media_type, "Docker-Content-Digest": f"sha256:{'0' * 64}"}
    gate.script(method="HEAD", path=r".*/manifests/2", status=200, headers=fields)
    spec = {"image": target, "daemonName": engine.name, "ifExists": "Replace"}
    status = objects.run(IMAGE_PUSH, "app", spec)["status"]
    assert (status["phase"], status["attempts"]) == ("Succeeded", 1)
    assert status["image"]["unconfirmed"] is True
    assert status["image"]["digest"] == manifest_digest(image.registry, image.repository, "2")
    (succeeded,) = [one for one in status["conditions"] if one["type"] == "Succeeded"]
    assert "could not be read back" in succeeded["message"]
