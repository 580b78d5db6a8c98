"""The file of shell exports says what the Python interface says, and nobody else can read it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devcluster import env
from devcluster.errors import DevClusterError


def test_what_was_written_is_read_and_means_the_same_to_a_shell(tmp_path: Path) -> None:
    """Odd characters survive both ways, and values that are empty are not exported."""
    environment = env.Environment(docker_host="unix:///tmp/a b.sock", registry_auth_password="it's $HOME; `id`")
    path = tmp_path / "env"
    env.write(path, environment)
    assert env.load(path) == environment
    script = f'. {path}; printf "%s|%s|%s" "$DOCKER_HOST" "$REGISTRY_AUTH_PASSWORD" "${{REGISTRY-unset}}"'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout == "unix:///tmp/a b.sock|it's $HOME; `id`|unset"


def test_the_password_is_for_the_owner_only(tmp_path: Path) -> None:
    """Neither other users nor a printed object get it."""
    path = tmp_path / "env"
    path.touch(mode=0o644)
    env.write(path, env.Environment(registry_auth_password="hunter2"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in repr(env.load(path))


def test_without_a_cluster_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    """The message is a command."""
    with pytest.raises(DevClusterError, match="python -m devcluster up"):
        env.load(tmp_path / "env")
