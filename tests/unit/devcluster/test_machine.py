"""What the machine lacks is installed in one go, or all of it is said at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devcluster import finding, machine, parts
from devcluster.errors import DevClusterError
from devcluster.layout import CHECKOUT, Layout
from devcluster.machine import PARTS, Lack, Purpose, make_ready, survey
from devcluster.packages import AptInstaller
from devcluster.pipeline_parts import PIPELINE
from devcluster.units import Named, units
from e2e.images import ENGINE_PARTS
from e2e.node import PROGRAMS

TOOLS = ("openssl", "mount", "git", "setpriv", "unshare", "ip", "iptables", "conntrack", "cc", "apt-get")
VERSIONS = {
    parts.DOCKERD_20: "Docker version 20.10.24+dfsg1",
    parts.CONTAINERD_1: "containerd github.com/containerd/containerd 1.6.20~ds1",
    parts.CONTAINERD_SHIM_1: "Version:  1.6.20~ds1",
    parts.RUNC_1: "runc version 1.1.5+ds1",
    parts.ETCD: "etcd Version: 3.4.23",
    parts.CTR: "ctr github.com/containerd/containerd 1.6.20~ds1",
    parts.BUSYBOX: "BusyBox v1.35.0",
    parts.PROMTOOL: "promtool, version 2.42.0",
    **{part: f"CNI {part.program} plugin v1.1.1" for part in parts.CNI},
}
"""What comes as a package."""


def _program(folder: Path, name: str, says: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def _only(folder: Path, *names: str) -> Path:
    """Return a folder that has only these programs of another."""
    few = folder.with_name("few")
    few.mkdir()
    for name in names:
        (few / name).write_bytes((folder / name).read_bytes())
        (few / name).chmod(0o755)
    return few


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Give a folder of all programs whose version does not matter, and Go."""
    folder = tmp_path / "tools"
    for name in TOOLS:
        _program(folder, name, "")
    _program(folder, "go", "go version go1.26.1 linux/amd64")
    return folder


@pytest.fixture
def environ(tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Make a machine that has all programs, none of them in the system's folders, and nothing built."""
    monkeypatch.setattr(finding, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(finding, "package_way", lambda _: None)
    monkeypatch.setattr(machine, "_AUTHORITIES", tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    for part, says in VERSIONS.items():
        _program(tmp_path / part.name, part.program, says)
    folders = [tools, *(tmp_path / part.name for part in VERSIONS)]
    return {"PATH": ":".join(map(str, folders)), "IMAGEOPS_CACHE": str(tmp_path / "cache")}


def test_it_knows_every_part_that_the_cluster_and_the_tests_find(tmp_path: Path) -> None:
    """As they name them themselves: what is missing here would be found missing minutes later."""
    layout = Layout(checkout=tmp_path, run=tmp_path)
    started = {part for unit in units(layout, Named.by({}, layout), "secret") for part in unit.programs}
    assert set(PARTS[Purpose.CLUSTER]) == started
    node = {*PROGRAMS, *ENGINE_PARTS, parts.BUSYBOX}
    assert {*PARTS[Purpose.CLUSTER], *PARTS[Purpose.TESTS]} == {*started, *node, *parts.CLIENTS, *PIPELINE}


def test_a_machine_that_has_all_lacks_nothing(environ: dict[str, str]) -> None:
    """What is built on it is built when it is needed."""
    for purpose in Purpose:
        assert survey(purpose, environ) == Lack((), ())


@pytest.mark.feature("dev.fresh-machine")
def test_a_bare_machine_gets_everything_at_once(
    environ: dict[str, str], tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one call of apt-get, whatever else would be asked for minutes later."""
    calls: list[tuple[str, ...]] = []
    bare = tools.rename(tools.with_name("bare"))

    def install(_: AptInstaller, *packages: str) -> bool:
        calls.append(packages)
        bare.rename(tools)
        return True

    monkeypatch.setattr(AptInstaller, "install", install)
    path = {**environ, "PATH": f"{environ['PATH']}:{_only(bare, 'apt-get', 'go')}"}
    make_ready(Purpose.TESTS, path, print)
    [packages] = calls
    assert {"openssl", "mount", "git", "util-linux", "iproute2", "iptables", "conntrack", "gcc", "libc6-dev"} == set(
        packages
    )


@pytest.mark.feature("dev.fresh-machine")
@pytest.mark.parametrize("purpose", Purpose)
def test_what_only_a_person_can_bring_is_said_with_all_the_rest(
    environ: dict[str, str], tools: Path, monkeypatch: pytest.MonkeyPatch, purpose: Purpose
) -> None:
    """In one sentence, before anything is installed."""
    monkeypatch.setattr(AptInstaller, "install", lambda *_: pytest.fail("it installs"))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    (tools / "openssl").unlink()
    (tools / "apt-get").unlink()
    _program(tools, "go", "go version go1.19.8 linux/amd64")
    with pytest.raises(DevClusterError) as caught:
        make_ready(purpose, environ, print)
    assert str(caught.value) == (
        "this machine lacks Go 1.26 or newer on PATH or in /usr/local/go (https://go.dev/dl); root: Engines, "
        "namespaces of the kernel and apt-get take it; apt-get, as a Debian machine has it; the packages openssl"
    )


@pytest.mark.parametrize("said", ["", "go version devel", "go version go1.25.9 linux/amd64"])
def test_a_go_that_builds_nothing_of_ours_does_not_count(environ: dict[str, str], tools: Path, said: str) -> None:
    """Whatever else it says of itself."""
    _program(tools, "go", said)
    assert len(survey(Purpose.TESTS, environ).by_hand) == 1
    (tools / "go").unlink()
    assert len(survey(Purpose.TESTS, environ).by_hand) == 1


def test_what_was_built_before_takes_no_go_and_no_compiler(environ: dict[str, str], tools: Path) -> None:
    """A demonstration goes on with a full cache; tests read modules of Go."""
    for part in PARTS[Purpose.CLUSTER]:
        if part.go:
            _program(Path(environ["IMAGEOPS_CACHE"]) / "bin", part.go.cache_name, "")
    for name in ("go", "cc"):
        (tools / name).unlink()
    assert survey(Purpose.CLUSTER, environ) == Lack((), ())
    assert survey(Purpose.TESTS, environ).by_hand != ()


def test_a_named_api_server_takes_no_package_of_ones_own(environ: dict[str, str]) -> None:
    """Nobody has to have etcd who names a cluster."""
    environ["PATH"] = ":".join(folder for folder in environ["PATH"].split(":") if not folder.endswith("/etcd"))
    assert survey(Purpose.CLUSTER, environ).packages == ("etcd-server",)
    assert survey(Purpose.CLUSTER, {**environ, "KUBECONFIG": "config"}).packages == ()


def test_packages_that_do_not_fit_are_said(
    environ: dict[str, str], tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a system of another release."""
    monkeypatch.setattr(AptInstaller, "install", lambda *_: True)
    (tools / "conntrack").unlink()
    with pytest.raises(DevClusterError, match="apt-get does not bring what is needed of conntrack: Debian 12 has"):
        make_ready(Purpose.TESTS, environ, print)


def test_it_runs_on_the_standard_library_alone() -> None:
    """There is no environment yet when it says what is missing; the exit status and the sentence are all there is."""
    command = [sys.executable, "-S", "-m", "devcluster.machine", "cluster"]
    environ = {"PATH": "/nonexistent", "IMAGEOPS_CACHE": "/nonexistent"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode in {0, 1}
