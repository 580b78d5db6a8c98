"""What the release workflow promises about the image and the chart that it publishes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.workflows import ROOT, job, workflow

PUBLISH = job("release", "publish")
VALUES = yaml.safe_load((ROOT / "charts" / "imageops" / "values.yaml").read_text(encoding="utf-8"))


def position(word: str) -> int:
    """Return which step first says a word."""
    found = [number for number, step in enumerate(PUBLISH.steps) if word in str(step)]
    assert found, word
    return found[0]


def attestations() -> set[tuple[str, str]]:
    """Return what each attestation is about, and of which sort it is."""
    steps = [step["with"] for step in PUBLISH.steps if step.get("uses", "").startswith("actions/attest@")]
    assert all(step["push-to-registry"] is True for step in steps)
    return {
        (re.findall(r"steps\.(\w+)\.outputs\.digest", step["subject-digest"])[0], step.get("sbom-path", "provenance"))
        for step in steps
    }


@pytest.mark.feature("ci.signed")
def test_image_and_chart_are_signed_and_attested() -> None:
    """Each has a keyless signature, its provenance and the list of its contents, under its digest."""
    assert attestations() == {
        ("image", "provenance"),
        ("image", "image.spdx.json"),
        ("chart", "provenance"),
        ("chart", "chart.spdx.json"),
    }
    [sign] = [step for step in PUBLISH.steps if "cosign sign" in step.get("run", "")]
    assert sign["run"] == 'cosign sign --yes "$IMAGE" "$CHART"'
    assert all(value.endswith(".outputs.digest }}") for value in sign["env"].values())


@pytest.mark.feature("ci.signed")
def test_all_six_are_verified_in_the_job_that_releases() -> None:
    """By the script that users have, against this workflow's identity, before anything gets a version."""
    script = (ROOT / ".ci" / "verify-release").read_text(encoding="utf-8")
    assert 'for artifact in "$1" "$2"' in script
    assert script.count("cosign verify ") == 1
    assert "https://slsa.dev/provenance/v1 https://spdx.dev/Document/v2.3" in script
    assert script.count("gh attestation verify ") == 1
    assert "token.actions.githubusercontent.com" in script
    assert "set -euo pipefail" in script
    verify = PUBLISH.steps[position(".ci/verify-release")]
    assert verify["run"] == '.ci/verify-release "$IMAGE" "$CHART"'
    assert {"if", "continue-on-error"}.isdisjoint(verify)
    assert position("grype ") < position("cosign sign") < position(".ci/verify-release") < position("crane tag")


@pytest.mark.feature("ci.tags")
def test_images_have_the_sha_of_the_commit_and_their_version() -> None:
    """The version only for a tag of Git that is the version of the tree; the chart of a commit is named after it."""
    on: dict[str, Any] = workflow("release")["on"]
    assert on == {"push": {"branches": ["main"], "tags": ["v*"]}}
    build = PUBLISH.steps[position("docker buildx build")]["run"]
    assert re.findall(r"--tag (\S+)", build) == ['"$IMAGE:$GITHUB_SHA"']
    version = PUBLISH.steps[position("crane tag")]
    assert version["if"] == "github.ref_type == 'tag'"
    names = PUBLISH.steps[position("chart_version=")]["run"]
    assert 'test "$GITHUB_REF_NAME" = "v$version"' in names
    assert 'chart_version="$version-sha-$GITHUB_SHA"' in names


@pytest.mark.feature("ci.tags")
def test_the_chart_refers_to_both_images_by_digest() -> None:
    """The release writes them into fields that the chart has, and that are empty in the tree."""
    package = PUBLISH.steps[position("helm package")]["run"]
    for path, variable in ((".image.digest", "IMAGE_DIGEST"), (".daemon.dind.image.digest", "ENGINE_DIGEST")):
        assert f"{path} = strenv({variable})" in package
        field: Any = VALUES
        for name in path.removeprefix(".").split("."):
            field = field[name]
        assert field == ""
    build = PUBLISH.steps[position("docker buildx build")]["run"]
    assert '"PYTHON_IMAGE=${base%:*}@$(crane digest "$base")"' in build


def test_nothing_is_published_that_was_not_tested_and_scanned() -> None:
    """The same workflows as for a pull request come first."""
    assert PUBLISH.body["needs"] == ["ci", "scan", "e2e"]
    for name in PUBLISH.body["needs"]:
        assert job("release", name).body["uses"] == f"./.github/workflows/{name}.yaml"
        assert "workflow_call" in workflow(name)["on"]
    assert workflow("release")["concurrency"]["cancel-in-progress"] is False
