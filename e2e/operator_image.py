"""Make the operator's image as the Dockerfile does, on this machine's Python in place of one from a registry.

The same locks with their hashes checked, the same wheel, the same folders, user, environment and command; the base is
the interpreter that runs this, with its standard library and the shared libraries they need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from devcluster.layout import CHECKOUT
from e2e.archive import RunConfig
from e2e.errors import NodeError
from e2e.rootfs import add_libraries, add_program, lay_out

RUN = RunConfig(
    entrypoint=("imageops",),
    command=("operator",),
    user="65532:65532",
    environment={
        "PATH": "/opt/imageops/bin:/usr/local/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    },
    labels={"org.opencontainers.image.title": "imageops"},
)

_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "requirements-build.lock", "requirements-operator.lock")
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_UNUSED = (
    "__pycache__",
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "site-packages",
    "config-*",
)


def inputs() -> Iterator[bytes]:
    """Yield all that the content of the image depends on."""
    yield sys.version.encode()
    yield Path(__file__).read_bytes()
    files = [CHECKOUT / name for name in _SOURCES]
    files += [path for path in sorted((CHECKOUT / "operator").rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    for path in files:
        yield path.relative_to(CHECKOUT).as_posix().encode()
        yield path.read_bytes()


def lay_out_operator(root: Path, work: Path) -> None:
    """Lay out the files of the image below `root`; `work` is for what does not stay.

    Raises `NodeError` if a package cannot be had or has another hash.
    """
    lay_out(root)
    _add_python(root)
    source, build, home = work / "source", work / "build", root / "opt" / "imageops"
    source.mkdir()
    for name in _SOURCES:
        shutil.copy(CHECKOUT / name, source)
    shutil.copytree(CHECKOUT / "operator", source / "operator", ignore=shutil.ignore_patterns("__pycache__"))
    for command in installation(sys.executable, build, home, work / "wheels"):
        _run(*command, folder=source)
    _settle(home)
    _run(
        *(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(root), str(home / "lib"), str(root / "usr" / "local" / "lib" / _PYTHON)),
        folder=work,
    )
    add_libraries(root, sorted(home.rglob("*.so")))


def installation(python: str, build: Path, home: Path, wheels: Path) -> list[tuple[str, ...]]:
    """List the commands of the Dockerfile, to be run where the sources are.

    `build` is an environment that has pip and what builds the wheel, `home` the one that goes into the image.
    """
    pip, into, hashed = f"{build}/bin/pip", ("--python", f"{home}/bin/python"), ("--no-deps", "--require-hashes")
    return [
        (python, "-m", "venv", str(build)),
        (pip, "install", *hashed, "--requirement", "requirements-build.lock"),
        (python, "-m", "venv", "--without-pip", str(home)),
        (pip, *into, "install", *hashed, "--only-binary", ":all:", "--requirement", "requirements-operator.lock"),
        (pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), "."),
        (pip, *into, "install", "--no-deps", "--no-index", "--find-links", str(wheels), "imageops"),
        (pip, *into, "check"),
    ]


def _add_python(root: Path) -> None:
    """Add interpreter and standard library where the image of the Dockerfile has them."""
    program = Path(sys.base_prefix) / "bin" / _PYTHON
    library = root / "usr" / "local" / "lib" / _PYTHON
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=shutil.ignore_patterns(*_UNUSED))
    add_program(root, program, _PYTHON)
    for name in ("python", "python3"):
        (root / "usr" / "local" / "bin" / name).symlink_to(_PYTHON)
    add_libraries(root, sorted(library.rglob("*.so")))


def _settle(home: Path) -> None:
    """Have the environment believe that it always was where the image has it."""
    for name in ("python", "python3", _PYTHON):
        link = home / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(f"/usr/local/bin/{_PYTHON}")
    settings = home / "pyvenv.cfg"
    settings.write_text("home = /usr/local/bin\ninclude-system-site-packages = false\n", encoding="utf-8")
    for script in (path for path in (home / "bin").iterdir() if not path.is_symlink()):
        text = script.read_text(encoding="utf-8")
        script.write_text(text.replace(str(home), "/opt/imageops"), encoding="utf-8")


def _run(*words: str, folder: Path) -> None:
    settings = {"SOURCE_DATE_EPOCH": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1"}
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | settings
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"`{' '.join(words[:4])} …` failed: {(done.stderr or done.stdout).strip()}"
        raise NodeError(msg)
