"""Programs are found in one order: the environment, PATH, the system's package, a build."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devcluster import finding, parts
from devcluster.errors import DevClusterError
from devcluster.packages import AptInstaller


def _program(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _no_system_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look only where the test says."""
    monkeypatch.setattr(finding, "SYSTEM_FOLDERS", ())


def test_the_ways_are_asked_in_the_documented_order(tmp_path: Path) -> None:
    """The names of the ways are those of docs/devcluster.md."""
    ways = finding.standard_ways({"IMAGEOPS_CACHE": str(tmp_path)}, print)
    assert [name for name, _ in ways] == ["KUBEBUILDER_ASSETS", "PATH", "the system's package", "a build"]


def test_the_first_way_that_has_the_program_wins() -> None:
    """Later ways are not even asked."""
    asked: list[str] = []

    def way(name: str, path: Path | None) -> tuple[str, finding.Way]:
        def look(_: parts.Part) -> Path | None:
            asked.append(name)
            return path

        return name, look

    ways = [way("a", None), way("b", Path("/b")), way("c", Path("/c"))]
    assert finding.find(parts.ETCD, ways) == finding.Found(path=Path("/b"), way="b")
    assert asked == ["a", "b"]


def test_a_program_nobody_has_is_an_error_that_names_it() -> None:
    """The message says which part it is and where was looked."""
    with pytest.raises(DevClusterError, match="etcd cannot be had: looked at PATH"):
        finding.find(parts.ETCD, [("PATH", lambda _: None)])


def test_what_the_environment_names_is_taken_whatever_its_version(tmp_path: Path) -> None:
    """Who names a folder of programs has chosen their versions."""
    etcd = _program(tmp_path, "etcd", "etcd Version: 2.0.0")
    way = finding.assets_way({"KUBEBUILDER_ASSETS": str(tmp_path)})
    assert way(parts.ETCD) == etcd
    assert way(parts.KUBE_CONTROLLER_MANAGER) is None
    assert finding.assets_way({})(parts.ETCD) is None


def test_the_accepted_version_is_found_behind_another_on_path(tmp_path: Path) -> None:
    """Two Engines' daemons may be installed side by side; each part takes its own line."""
    new = _program(tmp_path / "new", "dockerd", "Docker version 29.1.3, build f52814d")
    old = _program(tmp_path / "old", "dockerd", "Docker version 20.10.24+dfsg1, build 5d6db84")
    way = finding.path_way({"PATH": f"{tmp_path}/new:{tmp_path}/old"})
    assert way(parts.DOCKERD_29) == new
    assert way(parts.DOCKERD_20) == old


def test_a_docker_client_is_not_taken_for_an_engine(tmp_path: Path) -> None:
    """Only dockerd is an engine; `docker` alone is a client."""
    _program(tmp_path, "docker", "Docker version 29.1.3, build f52814d")
    assert finding.path_way({"PATH": str(tmp_path)})(parts.DOCKERD_29) is None


@pytest.mark.parametrize(
    ("part", "version", "accepted"),
    [
        (parts.KUBE_APISERVER, "Kubernetes v1.34.4", True),
        (parts.KUBE_APISERVER, "Kubernetes v1.31.9", False),
        (parts.CONTAINERD_2, "containerd github.com/containerd/containerd/v2 v2.4.2 abc", True),
        (parts.CONTAINERD_2, "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1", False),
        (parts.CONTAINERD_1, "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1", True),
        (parts.RUNC, "runc version 1.1.5+ds1", False),
        (parts.RUNC, "runc version 1.5.2", True),
        (parts.ETCD, "etcd Version: 3.4.23", True),
        (parts.REGISTRY, "registry github.com/distribution/distribution/v3 v3.1.2", True),
        (parts.REGISTRY, "registry 1.0", False),
        (parts.KUBECTL, "Client Version: v1.32.4", True),
        (parts.KUBECTL, "Client Version: v1.20.2", False),
        (parts.HELM_4, "v4.3.1+g1234567", True),
        (parts.HELM_4, "v3.22.0+g1234567", False),
        (parts.KSTATUS, "kstatus of github.com/fluxcd/cli-utils v1.3.0", True),
        (parts.KSTATUS, "kstatus 2", False),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_versions_are_accepted_by_what_the_program_says(
    tmp_path: Path, part: parts.Part, version: str, *, accepted: bool
) -> None:
    """A version that cannot do the work is passed over."""
    assert finding.accepted(part, _program(tmp_path, part.program, version)) is accepted


def test_a_program_that_cannot_run_is_passed_over(tmp_path: Path) -> None:
    """A file that is no program is no error."""
    path = tmp_path / "etcd"
    path.write_bytes(b"\x7fELF")
    path.chmod(0o755)
    assert not finding.accepted(parts.ETCD, path)


def test_an_installed_program_outside_of_path_is_not_installed_again(tmp_path: Path) -> None:
    """A package may put its programs where PATH does not lead."""
    program = _program(tmp_path / "cni", "bridge", "CNI bridge plugin v1.9.0")
    part = dataclasses.replace(parts.CNI[0], apt_path=str(program))
    assert finding._installed(part, AptInstaller(tmp_path, pytest.fail)) == program
