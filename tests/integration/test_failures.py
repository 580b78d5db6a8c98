"""Each way to fail has its own reason, for every kind and on both Engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from devcluster import control
from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.ports import free_ports
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, Kind
from imageops.api.reasons import Reason
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.objects import Body, Objects, condition, reason
from tests.support.product_registry import PASSWORD, REPOSITORY, TAG, USER, serving
from tests.support.registry_answers import Answer, At
from tests.support.registry_secrets import create_registry_secret
from tests.support.watched_engine import EngineUnderTest, WatchedEngine

pytestmark = pytest.mark.integration

DENIED = (
    b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied",'
    b'"detail":[{"Type":"repository","Action":"pull"}]}]}'
)
ACTIONS = {IMAGE_PULL: "Pulling", IMAGE_PUSH: "Pushing", IMAGE_TAG: "Tagging"}
kinds_of_transfers = pytest.mark.parametrize("kind", [IMAGE_PULL, IMAGE_PUSH], ids=lambda kind: kind.kind)


def transfer(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    kind: Kind,
    reference: str,
    **spec: Any,
) -> Body:
    """Pull a reference, or push a local image under it, and return the object at its end."""
    if kind is IMAGE_PUSH:
        local = make_image()
        engine.daemon.pull(local.reference)
        engine.daemon.tag(local.reference, reference)
    return objects.run(kind, "app", {"image": reference, "daemonName": engine.name, **spec})


def assert_explained(body: Body, expected: Reason) -> None:
    """Check that the error has its class, our own sentence, and the hint of its reason."""
    error = body["status"]["error"]
    assert error["reason"] == expected.value
    assert error["class"] == expected.reason_class.value
    assert error["message"].startswith(expected.sentence)
    assert error["hint"] == expected.hint


@pytest.mark.feature("retry.only-retryable")
@pytest.mark.feature("error.auth-or-not-found")
def test_an_image_that_the_registry_lacks_is_not_found(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
) -> None:
    """ImageNotFound after one attempt; the hint names the account too, as a registry may hide an image."""
    image = make_image()
    absent = {"tag": f"{image.registry}/{image.repository}:absent", "repository": f"{image.registry}/test/absent:1"}
    for name, reference in absent.items():
        body = objects.run(IMAGE_PULL, name, {"image": reference, "daemonName": engine.name})
        assert reason(body) == "ImageNotFound"
        assert_explained(body, Reason.IMAGE_NOT_FOUND)
        assert body["status"]["attempts"] == 1


@pytest.mark.feature("error.auth-or-not-found")
def test_a_layer_that_is_denied_in_mid_pull(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The daemon has answered HTTP 200 when the registry refuses a blob: AuthFailed, one attempt."""
    image = make_image()
    gate = make_gate(image.registry)
    gate.script(path=r".*/blobs/.*", status=403, headers={"Content-Type": "application/json"}, body=DENIED)
    body = objects.run(IMAGE_PULL, "app", {"image": through(gate, image), "daemonName": engine.name})
    assert reason(body) == "AuthFailed"
    assert_explained(body, Reason.AUTH_FAILED)
    assert body["status"]["attempts"] == 1


@pytest.mark.feature("error.public-reports")
@pytest.mark.parametrize(
    ("at", "status", "body", "word"),
    [
        (At.DAMAGED_BLOB, 200, "", "ContentCorrupt"),
        (At.BLOB, 401, '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}', "RegistryError"),
        (At.BLOB, 503, '{"errors":[{"code":"DENIED","message":"requested access is denied"}]}', "RegistryError"),
        (At.STORAGE, 403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", ""),
    ],
    ids=["damaged layer", "passing 401", "503 that says denied", "storage address run out"],
)
def test_what_passes_does_not_end_a_pull(
    objects: Objects, engine: EngineUnderTest, at: At, status: int, body: str, word: str
) -> None:
    """One wrong answer and then right ones: the pull ends well, at the next attempt or by the Engine's own doing."""
    with serving(Answer("any", "once", "other", at, status, body, times=1)) as (registry, gate):
        create_registry_secret(objects, "credentials", gate.address, (USER, PASSWORD))
        spec = {"image": f"{gate.address}/{REPOSITORY}:{TAG}", "secretRef": {"name": "credentials"}}
        ended = objects.run(IMAGE_PULL, "app", {**spec, "daemonName": engine.name})
        assert registry.given == 1
    assert reason(ended) == "Pulled"
    failed = [entry["reason"] for entry in ended["status"]["history"] if entry["outcome"] == "Failed"]
    assert len(failed) <= 1
    assert set(failed) <= {word or "RegistryUnavailable"}
    if at is At.DAMAGED_BLOB:
        assert failed, "no Engine fetches damaged content again by itself"


@pytest.mark.feature("error.public-reports")
def test_a_passing_401_at_an_upload_does_not_end_a_push(
    objects: Objects, engine: EngineUnderTest, make_image: MakeImage
) -> None:
    """The credential was taken a moment before, so it is tried again."""
    refusal = '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
    with serving(Answer("any", "once", "other", At.START, 401, refusal, times=1)) as (registry, gate):
        create_registry_secret(objects, "credentials", gate.address, (USER, PASSWORD))
        reference = f"{gate.address}/{REPOSITORY}:new"
        spec = {"secretRef": {"name": "credentials"}}
        ended = transfer(objects, engine, make_image, IMAGE_PUSH, reference, **spec)
        assert registry.given == 1
    assert reason(ended) == "Pushed"


@pytest.mark.feature("error.public-reports")
def test_the_account_of_a_target_has_to_read_the_source(objects: Objects, containerd: EngineUnderTest) -> None:
    """Engine 29 takes the refusal of a mount for one of the push: AuthFailed, and the hint names what lacks."""
    refusal = '{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'
    with serving(Answer("any", "mount", "other", At.MOUNT, 403, refusal)) as (registry, gate):
        create_registry_secret(objects, "credentials", gate.address, (USER, PASSWORD))
        source, target = f"{gate.address}/{REPOSITORY}:{TAG}", f"{gate.address}/team/other:1"
        containerd.daemon.pull(source)
        containerd.daemon.tag(source, target)
        spec = {"image": target, "daemonName": containerd.name, "secretRef": {"name": "credentials"}}
        body = objects.run(IMAGE_PUSH, "app", spec)
        assert registry.given
        for reference in (source, target):
            containerd.daemon.remove(reference)
    assert reason(body) == "AuthFailed"
    assert body["status"]["attempts"] == 1
    assert "right to read that repository" in body["status"]["error"]["hint"]


@pytest.mark.feature("error.public-reports")
@pytest.mark.feature("push.succeeds")
def test_a_push_that_cannot_be_read_back_counts_as_pushed(
    objects: Objects, engine: EngineUnderTest, make_image: MakeImage
) -> None:
    """The registry took it, and its scan policy then hides it: the message says so, the digest is the PUT's."""
    refusal = '{"errors":[{"code":"PROJECTPOLICYVIOLATION","message":"cannot be pulled due to configured policy"}]}'
    with serving(Answer("any", "policy", "other", At.READ_BACK, 412, refusal)) as (registry, gate):
        create_registry_secret(objects, "credentials", gate.address, (USER, PASSWORD))
        reference = f"{gate.address}/{REPOSITORY}:new"
        body = transfer(objects, engine, make_image, IMAGE_PUSH, reference, secretRef={"name": "credentials"})
        assert registry.given
        assert (REPOSITORY, body["status"]["image"]["digest"]) in registry.manifests
    assert reason(body) == "Pushed"
    ready = condition(body, "Ready")
    assert ready is not None
    assert "could not be read back" in ready["message"]


def _closed_port(_: RegistryGate) -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


def _no_such_host(_: RegistryGate) -> str:
    return "registry.invalid"


def _server_error(gate: RegistryGate) -> str:
    gate.script(path=r"/v2/.*", status=503)
    return gate.address


def _reset(gate: RegistryGate) -> str:
    gate.cut(path=r"/v2/.*")
    return gate.address


@pytest.mark.feature("error.surroundings")
@kinds_of_transfers
@pytest.mark.parametrize(
    "fault",
    [_closed_port, _no_such_host, _server_error, _reset],
    ids=lambda fault: fault.__name__,
)
def test_a_registry_that_cannot_be_reached(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    cluster: Environment,
    kind: Kind,
    fault: Callable[[RegistryGate], str],
) -> None:
    """RegistryUnavailable, which is retryable: with no retries left BackoffLimitExceeded keeps it as its cause."""
    host = fault(make_gate(cluster.registry))
    body = transfer(objects, engine, make_image, kind, f"{host}/{objects.namespace}:1", backoffLimit=0)
    assert reason(body) == "BackoffLimitExceeded"
    assert condition(body, "Stalled") is not None
    assert_explained(body, Reason.REGISTRY_UNAVAILABLE)


def _waits_for_daemon(body: Body) -> bool:
    return bool((body["status"].get("error") or {}).get("reason") == "DaemonUnavailable")


@pytest.mark.feature("error.daemon-down")
def test_a_daemon_that_is_down_is_waited_for(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """All three kinds wait as DaemonUnavailable with no attempt used, and end well when the daemon is back."""
    pulled, local = make_image(), make_image()
    target = f"{cluster.registry_target}/{local.repository}:1"
    engine.daemon.pull(local.reference)
    engine.daemon.tag(local.reference, target)
    specs: dict[Kind, dict[str, str]] = {
        IMAGE_PULL: {"image": pulled.reference},
        IMAGE_PUSH: {"image": target},
        IMAGE_TAG: {"source": local.reference, "target": f"{target}-copy"},
    }
    control.stop(f"engine-{engine.name}")
    try:
        for kind, spec in specs.items():
            objects.create(kind, "app", {**spec, "daemonName": engine.name})
        for kind in specs:
            status = objects.wait(kind, "app", _waits_for_daemon)["status"]
            assert (status["phase"], status.get("attempts", 0), status.get("history", [])) == ("Pending", 0, [])
            assert status["error"]["class"] == "Waiting"
    finally:
        control.start(f"engine-{engine.name}")
    ends = {kind: objects.wait_finished(kind, "app") for kind in specs}
    assert [reason(body) for body in ends.values()] == ["Pulled", "Pushed", "Tagged"]
    assert [body["status"]["attempts"] for body in ends.values()] == [1, 1, 1]
    assert all("error" not in body["status"] for body in ends.values())


@pytest.mark.feature("pull.positive-end")
def test_a_daemon_that_dies_in_mid_pull(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The attempt ends DaemonConnectionLost, which is retried when the daemon is back."""
    image = make_image(layers=[6_000_000])
    gate = make_gate(image.registry, bytes_per_second=1_000_000)
    objects.create(IMAGE_PULL, "app", {"image": through(gate, image), "daemonName": engine.name})
    objects.wait(IMAGE_PULL, "app", lambda body: bool((body["status"].get("progress") or {}).get("bytesDone")))
    control.kill(f"engine-{engine.name}")
    try:
        failed = objects.wait(IMAGE_PULL, "app", lambda body: bool(body["status"].get("failedAttempts")))
        assert failed["status"]["error"]["reason"] == "DaemonConnectionLost"
        gate.bytes_per_second = None
    finally:
        control.start(f"engine-{engine.name}")
    body = objects.wait_finished(IMAGE_PULL, "app")
    assert reason(body) == "Pulled"
    assert [entry["reason"] for entry in body["status"]["history"]] == ["DaemonConnectionLost", "Pulled"]
    assert engine.daemon.inspect(through(gate, image)) is not None


@pytest.mark.feature("fault.lies")
@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>Welcome</html>"), (200, b'["no image"]'), (200, b"{}"), (500, b'{"message": "never heard of"}')],
    ids=["web-page", "list", "empty", "unknown-words"],
)
def test_a_daemon_that_answers_nonsense(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    status: int,
    body: bytes,
) -> None:
    """No answer of a daemon is taken for an image: a retryable DaemonError on all three kinds, never a success."""
    image = make_image()
    watched.daemon.pull(image.reference)
    watched.gate.script(method="GET", path=r".*/images/.*/json", status=status, body=body)
    specs: dict[Kind, dict[str, str]] = {
        IMAGE_PULL: {"image": image.reference},
        IMAGE_PUSH: {"image": image.reference},
        IMAGE_TAG: {"source": image.reference, "target": f"{image.reference}-copy"},
    }
    for kind, spec in specs.items():
        ended = objects.run(kind, "app", {**spec, "daemonName": watched.name, "backoffLimit": 0})
        assert reason(ended) == "BackoffLimitExceeded"
        assert_explained(ended, Reason.DAEMON_ERROR)


@pytest.mark.feature("admission.second-gate")
@pytest.mark.parametrize("kind", [IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG], ids=lambda kind: kind.kind)
def test_an_unknown_daemon_is_refused(objects: Objects, kind: Kind) -> None:
    """DaemonNotConfigured, with the names that there are."""
    what = {"source": "a:1", "target": "a:2"} if kind is IMAGE_TAG else {"image": "registry.example/a:1"}
    body = objects.run(kind, "app", {**what, "daemonName": "nobody"})
    assert reason(body) == "DaemonNotConfigured"
    assert "graphdriver" in body["status"]["error"]["message"]
    assert body["status"].get("attempts", 0) == 0
