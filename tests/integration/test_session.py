"""Sessions on real parts: promotions, and the order of steps."""

from __future__ import annotations

from typing import Any

import pytest

from devcluster.env import Environment
from devcluster.images import PushedImage, manifest_digest
from imageops.api.kinds import IMAGE_PULL, IMAGE_TAG, OPERATION_KINDS, SESSION
from imageops.core.plan import ChildNames
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.objects import Body, Objects, condition, finished, reason
from tests.support.status_watch import StatusWatch
from tests.support.watched_engine import EngineUnderTest, WatchedEngine

pytestmark = pytest.mark.integration

BOTH = ["linux/amd64", "linux/arm64"]


def target_of(cluster: Environment, image: PushedImage, tag: str = "1") -> str:
    """Return where an image is promoted to."""
    return f"{cluster.registry_target}/{image.repository}:{tag}"


def promotion(image: PushedImage, target: str, **fields: Any) -> dict[str, Any]:
    """Return the one step of a promotion."""
    return {"name": "ship", "promote": {"source": image.reference, "target": target, **fields}}


def children(objects: Objects, session: str) -> list[Body]:
    """Return the operations of a Session, in the order of their creation."""
    found = [
        body
        for kind in OPERATION_KINDS
        for body in objects.all(kind)
        if body["metadata"].get("labels", {}).get("imageops.dev/session") == session
    ]
    return sorted(found, key=lambda body: int(body["metadata"]["resourceVersion"]))


@pytest.mark.feature("session.promote")
@pytest.mark.feature("session.evidence.digest")
def test_a_promotion_keeps_the_digest_of_the_whole_index(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Two platforms and two attestations arrive under the digest of the source's index, and the evidence says so."""
    image = make_image(platforms=BOTH, attestations=True)
    target = target_of(cluster, image)
    body = objects.run(SESSION, "release", {"daemonName": containerd.name, "steps": [promotion(image, target)]})
    assert reason(body) == "Completed"
    status = body["status"]
    assert (status["total"], status["succeeded"]) == (1, 1)
    assert manifest_digest(cluster.registry_target, image.repository, "1") == image.digest
    for child in image.manifests:
        assert manifest_digest(cluster.registry_target, image.repository, child.digest) == child.digest
    (step,) = status["steps"]
    assert (step["phase"], step["reason"], step["digest"]) == ("Succeeded", "Promoted", image.digest)
    (evidence,) = status["evidence"]
    assert evidence["source"] == image.reference
    assert evidence["target"] == target
    assert evidence["sourceDigest"] == evidence["targetDigest"] == image.digest
    assert evidence["digestPreserved"] is True


@pytest.mark.feature("session.promote")
def test_a_second_promotion_finds_everything_done(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """The same content at the target is success under ifExists Fail too; other content there is a conflict."""
    image = make_image(platforms=BOTH)
    spec = {"daemonName": containerd.name, "steps": [promotion(image, target_of(cluster, image))]}
    assert reason(objects.run(SESSION, "first", spec)) == "Completed"
    assert reason(objects.run(SESSION, "second", spec)) == "Completed"
    other = make_image(repository=image.repository, tag="2")
    spec["steps"] = [promotion(other, target_of(cluster, image))]
    body = objects.run(SESSION, "third", spec)
    assert reason(body) == "StepFailed"
    assert body["status"]["steps"][0]["reason"] == "TagConflict"
    assert manifest_digest(cluster.registry_target, image.repository, "1") == image.digest


@pytest.mark.feature("session.promote.graphdriver")
def test_a_graphdriver_cannot_keep_the_digest_and_nothing_is_pushed(
    objects: Objects,
    graphdriver: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    cluster: Environment,
) -> None:
    """Under Require the step ends EngineUnsupported before the target registry hears of it."""
    image = make_image(platforms=BOTH)
    gate = make_gate(cluster.registry_target)
    spec = {"daemonName": graphdriver.name, "steps": [promotion(image, f"{gate.address}/{image.repository}:1")]}
    body = objects.run(SESSION, "release", spec)
    assert reason(body) == "StepFailed"
    assert condition(body, "Stalled") is not None
    assert body["status"]["steps"][0]["reason"] == "EngineUnsupported"
    assert gate.requests == ()
    assert [child for child in children(objects, "release") if child["kind"] == "ImagePush"] == []


@pytest.mark.feature("session.promote.graphdriver")
@pytest.mark.feature("session.evidence.digest")
def test_a_graphdriver_reports_that_the_digest_changed(
    objects: Objects,
    graphdriver: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Under Report the promotion goes on, and the evidence has both digests and says that they differ."""
    image = make_image()
    target = target_of(cluster, image)
    spec = {"daemonName": graphdriver.name, "steps": [promotion(image, target, digestPolicy="Report")]}
    body = objects.run(SESSION, "release", spec)
    assert reason(body) == "Completed"
    (evidence,) = body["status"]["evidence"]
    assert evidence["sourceDigest"] == image.digest
    assert evidence["targetDigest"] == manifest_digest(cluster.registry_target, image.repository, "1") != image.digest
    assert not evidence.get("digestPreserved")


@pytest.mark.feature("session.evidence.digest")
def test_pull_tag_and_push_as_steps_leave_evidence_too(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Evidence has the digests of both registries, and is true only if they are equal."""
    image = make_image()
    target = target_of(cluster, image)
    steps = [
        {"name": "get", "pull": {"image": image.reference}},
        {"name": "name", "runAfter": ["get"], "tag": {"source": image.reference, "target": target}},
        {"name": "put", "runAfter": ["name"], "push": {"image": target}},
    ]
    body = objects.run(SESSION, "release", {"daemonName": engine.name, "steps": steps})
    assert reason(body) == "Completed"
    (evidence,) = body["status"]["evidence"]
    assert evidence["target"] == target
    assert evidence["sourceDigest"] == image.digest
    assert evidence["targetDigest"] == manifest_digest(cluster.registry_target, image.repository, "1")
    assert evidence.get("digestPreserved", False) == engine.keeps_digests


@pytest.mark.feature("session.sequential")
def test_steps_run_in_order_as_children_with_an_owner(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Each step starts after the former one succeeded; its child has an ownerReference and a deterministic name."""
    image = make_image()
    target = target_of(cluster, image)
    steps = [
        {"name": "get", "pull": {"image": image.reference}},
        {"name": "name", "tag": {"source": image.reference, "target": target}},
        {"name": "put", "push": {"image": target}},
    ]
    with StatusWatch(objects, SESSION) as watch:
        body = objects.run(SESSION, "release", {"daemonName": watched.name, "steps": steps})
        states = [seen.status for seen in watch.wait_for(body)]
    assert reason(body) == "Completed"
    status = body["status"]
    for state in states:
        phases = [step["phase"] for step in state.get("steps", ())]
        order = ["Succeeded", "Running", "Pending"]
        assert phases == sorted(phases, key=order.index), "a later step began before a former one succeeded"
    assert [step["operationRef"]["kind"] for step in status["steps"]] == ["ImagePull", "ImageTag", "ImagePush"]
    made = {child["metadata"]["name"]: child for child in children(objects, "release")}
    assert set(made) == {step["operationRef"]["name"] for step in status["steps"]}
    for step in status["steps"]:
        child = made[step["operationRef"]["name"]]
        assert child["metadata"]["name"].startswith(f"release-{step['name']}-")
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Session", "release", body["metadata"]["uid"])
        assert child["spec"]["sessionRef"] == {"name": "release"}
        assert set(child["metadata"]["labels"]) == {"imageops.dev/session"}
    calls = watched.calls(image.repository)
    places = [next(i for i, call in enumerate(calls) if part in call) for part in ("/images/create", "/tag?", "/push?")]
    assert places == sorted(places)


@pytest.mark.feature("session.parallel")
def test_no_more_steps_run_at_a_time_than_allowed(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """Of 20 steps with parallelism 3 never more than 3 run, at some time 3 do, and none before its runAfter is done."""
    images = [make_image(layers=[60_000]) for _ in range(20)]
    gate = make_gate(images[0].registry, bytes_per_second=500_000)
    steps: list[dict[str, Any]] = [
        {"name": f"s{number}", "pull": {"image": through(gate, image)}} for number, image in enumerate(images)
    ]
    steps[0]["runAfter"] = ["s7", "s8"]
    steps[5]["runAfter"] = ["s19"]
    with StatusWatch(objects, IMAGE_PULL) as watch:
        spec = {"daemonName": containerd.name, "parallelism": 3, "steps": steps}
        body = objects.run(SESSION, "wide", spec, seconds=60)
        for step in body["status"]["steps"]:
            watch.wait_for(objects.get(IMAGE_PULL, step["operationRef"]["name"]))
        seen = watch.seen()
    assert reason(body) == "Completed"
    assert body["status"]["succeeded"] == 20
    under_way: set[str] = set()
    most = 0
    begun: list[str] = []
    ended: list[str] = []
    for one in seen:
        if one.name not in under_way and one.name not in ended:
            under_way.add(one.name)
            begun.append(one.name)
            step = one.name.split("-")[1]
            done = {name.split("-")[1] for name in ended}
            needed = set(next(entry for entry in steps if entry["name"] == step).get("runAfter", ()))
            assert needed <= done, f"{step} began before {needed - done}"
        if finished(one.body) and one.name in under_way:
            under_way.remove(one.name)
            ended.append(one.name)
        most = max(most, len(under_way))
    assert most == 3
    assert len(begun) == len(ended) == 20


@pytest.mark.feature("session.invalid-steps")
def test_a_circle_of_steps_is_refused_before_anything_starts(objects: Objects, engine: EngineUnderTest) -> None:
    """A runAfter cycle, which the API server cannot see, ends Stalled with InvalidSpec and no child."""
    steps = [
        {"name": "a", "runAfter": ["c"], "pull": {"image": "registry.example/a"}},
        {"name": "b", "runAfter": ["a"], "pull": {"image": "registry.example/b"}},
        {"name": "c", "runAfter": ["b"], "pull": {"image": "registry.example/c"}},
    ]
    body = objects.run(SESSION, "circle", {"daemonName": engine.name, "steps": steps})
    stalled = condition(body, "Stalled")
    assert stalled is not None
    assert stalled["reason"] == "InvalidSpec"
    assert "a" in stalled["message"]
    assert children(objects, "circle") == []


def _local_tag(engine: EngineUnderTest, objects: Objects, name: str) -> dict[str, str]:
    """Return a tag action that needs no registry."""
    source = f"local.example/{objects.namespace}:source"
    if engine.daemon.inspect(source) is None:
        engine.daemon.make(source, objects.namespace.encode())
    return {"source": source, "target": f"local.example/{objects.namespace}:{name}"}


@pytest.mark.feature("session.names")
def test_names_that_could_meet_do_not(objects: Objects, containerd: EngineUnderTest) -> None:
    """`a` with step `b-c` and `a-b` with step `c`, and two Sessions equal in their first 40 characters, stay apart."""
    long = "x" * 60
    wanted = {"a": "b-c", "a-b": "c", f"{long}-1": "s" * 40, f"{long}-2": "s" * 40}
    for session, step in wanted.items():
        action = _local_tag(containerd, objects, session[-5:])
        objects.create(SESSION, session, {"daemonName": containerd.name, "steps": [{"name": step, "tag": action}]})
    names = []
    for session in wanted:
        body = objects.wait_finished(SESSION, session)
        assert reason(body) == "Completed"
        (child,) = children(objects, session)
        assert child["metadata"]["ownerReferences"][0]["uid"] == body["metadata"]["uid"]
        names.append(child["metadata"]["name"])
    assert len(set(names)) == 4


@pytest.mark.feature("session.names")
def test_a_session_made_anew_does_not_adopt_old_children(objects: Objects, containerd: EngineUnderTest) -> None:
    """Under an old name a new Session makes children of its own, also while those of the old one still exist."""
    spec = {"daemonName": containerd.name, "steps": [{"name": "t", "tag": _local_tag(containerd, objects, "t")}]}
    first = objects.run(SESSION, "again", spec)
    (old,) = children(objects, "again")
    path = f"{objects.path(SESSION)}/again"
    assert objects.api.request("DELETE", path, {"propagationPolicy": "Orphan"}).status < 300
    objects.wait_gone(SESSION, "again")
    second = objects.run(SESSION, "again", spec)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert reason(second) == "Completed"
    ref = second["status"]["steps"][0]["operationRef"]["name"]
    assert ref != old["metadata"]["name"]
    own = objects.get(IMAGE_TAG, ref)
    assert own["metadata"]["ownerReferences"][0]["uid"] == second["metadata"]["uid"]
    assert objects.get(IMAGE_TAG, old["metadata"]["name"])["metadata"].get("ownerReferences", []) == []


@pytest.mark.feature("session.names")
def test_a_name_that_a_stranger_holds_is_avoided(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """An object of somebody else under a child's name is neither adopted nor removed."""
    first, second = make_image(), make_image()
    steps = [
        {"name": "one", "pull": {"image": first.reference}},
        {"name": "two", "runAfter": ["one"], "pull": {"image": second.reference}},
    ]
    body = objects.create(SESSION, "guest", {"daemonName": containerd.name, "steps": steps, "suspend": True})
    name = ChildNames("guest", body["metadata"]["uid"], run=1).of("two", "ImagePull", 0)
    stranger = objects.create(IMAGE_PULL, name, {"image": first.reference, "daemonName": containerd.name})
    objects.patch(SESSION, "guest", {"spec": {"suspend": False}})
    body = objects.wait_finished(SESSION, "guest")
    assert reason(body) == "Completed"
    assert body["status"]["steps"][1]["operationRef"]["name"] != name
    assert objects.get(IMAGE_PULL, name)["metadata"]["uid"] == stranger["metadata"]["uid"]
