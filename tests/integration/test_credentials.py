"""Credentials out of Secrets, at a registry that demands them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage, manifest_digest
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, Kind
from tests.integration.conftest import MakeGate, MakeImage, Measured, through
from tests.support.objects import Body, Objects, condition, reason
from tests.support.registry_secrets import FORMS, create_docker_config, create_registry_secret
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


def refused(gate: RegistryGate) -> int:
    """Count the requests whose credential the registry did not take."""
    return sum(one.authorized and one.status == 401 for one in gate.requests)


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


@pytest.mark.feature("cred.kubelet")
def test_the_longest_path_in_a_secret_wins(
    objects: Objects,
    engine: EngineUnderTest,
    private: PushedImage,
    make_gate: MakeGate,
    pair: tuple[str, str],
) -> None:
    """The passwords of the host and of other paths, which are wrong, are not sent at all."""
    gate = make_gate(private.registry)
    user, password = pair
    wrong = {"username": user, "password": WRONG}
    team = private.repository.partition("/")[0]
    entries: dict[str, Any] = {
        f"{gate.address}/other": wrong,
        gate.address: wrong,
        f"https://{gate.address}/v2/{team}": {"username": user, "password": password},
        f"{gate.address}/{team}/elsewhere": wrong,
    }
    create_docker_config(objects, "credentials", entries)
    spec = {"image": through(gate, private), "daemonName": engine.name, "secretRef": {"name": "credentials"}}
    body = objects.run(IMAGE_PULL, "app", spec)
    assert (reason(body), body["status"]["attempts"]) == ("Pulled", 1)
    assert authorized(gate) > 0
    assert refused(gate) == 0


@pytest.mark.feature("cred.kubelet")
@pytest.mark.feature("cred.forms")
@pytest.mark.parametrize("form", ["unpadded", "lines", "url-safe", "beside-broken-ones", "wildcard", "email", "cased"])
def test_what_docker_and_the_kubelet_take_opens_the_registry(
    objects: Objects,
    engine: EngineUnderTest,
    private: PushedImage,
    pair: tuple[str, str],
    form: str,
) -> None:
    """However the entry was written, and whatever stands beside it."""
    encoded = base64.b64encode(":".join(pair).encode()).decode()
    host, port = private.registry.split(":")
    labels = host.split(".")
    by_form: dict[str, dict[str, Any]] = {
        "unpadded": {private.registry: {"auth": encoded.rstrip("=")}},
        "lines": {private.registry: {"auth": f"{encoded[:9]}\n{encoded[9:]}\n"}},
        "url-safe": {private.registry: {"auth": base64.urlsafe_b64encode(":".join(pair).encode()).decode()}},
        "beside-broken-ones": {
            "": {"auth": "%%%"},
            "a.example": None,
            "b.example": {"auth": "%%%"},
            "c.example": {"username": 7},
            private.registry: {"auth": encoded},
        },
        "wildcard": {f"{labels[0]}.*.{labels[2]}.{labels[3]}:{port}": {"auth": encoded}},
        "email": {f"http://{private.registry}/v2/": {"auth": encoded, "email": 7}},
        "cased": {private.registry: {"Auth": encoded}},
    }
    create_docker_config(objects, "credentials", by_form[form])
    spec = {"image": private.reference, "daemonName": engine.name, "secretRef": {"name": "credentials"}}
    body = objects.run(IMAGE_PULL, "app", {**spec, "backoffLimit": 0})
    assert reason(body) == "Pulled"
    assert body["status"]["auth"] == {"method": "SecretRef", "secretRef": {"name": "credentials"}}


@pytest.mark.feature("cred.kubelet")
@pytest.mark.feature("cred.wrong-once")
@pytest.mark.feature("cred.shown")
@pytest.mark.parametrize("kind", [IMAGE_PULL, IMAGE_PUSH], ids=lambda kind: kind.kind)
def test_a_stale_secret_does_not_keep_the_next_one_from_its_turn(
    objects: Objects,
    engine: EngineUnderTest,
    private: PushedImage,
    make_image: MakeImage,
    make_gate: MakeGate,
    pair: tuple[str, str],
    measured: Measured,
    kind: Kind,
) -> None:
    """Within one attempt, at three requests with the wrong password at most; the status names the good one."""
    gate = make_gate(private.registry)
    reference = through(gate, private)
    if kind is IMAGE_PUSH:
        local = make_image()
        reference = f"{gate.address}/{local.repository}:1"
        engine.daemon.pull(local.reference)
        engine.daemon.tag(local.reference, reference)
    create_registry_secret(objects, "stale", gate.address, (pair[0], WRONG))
    create_registry_secret(objects, "good", gate.address, pair)
    account(objects, "robot", "stale", "good")
    body = objects.run(kind, "app", {"image": reference, "daemonName": engine.name, "serviceAccountName": "robot"})
    assert reason(body) in {"Pulled", "Pushed"}
    assert (body["status"]["attempts"], len(body["status"]["history"])) == (1, 1)
    assert body["status"]["auth"] == {"method": "ServiceAccount", "secretRef": {"name": "good"}}
    measured(f"{kind.kind} on {engine.name}: {refused(gate)} requests with the stale password before the good one")
    assert 1 <= refused(gate) <= 3


@pytest.mark.feature("cred.kubelet")
@pytest.mark.feature("cred.wrong-once")
def test_each_of_several_wrong_passwords_is_sent_a_few_times(
    objects: Objects,
    engine: EngineUnderTest,
    private: PushedImage,
    make_gate: MakeGate,
    pair: tuple[str, str],
    measured: Measured,
) -> None:
    """The run ends after one attempt, and the hint names the others; a password in two Secrets counts once."""
    gate = make_gate(private.registry)
    for name, password in (("first", WRONG), ("second", f"{WRONG}-either"), ("third", WRONG)):
        create_registry_secret(objects, name, gate.address, (pair[0], password))
    account(objects, "default", "first", "second", "third")
    body = objects.run(IMAGE_PULL, "app", {"image": through(gate, private), "daemonName": engine.name})
    assert (reason(body), body["status"]["attempts"]) == ("AuthFailed", 1)
    assert "'first' (refused)" in body["status"]["error"]["hint"]
    measured(f"{engine.name}: {refused(gate)} requests with two wrong passwords")
    assert 2 <= refused(gate) <= 6


@pytest.mark.feature("cred.kubelet")
@pytest.mark.feature("cred.unusable")
def test_listed_secrets_of_no_use_do_not_keep_a_public_image_away(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    private: PushedImage,
) -> None:
    """They are named in the hint of a refusal, by their names alone."""
    image = make_image()
    objects.create_secret("opaque", "Opaque", {"password": "canary-of-the-secret"})
    create_docker_config(objects, "store", {}, credsStore="canary-desktop")
    create_docker_config(objects, "broken", {private.registry: {"auth": "canary%"}, image.registry: {"auth": "%"}})
    account(objects, "robot", "opaque", "store", "broken", "absent")
    account(objects, "default", "opaque", "store", "broken")
    spec: dict[str, Any] = {"daemonName": engine.name, "backoffLimit": 0}
    public = objects.run(IMAGE_PULL, "public", {**spec, "image": image.reference, "serviceAccountName": "robot"})
    assert (reason(public), public["status"]["auth"]) == ("Pulled", {"method": "Anonymous"})
    closed = objects.run(IMAGE_PULL, "closed", {**spec, "image": private.reference})
    assert (reason(closed), closed["status"]["auth"]) == ("AuthFailed", {"method": "Anonymous"})
    hint = closed["status"]["error"]["hint"]
    assert [name for name in ("opaque", "store", "broken") if f"'{name}'" not in hint] == []
    assert "canary" not in json.dumps([public["status"], closed["status"], objects.events("closed")])


@pytest.mark.feature("cred.kubelet")
@pytest.mark.feature("cred.late-secret")
@pytest.mark.parametrize("stale", [False, True], ids=["anonymous", "stale"])
def test_a_listed_secret_that_is_absent_is_waited_for_once_the_registry_refuses(
    objects: Objects,
    engine: EngineUnderTest,
    private: PushedImage,
    make_gate: MakeGate,
    pair: tuple[str, str],
    *,
    stale: bool,
) -> None:
    """No attempt is used; the registry is asked again only when the Secret is there, and then it is used."""
    gate = make_gate(private.registry)
    if stale:
        create_registry_secret(objects, "stale", gate.address, (pair[0], WRONG))
    account(objects, "robot", *(["stale"] if stale else []), "late")
    spec = {"image": through(gate, private), "daemonName": engine.name, "serviceAccountName": "robot"}
    objects.create(IMAGE_PULL, "app", spec)
    waiting = objects.wait(IMAGE_PULL, "app", _waits_for_secret)["status"]
    assert (waiting["phase"], waiting.get("attempts", 0), waiting.get("history", [])) == ("Pending", 0, [])
    assert "'late'" in waiting["error"]["message"]
    asked = len(gate.requests)
    objects.wait(IMAGE_PULL, "app", lambda body: _waits_again(body, waiting))
    assert len(gate.requests) == asked
    assert refused(gate) <= 3 * stale
    create_registry_secret(objects, "late", gate.address, pair)
    body = objects.wait_finished(IMAGE_PULL, "app")
    assert (reason(body), body["status"]["attempts"]) == ("Pulled", 1)
    assert body["status"]["auth"] == {"method": "ServiceAccount", "secretRef": {"name": "late"}}
    assert refused(gate) <= 3 * stale


def _waits_again(body: Body, before: Body) -> bool:
    """Tell whether the Secret was looked for once more."""
    return _waits_for_secret(body) and body["status"]["nextRetryTime"] != before["nextRetryTime"]


@pytest.mark.feature("cred.unusable")
@pytest.mark.parametrize(("letters", "expected"), [(65_000, "AuthFailed"), (66_000, "SecretInvalid")])
def test_a_password_is_refused_before_it_is_too_long_for_a_header(
    objects: Objects,
    engine: EngineUnderTest,
    private: PushedImage,
    letters: int,
    expected: str,
) -> None:
    """The longest one that is sent gets an answer of the registry's, through the daemon."""
    create_registry_secret(objects, "credentials", private.registry, ("robot", "x" * letters))
    spec = {"image": private.reference, "daemonName": engine.name, "secretRef": {"name": "credentials"}}
    body = objects.run(IMAGE_PULL, "app", {**spec, "backoffLimit": 0})
    assert body["status"]["error"]["reason"] == expected
