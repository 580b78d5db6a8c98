from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from e2e.operator_image import installation

ROOT = Path(__file__).parents[3]
LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in LINES if line and not line.startswith("#")]


def values(instruction: str, stage: int) -> list[str]:
    """Return what follows an instruction in one stage of the Dockerfile, counted from 0."""
    starts = [number for number, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM"]
    end = [*starts, len(INSTRUCTIONS)][stage + 1]
    return [rest for word, rest in INSTRUCTIONS[starts[stage] : end] if word == instruction]


def pins(name: str) -> dict[str, str]:
    """Return each pinned package of a lock file, with its hashes."""
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text(encoding="utf-8").strip())
    return {entry.partition("==")[0]: entry.partition(" \\\n")[2] + entry.split()[0] for entry in entries}


@pytest.mark.feature("image.hardened")
def test_both_stages_are_on_one_base_that_a_release_names_by_digest() -> None:
    """The base is an argument; what stands here has a version, and no digest that nobody looked up."""
    assert [rest for word, rest in INSTRUCTIONS if word == "FROM"] == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    word, base = INSTRUCTIONS[0]
    assert word == "ARG"
    assert re.fullmatch(r"PYTHON_IMAGE=docker\.io/library/python:3\.\d+-slim-[a-z]+", base)
    assert "latest" not in base


@pytest.mark.feature("image.hardened")
def test_it_runs_as_nobody_in_particular_and_needs_no_shell() -> None:
    """By number, which Kubernetes can check; every command is a list of words, in both stages."""
    assert values("USER", 1) == ["65532:65532"]
    assert (values("ENTRYPOINT", 1), values("CMD", 1)) == (['["imageops"]'], ['["operator"]'])
    [check] = values("HEALTHCHECK", 1)
    words = json.loads(check.partition("CMD ")[2])
    assert words[0] == "python"
    assert "http://127.0.0.1:8080/healthz" in words[-1]
    assert values("RUN", 1) == []
    for command in values("RUN", 0):
        assert json.loads(command)


@pytest.mark.feature("image.hardened")
def test_only_what_the_operator_needs_comes_into_the_image() -> None:
    """Packages by hash, the operator as a wheel, nothing of the build stage besides; no pip."""
    assert values("COPY", 1) == ["--from=build /opt/imageops /opt/imageops"]
    installs = [json.loads(command) for command in values("RUN", 0) if '"install"' in command]
    assert all("--require-hashes" in words or "--no-index" in words for words in installs)
    assert '["python", "-m", "venv", "--without-pip", "/opt/imageops"]' in values("RUN", 0)
    [labels] = values("LABEL", 1)
    named = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", labels))
    assert {"title", "licenses", "source", "version", "revision", "created"} <= named


@pytest.mark.feature("dev.fresh-machine")
def test_the_image_of_the_trials_is_installed_by_the_same_commands() -> None:
    """What the locks say by hash and nothing else, and a look at whether something is missing."""
    built = [json.loads(command) for command in values("RUN", 0)][:-1]
    assert built == list(map(list, installation("python", Path("/build"), Path("/opt/imageops"), Path("/wheels"))))
    assert built[-1][-1] == "check"
    for words in built:
        if "install" in words:
            assert "--no-deps" in words
            assert "--require-hashes" in words or "--no-index" in words


@pytest.mark.feature("image.hardened")
def test_the_build_sees_nothing_but_what_it_copies() -> None:
    """No history, no test, no credential of whoever builds."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    seen = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {word for rest in values("COPY", 0) for word in rest.split()[:-1]}
    assert seen == copied
    assert all((ROOT / name).exists() for name in seen)


@pytest.mark.parametrize("name", ["requirements-operator.lock", "requirements-build.lock"])
def test_the_image_has_the_versions_that_were_tested(name: str) -> None:
    """Every package with its hashes stands in the lock file of the tests as well."""
    tested, own = pins("requirements.lock"), pins(name)
    assert {package for package in own if own[package] != tested.get(package)} == set()
    assert {"mypy", "pytest", "ruff"}.isdisjoint(own)


@pytest.mark.feature("image.hardened")
def test_the_image_has_every_package_that_the_operator_names() -> None:
    """A dependency that only the tests' lock file pins would be missing when the image starts."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[<>=~;\[ ]", line)[0].lower() for line in project["dependencies"]}
    assert wanted <= set(pins("requirements-operator.lock"))
