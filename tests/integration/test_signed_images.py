"""Kyverno, with the policies of the example, lets signed images pass and no others: the program, a real registry."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.images import PushedImage
from devcluster.pipeline_parts import KYVERNO
from tests.integration.conftest import MakeImage
from tests.support.chart_pages import ROOT
from tests.support.clients import program
from tests.support.image_signatures import SigningKey, sign_image
from tests.support.kinds import KINDS_BY_NAME

pytestmark = pytest.mark.integration

EXAMPLE = ROOT / "examples" / "kyverno" / "signed-images.yaml"
UNSIGNED = "The image has no signature of the release pipeline."
"""The policy's own words."""


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """Return the key of the pipeline."""
    return SigningKey.made(tmp_path_factory.mktemp("pipeline"))


class Gate:
    """Kyverno with the example's policies, which trust a key in the place of a workflow's identity."""

    def __init__(self, folder: Path, key: SigningKey) -> None:
        """Write the policies; nothing of them differs from the example but whom they trust."""
        self._folder = folder
        policies: list[dict[str, Any]] = list(yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8")))
        for policy in policies:
            [attestor] = policy["spec"]["attestors"]
            assert set(attestor["cosign"]) == {"keyless"}
            logs = {"insecureIgnoreTlog": True, "insecureIgnoreSCT": True}
            attestor["cosign"] = {"key": {"data": key.public}, "ctlog": logs}
        (folder / "policy.yaml").write_text(yaml.safe_dump_all(policies), encoding="utf-8")

    def judge(self, body: dict[str, Any]) -> tuple[int, str]:
        """Return the exit code for an object, which is 1 for one that is refused, and what was said."""
        (self._folder / "object.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
        # Of several definitions in one group Kyverno's program would know the last alone.
        definition = ROOT / "crds" / f"{KINDS_BY_NAME[body['kind']].crd_name}.yaml"
        words = (
            "--crd-paths",
            definition,
            "--resource",
            "object.yaml",
            "--registry",
            "--remove-color",
            "--detailed-results",
        )
        done = subprocess.run(
            [program(KYVERNO), "apply", "policy.yaml", *words],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def gate(tmp_path: Path, key: SigningKey) -> Gate:
    """Return Kyverno with the policies."""
    return Gate(tmp_path, key)


def pull(image: str) -> dict[str, Any]:
    """Return an ImagePull."""
    metadata = {"name": "app", "namespace": "team-a"}
    return {"apiVersion": "imageops.dev/v1alpha1", "kind": "ImagePull", "metadata": metadata, "spec": {"image": image}}


def session(*actions: dict[str, Any]) -> dict[str, Any]:
    """Return a Session of some actions."""
    steps = [{"name": f"step-{number}", **action} for number, action in enumerate(actions)]
    return pull("") | {"kind": "Session", "spec": {"steps": steps}}


def by_digest(image: PushedImage) -> str:
    """Return the name of an image by its digest."""
    return f"{image.registry}/{image.repository}@{image.digest}"


@pytest.mark.feature("delivery.signed-images")
def test_a_signed_image_passes(gate: Gate, key: SigningKey, make_image: MakeImage) -> None:
    """By digest."""
    image = make_image()
    sign_image(image, key)
    code, said = gate.judge(pull(by_digest(image)))
    assert code == 0, said
    assert "fail: 0, warn: 0, error: 0" in said, said


@pytest.mark.feature("delivery.signed-images")
def test_an_image_without_a_signature_is_refused(gate: Gate, make_image: MakeImage) -> None:
    """With the policy's own words."""
    code, said = gate.judge(pull(by_digest(make_image())))
    assert code == 1, said
    assert UNSIGNED in said


@pytest.mark.feature("delivery.signed-images")
def test_an_image_that_somebody_else_signed_is_refused(gate: Gate, make_image: MakeImage, tmp_path: Path) -> None:
    """A signature is not enough."""
    image = make_image()
    sign_image(image, SigningKey.made(tmp_path))
    code, said = gate.judge(pull(by_digest(image)))
    assert code == 1, said
    assert UNSIGNED in said


@pytest.mark.feature("delivery.signed-images")
def test_a_tag_is_refused_even_of_a_signed_image(gate: Gate, key: SigningKey, make_image: MakeImage) -> None:
    """As it could be moved between this check and the pull."""
    image = make_image()
    sign_image(image, key)
    code, said = gate.judge(pull(image.reference))
    assert code == 1, said
    assert f"{image.reference} does not have a digest" in said


@pytest.mark.feature("delivery.signed-images")
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("action", ["pull", "promote"])
def test_a_session_is_judged_by_all_that_it_pulls(
    gate: Gate, key: SigningKey, make_image: MakeImage, action: str, *, signed: bool
) -> None:
    """When it is applied, so that it does not wait for what will be refused; one bad image is enough."""
    good, other = make_image(), make_image()
    sign_image(good, key)
    if signed:
        sign_image(other, key)
    name = by_digest(other)
    acts = {"pull": {"image": name}, "promote": {"source": name, "target": "prod.example.com/app:1"}}
    tag = {"source": "registry.example/a:1", "target": "registry.example/a:2"}
    body = session({"pull": {"image": by_digest(good)}}, {action: acts[action]}, {"tag": tag})
    code, said = gate.judge(body)
    assert code == (0 if signed else 1), said
    assert ("An image of the Session has no signature" in said) is not signed


@pytest.mark.feature("delivery.signed-images")
def test_an_open_session_passes(gate: Gate) -> None:
    """It pulls nothing itself."""
    code, said = gate.judge(session() | {"spec": {}})
    assert code == 0, said
