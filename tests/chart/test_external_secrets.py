"""What the examples for External Secrets make is a Secret that the operator takes, for the registry they are for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from imageops.access.credentials import parse_secret
from imageops.access.keyring import Scope
from tests.support.chart import VERSIONS
from tests.support.chart_pages import ROOT
from tests.support.external_secrets import made_secret
from tests.support.kube_schemas import published

FOLDER = ROOT / "examples" / "secrets" / "external-secrets"
USERNAME, PASSWORD = "robot", 'correct "horse" \\ {battery}\n'
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
OUTPUTS = {
    "acr": {"username": USERNAME, "password": PASSWORD},
    "artifact-registry": {"username": USERNAME, "password": PASSWORD, "expiry": "1700000000"},
    "ecr": {"username": USERNAME, "password": PASSWORD, "proxy_endpoint": f"https://{ECR}", "expires_at": "1700000000"},
    "plain": {"username": USERNAME, "password": PASSWORD},
}
"""What each source gives, by the names that the documentation of its generator lists."""
HOSTS = {
    "acr": "example.azurecr.io",
    "artifact-registry": "europe-west1-docker.pkg.dev",
    "ecr": ECR,
    "plain": "registry.example.com",
}
EXAMPLES = pytest.mark.parametrize("name", OUTPUTS)


def objects(name: str) -> list[dict[str, Any]]:
    """Return the objects of an example."""
    return list(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


def external(name: str) -> dict[str, Any]:
    """Return the ExternalSecret of an example."""
    [found] = [one for one in objects(name) if one["kind"] == "ExternalSecret"]
    return found


def test_every_example_is_tried() -> None:
    """A new one has to say what its source gives."""
    assert {path.stem for path in FOLDER.iterdir()} == set(OUTPUTS)


@pytest.mark.feature("delivery.secrets")
@EXAMPLES
def test_its_objects_fit_the_schemas_of_external_secrets(name: str) -> None:
    """The generator it names is the one beside it."""
    for body in objects(name):
        assert published(VERSIONS[-1], body["apiVersion"], body["kind"]).problems(body) == []
    generators = {(one["kind"], one["metadata"]["name"]) for one in objects(name) if one["kind"] != "ExternalSecret"}
    named = [one["sourceRef"]["generatorRef"] for one in external(name)["spec"].get("dataFrom", ())]
    assert {(one["kind"], one["name"]) for one in named} == generators


@pytest.mark.feature("delivery.secrets")
@EXAMPLES
def test_the_operator_takes_the_secret_it_makes(name: str, tmp_path: Path) -> None:
    """For the host of the registry and no other, whatever characters the password has."""
    secret = made_secret(external(name), OUTPUTS[name], tmp_path)
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    credentials = parse_secret(secret)
    assert {scope.host for scope in map(Scope.of, credentials.entries) if scope is not None} == {HOSTS[name]}
    [found] = credentials.for_image(HOSTS[name], "app")
    assert (found.auth.username, found.auth.password) == (USERNAME, PASSWORD)
    assert credentials.for_image("elsewhere.example.com", "app") == ()


@pytest.mark.feature("delivery.secrets")
@EXAMPLES
def test_git_holds_no_credential(name: str) -> None:
    """The template names values, and a token is renewed before it lapses."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert "kind: Secret\n" not in text
    [config] = external(name)["spec"]["target"]["template"]["data"].values()
    assert ".username" in config
    assert ".password" in config
    assert external(name)["spec"]["refreshInterval"] in {"30m0s", "1h0m0s", "6h0m0s"}
