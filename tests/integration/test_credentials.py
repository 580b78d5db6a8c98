"""Credentials out of Secrets, at a registry that demands them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage, manifest_digest
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, Kind
from tests.integration.conftest import MakeGate, MakeImage, Measured, through
from tests.support.objects import Body, Objects, condition, reason
from tests.support.registry_secrets import FORMS, create_registry_secret
from tests.support.watched_engine import EngineUnderTest, WatchedEngine

pytestmark = pytest.mark.integration

WRONG = "not-the-password"


@pytest.fixture
def pair(cluster: Environment) -> tuple[str, str]:
    """Return the user name and password that the registry demands."""
    return cluster.registry_auth_user, cluster.registry_auth_password


@pytest.fixture
def private(make_image: MakeImage, cluster: Environment, pair: tuple[str, str]) -> PushedImage:
    """Put an image into the registry that demands credentials."""
    return make_image(registry=cluster.registry_auth, credentials=pair)


def account(objects: Objects, name: str, *secrets: str) -> None:
    """Give a ServiceAccount of the namespace imagePullSecrets."""
    path = f"/api/v1/namespaces/{objects.namespace}/serviceaccounts"
    body = {"metadata": {"name": name}, "imagePullSecrets": [{"name": secret} for secret in secrets]}
    if objects.api.request("POST", path, body).status == 409:
        assert objects.api.request("PATCH", f"{path}/{name}", body).status == 200


def authorized(gate: RegistryGate) -> int:
    """Count the requests that carried a credential."""
    return sum(one.authorized for one in gate.requests)


@pytest.mark.feature("cred.forms")
@pytest.mark.feature("cred.shown")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_secret_opens_the_registry(
    objects: Objects,
    engine: EngineUnderTest,
    private: PushedImage,
    pair: tuple[str, str],
    form: str,
) -> None:
    """The pull succeeds, and the status names method and Secret but nothing of what is in it."""
    create_registry_secret(objects, "credentials", private.registry, pair, form=form)
    spec = {"image": private.reference, "daemonName": engine.name, "secretRef": {"name": "credentials"}}
    body = objects.run(IMAGE_PULL, "app", spec)
    assert reason(body) == "Pulled"
    assert body["status"]["auth"] == {"method": "SecretRef", "secretRef": {"name": "credentials"}}
    assert not [word for word in pair if word in json.dumps(body["status"])]


@pytest.mark.feature("cred.forms")
def test_a_push_is_opened_too(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
    pair: tuple[str, str],
) -> None:
    """The registry that demands credentials takes the push, and serves it."""
    image = make_image()
    target = f"{cluster.registry_auth}/{image.repository}:1"
    engine.daemon.pull(image.reference)
    engine.daemon.tag(image.reference, target)
    create_registry_secret(objects, "credentials", cluster.registry_auth, pair)
    spec = {"image": target, "daemonName": engine.name, "secretRef": {"name": "credentials"}}
    body = objects.run(IMAGE_PUSH, "app", spec)
    assert reason(body) == "Pushed"
    assert manifest_digest(cluster.registry_auth, image.repository, "1", pair) == body["status"]["image"]["digest"]


@pytest.mark.feature("cred.wrong-once")
@pytest.mark.feature("error.auth-or-not-found")
@pytest.mark.parametrize("kind", [IMAGE_PULL, IMAGE_PUSH], ids=lambda kind: kind.kind)
def test_a_wrong_password_is_sent_a_few_times_and_never_again(
    objects: Objects,
    engine: EngineUnderTest,
    private: PushedImage,
    make_image: MakeImage,
    make_gate: MakeGate,
    cluster: Environment,
    measured: Measured,
    kind: Kind,
) -> None:
    """One attempt, at most three requests with the wrong password, no account locked."""
    gate = make_gate(cluster.registry_auth)
    reference = through(gate, private)
    if kind is IMAGE_PUSH:
        local = make_image()
        engine.daemon.pull(local.reference)
        engine.daemon.tag(local.reference, reference)
    create_registry_secret(objects, "credentials", gate.address, (cluster.registry_auth_user, WRONG))
    spec = {"image": reference, "daemonName": engine.name, "secretRef": {"name": "credentials"}}
    body = objects.run(kind, "app", spec)
    assert reason(body) == "AuthFailed"
    assert condition(body, "Stalled") is not None
    assert body["status"]["attempts"] == 1
    count = authorized(gate)
    measured(f"{kind.kind} on {engine.name}: {count} requests with a wrong password")
    assert 1 <= count <= 3


@pytest.mark.feature("cred.not-ambient")
@pytest.mark.feature("error.auth-or-not-found")
def test_a_credential_in_the_operators_home_is_not_used(
    objects: Objects,
    watched: WatchedEngine,
    private: PushedImage,
) -> None:
    """The operator runs with a good credential in HOME and DOCKER_CONFIG: the pull stays anonymous and fails."""
    body = objects.run(IMAGE_PULL, "app", {"image": private.reference, "daemonName": watched.name})
    assert reason(body) == "AuthFailed"
    assert body["status"]["auth"] == {"method": "Anonymous"}


@pytest.mark.feature("cred.exact-host")
def test_a_credential_is_sent_to_its_own_host_only(
    objects: Objects,
    engine: EngineUnderTest,
    private: PushedImage,
    make_gate: MakeGate,
    pair: tuple[str, str],
) -> None:
    """Another port is another registry: no request there carries the credential."""
    gate = make_gate(private.registry)
    create_registry_secret(objects, "credentials", private.registry, pair)
    account(objects, "default", "credentials")
    own = objects.run(IMAGE_PULL, "own", {"image": private.reference, "daemonName": engine.name})
    other = objects.run(IMAGE_PULL, "other", {"image": through(gate, private), "daemonName": engine.name})
    assert (reason(own), own["status"]["auth"]["method"]) == ("Pulled", "ServiceAccount")
    assert (reason(other), other["status"]["auth"]) == ("AuthFailed", {"method": "Anonymous"})
    assert gate.requests != ()
    assert authorized(gate) == 0


@pytest.mark.feature("cred.precedence")
@pytest.mark.feature("cred.shown")
def test_the_nearest_source_that_serves_the_host_is_used(
    objects: Objects,
    containerd: EngineUnderTest,
    private: PushedImage,
    pair: tuple[str, str],
) -> None:
    """An own Secret beats the ServiceAccount's; `default` serves who names none."""
    for name in ("own", "named", "fallback"):
        create_registry_secret(objects, name, private.registry, pair)
    account(objects, "builder", "named")
    account(objects, "default", "fallback")
    spec = {"image": private.reference, "daemonName": containerd.name, "imagePullPolicy": "Always"}
    wanted: list[tuple[str, dict[str, Any], str]] = [
        ("own", {"secretRef": {"name": "own"}, "serviceAccountName": "builder"}, "SecretRef"),
        ("named", {"serviceAccountName": "builder"}, "ServiceAccount"),
        ("fallback", {}, "ServiceAccount"),
    ]
    for secret, source, method in wanted:
        body = objects.run(IMAGE_PULL, secret, {**spec, **source})
        assert reason(body) == "Pulled"
        assert body["status"]["auth"] == {"method": method, "secretRef": {"name": secret}}


@pytest.mark.feature("cred.precedence")
def test_a_public_image_stays_pullable_beside_a_foreign_credential(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
    pair: tuple[str, str],
) -> None:
    """A ServiceAccount's Secret without this host is passed over; an own one without it is SecretInvalid."""
    image = make_image()
    create_registry_secret(objects, "elsewhere", cluster.registry_auth, pair)
    account(objects, "default", "elsewhere")
    spec: dict[str, Any] = {"image": image.reference, "daemonName": engine.name, "backoffLimit": 0}
    passed = objects.run(IMAGE_PULL, "passed", spec)
    assert (reason(passed), passed["status"]["auth"]) == ("Pulled", {"method": "Anonymous"})
    own: dict[str, Any] = {"secretRef": {"name": "elsewhere"}, "imagePullPolicy": "Always"}
    refused = objects.run(IMAGE_PULL, "refused", {**spec, **own})
    assert refused["status"]["error"]["reason"] == "SecretInvalid"


def _waits_for_secret(body: Body) -> bool:
    return bool((body["status"].get("error") or {}).get("reason") == "SecretNotFound")


@pytest.mark.feature("cred.late-secret")
def test_a_missing_secret_is_waited_for(
    objects: Objects,
    watched: WatchedEngine,
    private: PushedImage,
    pair: tuple[str, str],
) -> None:
    """Pending with SecretNotFound and no attempt used; once it exists the pull goes on by itself."""
    spec = {"image": private.reference, "daemonName": watched.name, "secretRef": {"name": "late"}}
    objects.create(IMAGE_PULL, "app", spec)
    waiting = objects.wait(IMAGE_PULL, "app", _waits_for_secret)["status"]
    assert (waiting["phase"], waiting.get("attempts", 0), waiting.get("history", [])) == ("Pending", 0, [])
    assert watched.pulls(private.repository) == []
    create_registry_secret(objects, "late", private.registry, pair)
    body = objects.wait_finished(IMAGE_PULL, "app")
    assert reason(body) == "Pulled"
    assert (body["metadata"]["generation"], body["status"]["attempts"]) == (1, 1)


@pytest.mark.feature("cred.unusable")
@pytest.mark.parametrize(
    ("secret_type", "text", "expected"),
    [
        (
            "kubernetes.io/dockerconfigjson",
            {".dockerconfigjson": '{"auths": {"HOST": {"auth": "%%%"}}}'},
            "SecretInvalid",
        ),
        ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": '{"auths": ["HOST"]}'}, "SecretInvalid"),
        ("Opaque", {"password": "canary-of-the-secret"}, "SecretInvalid"),
        ("kubernetes.io/basic-auth", {"username": "u", "password": "canary-of-the-secret"}, "SecretInvalid"),
        (
            "kubernetes.io/dockerconfigjson",
            {".dockerconfigjson": '{"auths": {}, "credHelpers": {"HOST": "ecr-login"}}'},
            "CredentialHelperUnsupported",
        ),
        (
            "kubernetes.io/dockerconfigjson",
            {".dockerconfigjson": '{"auths": {"HOST": {}}, "credsStore": "desktop"}'},
            "CredentialHelperUnsupported",
        ),
    ],
    ids=["not-base64", "not-a-map", "wrong-type", "basic-auth-without-host", "credHelpers", "credsStore"],
)
def test_a_secret_of_no_use_never_turns_into_an_anonymous_pull(
    objects: Objects,
    watched: WatchedEngine,
    make_image: MakeImage,
    make_gate: MakeGate,
    secret_type: str,
    text: dict[str, str],
    expected: str,
) -> None:
    """The image is public, and yet nothing is pulled nor asked; nothing of the Secret is repeated."""
    image = make_image()
    gate = make_gate(image.registry)
    content = {key: value.replace("HOST", gate.address) for key, value in text.items()}
    objects.create_secret("broken", secret_type, content)
    spec = {"image": through(gate, image), "secretRef": {"name": "broken"}, "backoffLimit": 0}
    body = objects.run(IMAGE_PULL, "app", {**spec, "daemonName": watched.name})
    assert body["status"]["error"]["reason"] == expected
    assert gate.requests == ()
    assert "canary" not in json.dumps(body["status"])
