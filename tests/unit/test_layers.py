from __future__ import annotations

import ast
from pathlib import Path

import pytest

import imageops

PACKAGE = Path(imageops.__file__).parent
MIDDLE = {"tools", "cluster", "access", "telemetry"}
BASE = {"core", "engine"}

# What each layer may import of ours, beside itself. handlers -> runtime -> middle -> base -> api, cli above all.
ALLOWED: dict[str, set[str]] = {
    "api": set(),
    "core": {"api"},
    "engine": {"api"},
    "access": {"api"} | BASE,
    "telemetry": {"api"} | BASE,
    "tools": {"api", "access"} | BASE,
    "cluster": {"api", "access"} | BASE,
    "runtime": {"api"} | BASE | MIDDLE,
    "handlers": {"api", "runtime"} | BASE | MIDDLE,
    "cli": {"api", "runtime", "handlers"} | BASE | MIDDLE,
    "__main__": {"cli"},
    "__init__": set(),
}

# What would let core do I/O, look at a clock or throw dice. typing and the like are fine.
IMPURE = {
    "asyncio",
    "threading",
    "concurrent",
    "socket",
    "ssl",
    "http",
    "urllib",
    "subprocess",
    "os",
    "io",
    "pathlib",
    "random",
    "secrets",
    "uuid",
    "time",
    "logging",
    "aiohttp",
    "docker",
    "requests",
    "kubernetes",
    "kopf",
    "prometheus_client",
}
IMPURE_CALLS = {"now", "utcnow", "today", "open", "print", "input"}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def layer_of(path: Path) -> str:
    """Return the layer that a module is in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[tuple[str, int]]:
    """Return the full names that a module imports, with their lines; relative imports do not occur."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def parameters(paths: list[Path]) -> list[object]:
    """Give each module its own test."""
    return [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in paths]


@pytest.mark.feature("dev.layers")
def test_every_module_is_in_a_known_layer() -> None:
    """A new folder needs a place in the table."""
    assert {layer_of(path) for path in MODULES} == set(ALLOWED)


@pytest.mark.feature("dev.layers")
@pytest.mark.parametrize("path", parameters(MODULES))
def test_imports_go_one_way(path: Path) -> None:
    """A module imports only layers below its own; the middle ones import each other only as the table says."""
    mine = layer_of(path)
    for name, line in imports_of(path):
        parts = name.split(".")
        if parts[0] == "imageops" and len(parts) > 1:
            assert parts[1] == mine or parts[1] in ALLOWED[mine], f"{path}:{line} imports {name}"


@pytest.mark.feature("dev.layers")
@pytest.mark.parametrize("path", parameters([path for path in MODULES if layer_of(path) == "core"]))
def test_core_has_no_io_no_clock_and_no_dice(path: Path) -> None:
    """Time comes in as an argument, jitter out of a hash."""
    for name, line in imports_of(path):
        assert name.split(".")[0] not in IMPURE, f"{path}:{line} imports {name}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in IMPURE_CALLS, f"{path}:{node.lineno} calls {called}"
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{path}: core waits for nothing"


@pytest.mark.feature("dev.layers")
@pytest.mark.parametrize("path", parameters([path for path in MODULES if layer_of(path) != "handlers"]))
def test_kopf_is_known_to_the_handlers_alone(path: Path) -> None:
    """All else could run without it."""
    assert not [name for name, _ in imports_of(path) if name.split(".")[0] == "kopf"]


@pytest.mark.parametrize("path", parameters(MODULES))
def test_a_module_is_short(path: Path) -> None:
    """400 lines are the limit."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
