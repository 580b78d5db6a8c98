"""Installing a package starts no service, and leaves the system's own policy as it was."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devcluster.packages import services_held_back


def _answer(policy: Path) -> int:
    return subprocess.run([policy, "docker", "start"], check=False).returncode


def test_services_are_refused_meanwhile_and_no_policy_is_left(tmp_path: Path) -> None:
    """Where there was no policy, there is none afterwards."""
    policy = tmp_path / "policy-rc.d"
    with services_held_back(policy):
        assert _answer(policy) == 101
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_was_there_is_put_back_even_after_an_error(tmp_path: Path) -> None:
    """What an administrator wrote survives."""
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o755)
    with pytest.raises(FileNotFoundError), services_held_back(policy):
        subprocess.run([tmp_path / "no-such-program"], check=True)
    assert _answer(policy) == 0
    assert list(tmp_path.iterdir()) == [policy]


@pytest.mark.parametrize("before", ["#!/bin/sh\nexit 0\n", None], ids=["policy", "none"])
def test_what_an_interrupted_run_left_is_put_right(tmp_path: Path, before: str | None) -> None:
    """A run that was killed in the middle is mended by the next."""
    policy = tmp_path / "policy-rc.d"
    if before is not None:
        policy.write_text(before)
    interrupted = services_held_back(policy)
    interrupted.__enter__()
    with services_held_back(policy):
        pass
    assert (policy.read_text() if policy.exists() else None) == before
