"""Promotions of one platform on real parts: what arrives, and what the evidence says of it."""

from __future__ import annotations

import pytest

from devcluster.env import Environment
from devcluster.images import manifest_digest
from imageops.api.kinds import IMAGE_PULL, SESSION
from tests.integration.conftest import MakeGate, MakeImage
from tests.support.objects import Objects, reason
from tests.support.sessions import children, promote, pull, push, tag
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

BOTH = ["linux/amd64", "linux/arm64"]


@pytest.mark.feature("session.promote", "session.evidence.digest")
@pytest.mark.parametrize("number", [0, 1], ids=BOTH)
def test_one_platform_arrives_under_the_digest_by_which_the_index_names_it(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
    number: int,
) -> None:
    """Its manifest alone, whether it is the daemon's own platform or not; a second promotion finds it there."""
    image = make_image(platforms=BOTH, attestations=True)
    wanted = image.manifests[number]
    target = f"{cluster.registry_target}/{image.repository}:1"
    steps = [promote("ship", image.reference, target, platforms=[wanted.platform])]
    for name in ("first", "second"):
        body = objects.run(SESSION, name, {"daemonName": containerd.name, "steps": steps})
        assert reason(body) == "Completed"
        (step,) = body["status"]["steps"]
        assert (step["reason"], step["digest"]) == ("Promoted", wanted.digest)
        assert body["status"]["evidence"] == [
            {
                "source": image.reference,
                "target": target,
                "imageID": image.digest,
                "sourceDigest": wanted.digest,
                "targetDigest": wanted.digest,
                "digestPreserved": True,
                "platforms": [wanted.platform],
            },
        ]
    assert manifest_digest(cluster.registry_target, image.repository, "1") == wanted.digest
    others = [image.digest, *(one.digest for one in image.manifests if one is not wanted)]
    assert {manifest_digest(cluster.registry_target, image.repository, other) for other in others} == {None}


@pytest.mark.feature("session.promote", "session.evidence.digest")
def test_only_the_platform_that_is_asked_for_leaves_a_daemon_that_has_them_all(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Each platform goes to a tag of its own, and the evidence of each names that platform and no other."""
    image = make_image(platforms=BOTH, attestations=True)
    whole = {"image": image.reference, "daemonName": containerd.name, "platforms": ["All"]}
    assert reason(objects.run(IMAGE_PULL, "whole", whole)) == "Pulled"
    wanted = {one.platform.rpartition("/")[2]: one for one in image.manifests[:2]}
    steps = [
        promote(name, image.reference, f"{cluster.registry_target}/{image.repository}:{name}", platforms=[one.platform])
        for name, one in wanted.items()
    ]
    body = objects.run(SESSION, "release", {"daemonName": containerd.name, "parallelism": 2, "steps": steps})
    assert reason(body) == "Completed"
    proof = {one["target"].rpartition(":")[2]: one for one in body["status"]["evidence"]}
    for name, one in wanted.items():
        assert manifest_digest(cluster.registry_target, image.repository, name) == one.digest
        assert proof[name]["sourceDigest"] == proof[name]["targetDigest"] == one.digest
        assert proof[name]["digestPreserved"] is True
        assert proof[name]["platforms"] == [one.platform]
    assert manifest_digest(cluster.registry_target, image.repository, image.digest) is None


@pytest.mark.feature("session.evidence.digest")
@pytest.mark.parametrize("pushed", [{}, {"platforms": ["linux/arm64"]}], ids=["what-is-there", "by-platform"])
def test_steps_of_one_platform_leave_the_same_evidence(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
    pushed: dict[str, list[str]],
) -> None:
    """Pull, tag and push: the digest of the platform's own manifest is what was pulled, and what arrived."""
    image = make_image(platforms=BOTH, attestations=True)
    target = f"{cluster.registry_target}/{image.repository}:1"
    steps = [
        pull("get", image.reference, platforms=["linux/arm64"]),
        tag("name", image.reference, target),
        push("put", target, **pushed),
    ]
    body = objects.run(SESSION, "release", {"daemonName": containerd.name, "steps": steps})
    assert reason(body) == "Completed"
    (proof,) = body["status"]["evidence"]
    assert (proof["source"], proof["digestPreserved"], proof["platforms"]) == (image.reference, True, ["linux/arm64"])
    assert proof["sourceDigest"] == proof["targetDigest"] == image.manifests[1].digest
    assert manifest_digest(cluster.registry_target, image.repository, "1") == image.manifests[1].digest


@pytest.mark.feature("session.promote")
@pytest.mark.parametrize("offered", [BOTH, ["linux/arm64"]], ids=["index", "plain-manifest"])
def test_a_platform_that_the_source_lacks_is_not_promoted(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
    offered: list[str],
) -> None:
    """The step ends PlatformNotFound with nothing at the target; what a plain manifest does have is promoted."""
    image = make_image(platforms=offered)
    target = f"{cluster.registry_target}/{image.repository}:1"
    steps = [promote("ship", image.reference, target, platforms=["linux/s390x"])]
    body = objects.run(SESSION, "release", {"daemonName": containerd.name, "steps": steps})
    assert (reason(body), body["status"]["steps"][0]["reason"]) == ("StepFailed", "PlatformNotFound")
    assert "evidence" not in body["status"]
    assert manifest_digest(cluster.registry_target, image.repository, "1") is None
    steps = [promote("ship", image.reference, target, platforms=["linux/arm64"])]
    body = objects.run(SESSION, "again", {"daemonName": containerd.name, "steps": steps})
    wanted = next(one.digest for one in image.manifests if one.platform == "linux/arm64")
    assert (reason(body), body["status"]["evidence"][0]["digestPreserved"]) == ("Completed", True)
    assert manifest_digest(cluster.registry_target, image.repository, "1") == wanted


@pytest.mark.feature("session.promote.graphdriver", "session.evidence.digest")
@pytest.mark.parametrize("platform", BOTH)
def test_a_graphdriver_promotes_one_platform_only_where_a_changed_digest_may_be_reported(
    objects: Objects,
    graphdriver: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    cluster: Environment,
    platform: str,
) -> None:
    """Require ends EngineUnsupported before the target hears of it; Report pushes it and says what has changed."""
    image = make_image(platforms=BOTH)
    gate = make_gate(cluster.registry_target)
    target = f"{gate.address}/{image.repository}:1"
    steps = [promote("ship", image.reference, target, platforms=[platform])]
    body = objects.run(SESSION, "require", {"daemonName": graphdriver.name, "steps": steps})
    assert (reason(body), body["status"]["steps"][0]["reason"]) == ("StepFailed", "EngineUnsupported")
    assert gate.requests == ()
    steps = [promote("ship", image.reference, target, platforms=[platform], digestPolicy="Report")]
    body = objects.run(SESSION, "report", {"daemonName": graphdriver.name, "steps": steps})
    assert reason(body) == "Completed"
    (proof,) = body["status"]["evidence"]
    arrived = manifest_digest(cluster.registry_target, image.repository, "1")
    known = {image.digest, *(one.digest for one in image.manifests)}
    assert (proof["sourceDigest"], proof["targetDigest"]) == (image.digest, arrived)
    assert arrived not in known
    assert not proof.get("digestPreserved")
    assert proof["platforms"] == [platform]
    wanted = next(one for one in image.manifests if one.platform == platform)
    assert proof["imageID"] == wanted.config_digest


@pytest.mark.feature("session.promote")
def test_a_promotion_of_one_platform_may_leave_nothing_on_the_daemon(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """LocalImages Delete removes both references after success."""
    image = make_image(platforms=BOTH)
    target = f"{cluster.registry_target}/{image.repository}:1"
    fields = {"platforms": ["linux/arm64"], "localImages": "Delete", "digestPolicy": "Report"}
    steps = [promote("ship", image.reference, target, **fields)]
    body = objects.run(SESSION, "release", {"daemonName": engine.name, "steps": steps})
    assert reason(body) == "Completed"
    for reference in (image.reference, target):
        objects.wait(SESSION, "release", lambda _, name=reference: engine.daemon.inspect(name) is None)  # type: ignore[misc]


@pytest.mark.feature("session.promote", "dryrun.faithful")
def test_a_dry_run_of_one_platform_finds_whether_the_source_has_it(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """Nothing is written to the daemon or the target."""
    image = make_image(platforms=BOTH)
    target = f"{cluster.registry_target}/{image.repository}:1"
    for platform, expected in (("linux/arm64", "DryRunPassed"), ("linux/s390x", "PlatformNotFound")):
        steps = [promote("ship", image.reference, target, platforms=[platform])]
        name = expected.lower()
        body = objects.run(SESSION, name, {"daemonName": containerd.name, "steps": steps, "dryRun": True})
        assert body["status"]["steps"][0]["reason"] == expected
        assert "evidence" not in body["status"]
        assert len(children(objects, name)) == (3 if expected == "DryRunPassed" else 1)
    assert containerd.daemon.inspect(image.reference) is None
    assert manifest_digest(cluster.registry_target, image.repository, "1") is None
