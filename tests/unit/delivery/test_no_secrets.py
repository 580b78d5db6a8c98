"""No secret is in the tree, by the scanner that the workflow has."""

from __future__ import annotations

import random
import string
import subprocess
from pathlib import Path

import pytest

from devcluster.pipeline_parts import GITLEAKS, GITLEAKS_VERSION
from tests.support.clients import program
from tests.support.workflows import ROOT, job

NOT_OURS = {".dev", ".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", "build", "dist"}
"""What lies at the root and is in no commit; .dev has the passwords of a cluster that runs."""


def leaks(path: Path) -> subprocess.CompletedProcess[str]:
    """Look for secrets in a file or folder."""
    words = ("dir", "--redact", "--no-banner", "--no-color", "--verbose", "--exit-code", "1")
    return subprocess.run([program(GITLEAKS), *words, path], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.feature("ci.scan")
@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.iterdir() if path.name not in NOT_OURS))
def test_there_is_no_secret_in(name: str) -> None:
    """Made-up passwords of tests are no exception: none looks like a real one, and nothing is excused."""
    done = leaks(ROOT / name)
    assert done.returncode == 0, done.stdout
    assert not (ROOT / ".gitleaks.toml").exists()


@pytest.mark.feature("ci.scan")
def test_a_secret_would_be_found(tmp_path: Path) -> None:
    """One of a well-known form, made for this test."""
    letters = random.Random(7).choices(string.ascii_letters + string.digits, k=36)  # noqa: S311 - guards nothing
    (tmp_path / "settings.ini").write_text("token = ghp" + "_" + "".join(letters) + "\n", encoding="utf-8")
    done = leaks(tmp_path)
    assert done.returncode == 1
    assert "settings.ini" in done.stdout


def test_the_workflow_scans_with_the_same_version() -> None:
    """All of the history."""
    assert job("scan", "secrets").body["env"]["GITLEAKS_VERSION"] == GITLEAKS_VERSION
