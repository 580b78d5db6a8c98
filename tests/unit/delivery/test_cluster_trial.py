"""`make e2e CLUSTER=…` turns to the cluster it names; on kind with stand-ins for docker and kind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.workflows import ROOT

_STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
if [ "$(grep -c . "$CALLS")" = "$REFUSED" ]; then exit 3; fi
"""
_COMMAND = _STAND_IN + 'echo "$IMAGE $KUBECONFIG" >> "$SEEN"; test -f "$KUBECONFIG"\n'


@dataclass(frozen=True, slots=True)
class Done:
    """How a run on kind ended, what it called, and what its command saw: image and kubeconfig."""

    code: int
    calls: list[str]
    seen: list[str]


OnKind = Callable[..., Done]


@pytest.fixture
def on_kind(tmp_path: Path) -> OnKind:
    """Return a function that runs a command on kind; of all calls, one may be refused."""
    for name, text in (("docker", _STAND_IN), ("kind", _STAND_IN), ("command", _COMMAND)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    calls, seen = tmp_path / "calls", tmp_path / "seen"

    def run(*, refused: int = 0, **settings: str) -> Done:
        environment = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "TMPDIR": str(tmp_path),
            "KUBECONFIG": "of-somebody",
            "CALLS": str(calls),
            "SEEN": str(seen),
            "REFUSED": str(refused),
        }
        done = subprocess.run(
            [ROOT / ".ci" / "on-kind", tmp_path / "command", "argument"],
            env=environment | settings,
            timeout=60,
            check=False,
        )
        lines = [file.read_text(encoding="utf-8").splitlines() if file.exists() else [] for file in (calls, seen)]
        return Done(done.returncode, *lines)

    return run


def named(call: str) -> str:
    """Return the name of the cluster in a call of kind."""
    words = call.split()
    return words[words.index("--name") + 1]


@pytest.mark.feature("ci.pipeline")
def test_the_command_runs_on_a_kind_cluster_of_its_own(on_kind: OnKind) -> None:
    """Which has the image that was built, a name of its own and a kubeconfig of its own, and is deleted."""
    done = on_kind(IMAGE="registry.example/app:1")
    assert done.code == 0
    built, created, loaded, command, deleted = done.calls
    assert built.startswith("docker build --tag registry.example/app:1 ")
    assert created.startswith("kind create cluster ")
    assert loaded.startswith("kind load docker-image registry.example/app:1 ")
    assert command == "command argument"
    assert deleted.startswith("kind delete cluster ")
    assert len({named(call) for call in (created, loaded, deleted)}) == 1
    [(image, kubeconfig)] = [line.split() for line in done.seen]
    assert image == "registry.example/app:1"
    assert kubeconfig != "of-somebody"
    assert not Path(kubeconfig).exists()


@pytest.mark.parametrize("refused", range(1, 5))
def test_the_cluster_is_deleted_whatever_failed(on_kind: OnKind, refused: int) -> None:
    """Nothing comes after it but the deletion, and the exit status is its own."""
    done = on_kind(refused=refused)
    assert done.code == 3
    assert len(done.calls) == refused + 1
    assert done.calls[-1].startswith("kind delete cluster ")


@pytest.mark.parametrize(
    ("cluster", "command"),
    [
        ("", "-m e2e .venv/bin/pytest tests/e2e"),
        ("kind", ".ci/on-kind .ci/cluster-trial"),
        ("kubeconfig", ".ci/cluster-trial"),
    ],
)
def test_make_turns_to_the_cluster_it_is_told(cluster: str, command: str) -> None:
    """To a node of this machine's own if it is told none; another needs no Python."""
    done = make(f"CLUSTER={cluster}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].endswith(command)
    assert not cluster or lines == [command]


def test_make_knows_no_other_cluster() -> None:
    """It says which it knows."""
    done = make("CLUSTER=moon")
    assert done.returncode != 0
    assert "CLUSTER is kind or kubeconfig" in done.stderr


def test_a_trial_without_a_kubeconfig_touches_no_cluster(tmp_path: Path) -> None:
    """The one that a home folder happens to name is not meant."""
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    calls = tmp_path / "calls"
    for name in ("helm", "kubectl"):
        (tmp_path / name).write_text(_STAND_IN, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    more = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls), "REFUSED": "0"}
    done = subprocess.run(
        [ROOT / ".ci" / "cluster-trial"],
        env=environment | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "KUBECONFIG: has to name the cluster" in done.stderr
    assert not calls.exists()


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """Have make say what it would do for `e2e`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "e2e", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
