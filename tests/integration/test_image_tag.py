"""ImageTag on real parts."""

from __future__ import annotations

import secrets

import pytest

from imageops.api.kinds import IMAGE_TAG
from tests.integration.conftest import MakeImage
from tests.support.objects import Body, Objects, condition, reason
from tests.support.watched_engine import EngineUnderTest, WatchedEngine

pytestmark = pytest.mark.integration

RACERS = 50


def made(engine: EngineUnderTest, reference: str) -> str:
    """Make an image that nobody else has, and return its id."""
    return engine.daemon.make(reference, secrets.token_bytes(64))


def image_id(engine: EngineUnderTest, reference: str) -> str | None:
    """Return which image a reference names on the daemon now."""
    found = engine.daemon.inspect(reference)
    return None if found is None else str(found["Id"])


def name(objects: Objects, tag: str) -> str:
    """Return a reference of the test's own."""
    return f"local.example/{objects.namespace}:{tag}"


@pytest.mark.feature("tag.succeeds")
def test_a_tag_ends_tagged_with_the_id_of_its_source(objects: Objects, watched: WatchedEngine) -> None:
    """The target is inspected after the tag call, and names the image of the source."""
    source = made(watched, name(objects, "source"))
    target = name(objects, "target")
    spec = {"source": name(objects, "source"), "target": target, "daemonName": watched.name}
    body = objects.run(IMAGE_TAG, "app", spec)
    assert reason(body) == "Tagged"
    assert body["status"]["image"]["id"] == source == image_id(watched, target)
    calls = [call.partition("?")[0].rpartition("/")[2] for call in watched.calls(objects.namespace)]
    assert calls == ["json", "json", "tag", "json"]


@pytest.mark.feature("tag.succeeds")
def test_a_tag_by_image_id(objects: Objects, engine: EngineUnderTest) -> None:
    """The source may be an image id."""
    source = made(engine, name(objects, "source"))
    spec = {"source": source, "target": name(objects, "target"), "daemonName": engine.name}
    body = objects.run(IMAGE_TAG, "app", spec)
    assert reason(body) == "Tagged"
    assert body["status"]["sourceReference"] == source == image_id(engine, name(objects, "target"))


@pytest.mark.feature("tag.succeeds")
def test_a_daemon_that_only_says_so_is_a_failed_attempt(objects: Objects, watched: WatchedEngine) -> None:
    """A 201 after which the target does not exist, or is another image, is no success."""
    made(watched, name(objects, "source"))
    made(watched, name(objects, "taken"))
    watched.gate.script(method="POST", path=r".*/tag", status=201)
    spec = {"source": name(objects, "source"), "daemonName": watched.name, "ifExists": "Replace", "backoffLimit": 0}
    for target in ("new", "taken"):
        body = objects.run(IMAGE_TAG, target, {**spec, "target": name(objects, target)})
        assert reason(body) == "BackoffLimitExceeded"
        assert body["status"]["error"]["reason"] == "ImageChanged"
        assert body["status"]["history"][0]["outcome"] == "Failed"


@pytest.mark.feature("tag.already")
def test_a_target_that_is_the_source_is_left(objects: Objects, watched: WatchedEngine) -> None:
    """Succeeded with AlreadyTagged and no tag call, in both modes."""
    source = made(watched, name(objects, "source"))
    watched.daemon.tag(source, name(objects, "target"))
    spec = {"source": name(objects, "source"), "target": name(objects, "target"), "daemonName": watched.name}
    for mode in ("Fail", "Replace"):
        body = objects.run(IMAGE_TAG, mode.lower(), {**spec, "ifExists": mode})
        assert reason(body) == "AlreadyTagged"
        assert body["status"]["image"]["id"] == source
    assert watched.tags(objects.namespace) == []


@pytest.mark.feature("tag.conflict")
def test_another_image_under_the_target_is_a_conflict(objects: Objects, engine: EngineUnderTest) -> None:
    """Fail ends Stalled with the target unmoved; Replace moves it and keeps what it was."""
    source, there = made(engine, name(objects, "source")), made(engine, name(objects, "target"))
    spec = {"source": name(objects, "source"), "target": name(objects, "target"), "daemonName": engine.name}
    refused = objects.run(IMAGE_TAG, "fail", spec)
    stalled = condition(refused, "Stalled")
    assert stalled is not None
    assert stalled["reason"] == "TagConflict"
    assert image_id(engine, name(objects, "target")) == there
    moved = objects.run(IMAGE_TAG, "replace", {**spec, "ifExists": "Replace"})
    assert reason(moved) == "Tagged"
    assert moved["status"]["previous"]["id"] == there
    assert image_id(engine, name(objects, "target")) == source


@pytest.mark.feature("tag.preconditions")
def test_a_tag_moves_only_from_the_image_id_demanded(objects: Objects, watched: WatchedEngine) -> None:
    """Another image id, or no target at all, ends Stalled with PreconditionFailed and no tag call."""
    source, there = made(watched, name(objects, "source")), made(watched, name(objects, "target"))
    spec = {"source": name(objects, "source"), "daemonName": watched.name, "ifExists": "Replace"}
    target = {"target": name(objects, "target")}
    wrong = objects.run(IMAGE_TAG, "wrong", {**spec, **target, "preconditions": {"imageID": f"sha256:{'a' * 64}"}})
    absent = objects.run(
        IMAGE_TAG,
        "absent",
        {**spec, "target": name(objects, "none"), "preconditions": {"imageID": there}},
    )
    assert [reason(wrong), reason(absent)] == ["PreconditionFailed"] * 2
    assert condition(wrong, "Stalled") is not None
    assert watched.tags(objects.namespace) == []
    assert image_id(watched, name(objects, "target")) == there
    right = objects.run(IMAGE_TAG, "right", {**spec, **target, "preconditions": {"imageID": there}})
    assert reason(right) == "Tagged"
    assert image_id(watched, name(objects, "target")) == source


@pytest.mark.feature("tag.preconditions")
def test_a_tag_moves_only_from_the_digest_demanded(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
) -> None:
    """The digest is the registry's, as the daemon remembers it."""
    first, second = make_image(), make_image()
    for image in (first, second):
        watched.daemon.pull(image.reference)
    watched.daemon.tag(first.reference, name(objects, "target"))
    spec = {
        "source": second.reference,
        "target": name(objects, "target"),
        "daemonName": watched.name,
        "ifExists": "Replace",
    }
    wrong = objects.run(IMAGE_TAG, "wrong", {**spec, "preconditions": {"digest": second.digest}})
    assert reason(wrong) == "PreconditionFailed"
    right = objects.run(IMAGE_TAG, "right", {**spec, "preconditions": {"digest": first.digest}})
    assert reason(right) == "Tagged"


@pytest.mark.feature("tag.race")
def test_many_tags_of_one_target_run_one_after_another(objects: Objects, engine: EngineUnderTest) -> None:
    """50 ImageTags move one target at once; what each found before forms one unbroken chain."""
    target = name(objects, "target")
    start = made(engine, target)
    sources = [made(engine, name(objects, f"source-{number}")) for number in range(RACERS)]
    for number, source in enumerate(sources):
        spec = {"source": source, "target": target, "daemonName": engine.name, "ifExists": "Replace"}
        objects.create(IMAGE_TAG, f"racer-{number}", spec)
    bodies = [objects.wait_finished(IMAGE_TAG, f"racer-{number}") for number in range(RACERS)]
    assert {reason(body) for body in bodies} == {"Tagged"}
    follows = {body["status"]["previous"]["id"]: body["status"]["image"]["id"] for body in bodies}
    assert len(follows) == RACERS
    chain = [start]
    while chain[-1] in follows:
        chain.append(follows[chain[-1]])
    assert len(chain) == RACERS + 1
    assert chain[-1] == image_id(engine, target)


@pytest.mark.feature("tag.roll-back")
def test_a_second_tag_restores_what_the_first_replaced(objects: Objects, engine: EngineUnderTest) -> None:
    """The first one's status.previous.id as source, and its image id as precondition, bring the earlier target back."""
    source, there = made(engine, name(objects, "source")), made(engine, name(objects, "target"))
    spec = {"target": name(objects, "target"), "daemonName": engine.name, "ifExists": "Replace"}
    first: Body = objects.run(IMAGE_TAG, "first", {**spec, "source": name(objects, "source")})["status"]
    assert image_id(engine, name(objects, "target")) == source
    back = {"source": first["previous"]["id"], "preconditions": {"imageID": first["image"]["id"]}}
    second = objects.run(IMAGE_TAG, "second", {**spec, **back})
    assert reason(second) == "Tagged"
    assert second["status"]["previous"]["id"] == source
    assert image_id(engine, name(objects, "target")) == there
    assert reason(objects.run(IMAGE_TAG, "third", {**spec, **back})) == "AlreadyTagged"
