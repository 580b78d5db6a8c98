"""A Secret encrypted by the rules of the SOPS example shows no credential, and comes out as the operator takes it."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from devcluster.pipeline_parts import AGE_KEYGEN, SOPS
from imageops.access.credentials import parse_secret
from tests.support.chart import VERSIONS
from tests.support.chart_pages import ROOT
from tests.support.clients import program
from tests.support.kube_schemas import published

FOLDER = ROOT / "examples" / "secrets" / "sops"
PASSWORD = "correct-horse-battery"
CONFIG = json.dumps({"auths": {"registry.example.com": {"username": "robot", "password": PASSWORD}}})
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "registry-example-com", "namespace": "team-a"},
    "type": "kubernetes.io/dockerconfigjson",
    "data": {".dockerconfigjson": base64.b64encode(CONFIG.encode()).decode()},
}


class Vault:
    """A folder in which SOPS works by the example's rules, with a key of its own."""

    def __init__(self, folder: Path) -> None:
        """Make the key, and put its public half into the rules."""
        self.folder = folder
        self.key = folder / "key.txt"
        subprocess.run([program(AGE_KEYGEN), "-o", self.key], check=True, capture_output=True, timeout=60)
        [recipient] = re.findall(r"public key: (age1\w+)", self.key.read_text(encoding="utf-8"))
        rules = (FOLDER / ".sops.yaml").read_text(encoding="utf-8")
        assert rules.count("RECIPIENT") == 1
        (folder / ".sops.yaml").write_text(rules.replace("RECIPIENT", recipient), encoding="utf-8")

    def sops(self, *words: str, key: bool = True) -> subprocess.CompletedProcess[str]:
        """Run SOPS; without the key it knows what anybody does who has the repository."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SOPS_")}
        environment |= {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        if key:
            environment["SOPS_AGE_KEY_FILE"] = str(self.key)
        return subprocess.run(
            [program(SOPS), "--disable-version-check", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """Return a vault with the Secret encrypted in it, as `secret.yaml`."""
    made = Vault(tmp_path)
    (tmp_path / "secret.yaml").write_text(yaml.safe_dump(SECRET), encoding="utf-8")
    done = made.sops("encrypt", "--in-place", "secret.yaml", key=False)
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.feature("delivery.secrets")
def test_what_goes_into_git_shows_no_credential(vault: Vault) -> None:
    """But it does show whose Secret it is, and of which type."""
    text = (vault.folder / "secret.yaml").read_text(encoding="utf-8")
    assert PASSWORD not in text
    assert SECRET["data"] not in yaml.safe_load(text).values()
    encrypted = yaml.safe_load(text)
    assert encrypted["data"][".dockerconfigjson"].startswith("ENC[AES256_GCM,")
    assert {key: encrypted[key] for key in ("kind", "metadata", "type")} == {
        key: SECRET[key] for key in ("kind", "metadata", "type")
    }
    assert vault.sops("decrypt", "secret.yaml", key=False).returncode != 0


@pytest.mark.feature("delivery.secrets")
def test_the_operator_takes_what_comes_out(vault: Vault) -> None:
    """With the key, as Flux has it."""
    done = vault.sops("decrypt", "secret.yaml")
    assert done.returncode == 0, done.stderr
    found = parse_secret(yaml.safe_load(done.stdout)).for_host("registry.example.com")
    assert found is not None
    assert (found.username, found.password) == ("robot", PASSWORD)


@pytest.mark.feature("delivery.secrets")
def test_the_kustomization_fits_the_schema_of_flux() -> None:
    """And decrypts with the key that the page has people store."""
    body = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    assert published(VERSIONS[-1], body["apiVersion"], body["kind"]).problems(body) == []
    assert body["spec"]["decryption"]["provider"] == "sops"
