"""What holds of the whole tree: nothing is unused or half done, and the build demands what the habits say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from imageops.runtime.settings import LeaseSettings, Settings
from tests.support.pages import ROOT, pages

PACKAGE = ROOT / "operator" / "imageops"
HALF_DONE = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b|NotImplemented(?:Error)?\b")


def modules() -> list[ast.Module]:
    """Parse the package."""
    return [ast.parse(path.read_text(encoding="utf-8"), filename=str(path)) for path in PACKAGE.rglob("*.py")]


def shown_to_others() -> Iterator[ast.Module]:
    """Parse the code of the documentation: what is for those who write tools is used there."""
    for page in pages():
        yield from map(ast.parse, page.blocks("python"))


def uses(*everything: ast.Module) -> set[str]:
    """Return every name that is read, and every attribute."""
    nodes = [node for tree in everything for node in ast.walk(tree)]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


@pytest.mark.feature("dev.nothing-unused")
def test_each_public_class_is_used() -> None:
    """By the package itself, or by the documented code of others; what only tests use is not of the product."""
    package = modules()
    classes = {node.name for tree in package for node in tree.body if isinstance(node, ast.ClassDef)}
    public = {name for name in classes if not name.startswith("_")}
    assert len(public) > 100
    assert public - uses(*package, *shown_to_others()) == set()


@pytest.mark.feature("dev.nothing-unused")
@pytest.mark.parametrize("settings", [Settings, LeaseSettings])
def test_each_setting_has_an_effect(settings: type[Settings | LeaseSettings]) -> None:
    """Somebody reads it."""
    assert {field.name for field in fields(settings)} <= uses(*modules())


@pytest.mark.feature("dev.nothing-unused")
def test_nothing_is_half_done() -> None:
    """No note of what is to follow, and no function that only says so."""
    suffixes = {".py", ".md", ".yaml", ".tpl", ".lua", ".go", ""}
    words_for_it = {Path(__file__), ROOT / "docs" / "features.md"}
    git = ["git", "-c", f"safe.directory={ROOT}", "ls-files"]  # a clone may be somebody else's than who runs the tests
    listed = subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = []
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix not in suffixes or path in words_for_it or not path.exists():
            continue
        found += [f"{name}: {match[0]}" for match in HALF_DONE.finditer(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.feature("dev.nothing-unused")
def test_lint_and_strict_types_are_demanded_of_each_change() -> None:
    """By all rules but the listed ones, strictly, in the workflow that every pull request runs."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert config["ruff"]["lint"]["select"] == ["ALL"]
    assert config["mypy"]["strict"] is True
    recipe = makefile("check")
    assert "ruff check" in recipe
    assert "mypy" in recipe
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yaml").read_text(encoding="utf-8"))
    assert {"run": "make check"} in workflow["jobs"]["check"]["steps"]


@pytest.mark.feature("dev.coverage")
def test_the_build_fails_below_its_coverage(tmp_path: Path) -> None:
    """By the tree's own settings, a package of which half the branches were seen is refused."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]
    assert config["run"]["branch"] is True
    assert config["report"]["fail_under"] >= 90
    assert "--after coverage-report" in makefile("test")
    assert "--include='operator/imageops/core/*' --fail-under=95" in makefile("coverage-report")
    package = tmp_path / "imageops"
    package.mkdir()
    package.joinpath("__init__.py").write_text("def half(x):\n    if x:\n        return 1\n    return 2\nhalf(1)\n")
    coverage = [sys.executable, "-m", "coverage"]
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    subprocess.run([*coverage, "run", "-m", "imageops.__init__"], cwd=tmp_path, check=True)
    subprocess.run([*coverage, "combine", "--quiet"], cwd=tmp_path, check=True)
    report = subprocess.run([*coverage, "report"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert report.returncode == 2
    assert "is less than fail-under" in report.stdout


def makefile(target: str) -> str:
    """Return the commands that a target would run."""
    make = ["make", "--dry-run", "--always-make", "--no-print-directory", target]
    return subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True).stdout
