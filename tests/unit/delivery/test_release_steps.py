"""The scripts of a release do what the workflow relies on: run as GitHub would, with stand-ins for cosign and gh."""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.workflows import ROOT, job

IMAGE = f"ghcr.io/example/app@sha256:{64 * '1'}"
CHART = f"ghcr.io/example/charts/app@sha256:{64 * '2'}"
COMMIT = 40 * "a"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
[NAMES] = [step["run"] for step in job("release", "publish").steps if step.get("id") == "names"]

_STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
if [ "$(grep -c . "$CALLS")" = "$REFUSED" ]; then exit 1; fi
"""

Verify = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """Return a function that verifies image and chart, and says how it ended and what was asked."""
    for name in ("cosign", "gh"):
        (tmp_path / name).write_text(_STAND_IN, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"

    def run(*, refused: int = 0, **settings: str) -> tuple[int, list[str]]:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls), "REFUSED": str(refused)}
        done = subprocess.run(
            [ROOT / ".ci" / "verify-release", IMAGE, CHART], env=environment | settings, timeout=60, check=False
        )
        return done.returncode, calls.read_text(encoding="utf-8").splitlines()

    return run


@pytest.mark.feature("ci.signed")
def test_six_things_are_verified(verify: Verify) -> None:
    """A signature, the provenance and the list of contents, of image and chart, each by its digest."""
    code, calls = verify()
    assert code == 0
    for artifact in (IMAGE, CHART):
        mine = [call for call in calls if artifact in call.split() or f"oci://{artifact}" in call.split()]
        assert [call.split()[0] for call in mine] == ["cosign", "gh", "gh"]
        assert "slsa.dev/provenance" in mine[1]
        assert "spdx.dev/Document" in mine[2]
    assert len(calls) == 6


@pytest.mark.feature("ci.signed")
@pytest.mark.parametrize("refused", range(1, 7))
def test_one_that_does_not_hold_is_the_end(verify: Verify, refused: int) -> None:
    """Whichever it is, nothing is asked after it."""
    code, calls = verify(refused=refused)
    assert code != 0
    assert len(calls) == refused


@pytest.mark.feature("ci.signed")
def test_only_the_release_workflow_of_the_repository_is_believed(verify: Verify) -> None:
    """For users at its tags of versions; in the job itself at the very ref that it runs on."""
    _, calls = verify()
    workflow = "imageops/imageops/.github/workflows/release.yaml"
    assert rf"--certificate-identity-regexp ^https://github\.com/{workflow}@refs/tags/v[0-9.]+$" in calls[0]
    assert f"--signer-workflow {workflow} " in calls[1]
    _, calls = verify(GITHUB_REPOSITORY="a/b", GITHUB_WORKFLOW_REF="a/b/.github/workflows/release.yaml@refs/heads/main")
    assert "a/b/.github/workflows/release.yaml@refs/heads/main$" in calls[6]


def named(tmp_path: Path, kind: str, name: str) -> subprocess.CompletedProcess[str]:
    """Run the step that names things, as GitHub runs a step, for a branch or tag."""
    environment = {
        "PATH": os.environ["PATH"],
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_REF_NAME": name,
        "GITHUB_REF_TYPE": kind,
        "GITHUB_REPOSITORY": "Example/App",
        "GITHUB_REPOSITORY_OWNER": "Example",
        "GITHUB_SHA": COMMIT,
    }
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", NAMES]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.feature("ci.tags")
def test_a_commit_of_main_is_named_after_itself(tmp_path: Path) -> None:
    """Its chart comes before the version that it leads to, and fits into a label."""
    done = named(tmp_path, "branch", "main")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output").read_text(encoding="utf-8").splitlines() == [
        f"version={VERSION}",
        f"chart_version={VERSION}-sha-{COMMIT}",
        "image=ghcr.io/example/app",
        "charts=ghcr.io/example/charts",
    ]
    assert len(f"imageops-{VERSION}-sha-{COMMIT}") <= 63


@pytest.mark.feature("ci.tags")
@pytest.mark.parametrize("tag", ["v99.0.0", VERSION, f"v{VERSION}-rc1"])
def test_a_tag_that_is_not_the_version_of_the_tree_is_refused(tmp_path: Path, tag: str) -> None:
    """And nothing is named."""
    assert named(tmp_path, "tag", tag).returncode != 0
    assert not (tmp_path / "output").exists()
