"""What is installed is what the locks say, a month later too."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.package_index import Pin, pins, write_index, write_lock, write_wheel

ROOT = Path(__file__).parents[3]
LOCKS = ("requirements.lock", "requirements-operator.lock", "requirements-build.lock")
BACKEND = """
import shutil

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return shutil.copy({wheel!r}, wheel_directory).rpartition("/")[2]
"""
"""Stands for hatchling, which is empty here like all other packages."""
OURS = re.compile(r"PIP_|MAKE|MFLAGS|PYTHONPATH|VIRTUAL_ENV")
"""Settings of whoever runs the tests that would reach the pip of the test."""


@pytest.fixture(scope="module")
def wanted() -> dict[str, list[Pin]]:
    """Read the locks."""
    return {lock: pins((ROOT / lock).read_text(encoding="utf-8")) for lock in LOCKS}


@pytest.fixture
def later(tmp_path: Path, wanted: dict[str, list[Pin]]) -> Path:
    """Make a checkout with the tree's own Makefile, in a world where every package has a newer release."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    hashes = write_index(tmp_path / "simple", {pin for lock in wanted.values() for pin in lock})
    for lock, lines in wanted.items():
        write_lock(checkout / lock, hashes, lines)
    shutil.copy(ROOT / "Makefile", checkout)
    (checkout / "backend.py").write_text(BACKEND.format(wheel=str(write_wheel(tmp_path, "imageops", "0.1.0"))))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("\n[project]")[2]
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (checkout / "pyproject.toml").write_text(f"{system}\n[project]{project}", encoding="utf-8")
    return checkout


def init(checkout: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    """Run `make init` there, on the index that lies beside it and no other."""
    environ = {name: value for name, value in os.environ.items() if not OURS.match(name)} | {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_INDEX_URL": (checkout.parent / "simple").as_uri(),
    }
    command = ["make", "init", f"PYTHON={sys.executable}", *variables]
    return subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=False)


def installed(checkout: Path) -> dict[str, str]:
    """Ask pip for what is there."""
    command = [str(checkout / ".venv" / "bin" / "pip"), "list", "--format=json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"] for one in listed}


def test_the_index_has_a_newer_release_of_every_package_of_each_lock(wanted: dict[str, list[Pin]]) -> None:
    """So that a look at anything but the lock would be seen; the lines are all read."""
    for lock, lines in wanted.items():
        text = (ROOT / lock).read_text(encoding="utf-8")
        assert len(lines) == len(re.findall(r"(?m)^\S", text))
        assert all(pin.newer != pin.version for pin in lines)


@pytest.mark.feature("dev.fresh-machine")
def test_newer_releases_of_everything_change_nothing(later: Path, wanted: dict[str, list[Pin]]) -> None:
    """`make init` installs exactly the pins, and pip finds that nothing is missing."""
    done = init(later)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No broken requirements found." in done.stdout
    pinned = {pin.name: pin.version for pin in wanted["requirements.lock"] if pin.applies}
    assert {name: version for name, version in installed(later).items() if name != "setuptools"} == {
        **pinned,
        "imageops": "0.1.0",
    }


@pytest.mark.feature("dev.fresh-machine")
def test_with_a_look_at_dependencies_the_same_install_fails(later: Path) -> None:
    """As it did: an extra that a package asks for is resolved anew, and its newer release has no hash."""
    done = init(later, "PINNED=--quiet --no-compile --require-hashes")
    assert done.returncode != 0
    assert "must have their versions pinned with ==" in done.stderr
    assert re.search(r"\w\[\w+\]", done.stderr)


@pytest.mark.feature("dev.fresh-machine")
def test_a_lock_that_lacks_something_is_told_at_once(later: Path) -> None:
    """By the look at what is installed, not by a test that cannot import it."""
    lock = later / "requirements.lock"
    lock.write_text(re.sub(r"iniconfig==.*\n.*\n", "", lock.read_text(encoding="utf-8")), encoding="utf-8")
    done = init(later)
    assert done.returncode != 0
    assert "requires iniconfig, which is not installed" in done.stdout
