"""A Secret encrypted by the rules of the SOPS example shows no credential, and comes out as the operator takes it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml

from imageops.access.credentials import parse_secret
from tests.support.chart import VERSIONS
from tests.support.kube_schemas import published
from tests.support.sops import EXAMPLE, Vault

pytestmark = pytest.mark.integration

PASSWORD = "correct-horse-battery"
CONFIG = json.dumps({"auths": {"registry.example.com": {"username": "robot", "password": PASSWORD}}})
ENCODED = base64.b64encode(CONFIG.encode()).decode()
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "registry-example-com", "namespace": "team-a"},
    "type": "kubernetes.io/dockerconfigjson",
    "data": {".dockerconfigjson": ENCODED},
}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """Return a folder with a key of its own."""
    return Vault(tmp_path)


@pytest.mark.feature("delivery.secrets")
def test_what_goes_into_git_shows_no_credential(vault: Vault) -> None:
    """But it does show whose Secret it is, and of which type."""
    text = vault.encrypt(SECRET)
    assert PASSWORD not in text
    assert ENCODED not in text
    encrypted = yaml.safe_load(text)
    assert encrypted["data"][".dockerconfigjson"].startswith("ENC[AES256_GCM,")
    assert {key: encrypted[key] for key in ("kind", "metadata", "type")} == {
        key: SECRET[key] for key in ("kind", "metadata", "type")
    }
    assert vault.sops("decrypt", "object.yaml", key=False).returncode != 0


@pytest.mark.feature("delivery.secrets")
def test_the_operator_takes_what_comes_out(vault: Vault) -> None:
    """With the key, as Flux has it."""
    vault.encrypt(SECRET)
    done = vault.sops("decrypt", "object.yaml")
    assert done.returncode == 0, done.stderr
    [found] = parse_secret(yaml.safe_load(done.stdout)).for_image("registry.example.com", "app")
    assert (found.auth.username, found.auth.password) == ("robot", PASSWORD)


@pytest.mark.feature("delivery.secrets")
def test_the_kustomization_fits_the_schema_of_flux() -> None:
    """And decrypts with the key that the page has people store."""
    body = yaml.safe_load((EXAMPLE / "kustomization.yaml").read_text(encoding="utf-8"))
    assert published(VERSIONS[-1], body["apiVersion"], body["kind"]).problems(body) == []
    assert body["spec"]["decryption"]["provider"] == "sops"
