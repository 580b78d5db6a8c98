"""Find each program: first what the environment names, then PATH, the system's package, and last a build."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster.building import GoBuilder
from devcluster.errors import DevClusterError
from devcluster.layout import cache_folder
from devcluster.packages import AptInstaller

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devcluster.parts import Part

Way = Callable[["Part"], Path | None]

_VERSION_SECONDS = 20.0
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where daemons lie; an ordinary user's PATH leaves these out."""


@dataclass(frozen=True, slots=True)
class Found:
    """Say where a program is and by which way it was found."""

    path: Path
    way: str


def find(part: Part, ways: Sequence[tuple[str, Way]]) -> Found:
    """Ask the ways in their order and take the first answer.

    Raises `DevClusterError` if none has the program in an accepted version.
    """
    for name, way in ways:
        if path := way(part):
            return Found(path=path, way=name)
    msg = f"{part.name} cannot be had: looked at {', '.join(name for name, _ in ways)}"
    raise DevClusterError(msg)


def standard_ways(environ: Mapping[str, str], say: Callable[[str], None]) -> tuple[tuple[str, Way], ...]:
    """Compose the ways of this machine, in the order that docs/devcluster.md promises."""
    cache = cache_folder(environ)
    apt = AptInstaller(cache, say)
    builder = GoBuilder(cache, say)
    return (
        ("KUBEBUILDER_ASSETS", assets_way(environ)),
        ("PATH", path_way(environ)),
        ("the system's package", lambda part: _installed(part, apt)),
        ("a build", lambda part: builder.build(part.go) if part.go else None),
    )


def at_hand(part: Part, environ: Mapping[str, str]) -> bool:
    """Tell whether the part can be had without installing or building anything."""
    if part.go and GoBuilder(cache_folder(environ), _nobody).cached(part.go):
        return True
    return any(way(part) for way in (assets_way(environ), path_way(environ), package_way))


def assets_way(environ: Mapping[str, str]) -> Way:
    """Look into the folder that KUBEBUILDER_ASSETS names; what lies there is taken as it is, whatever its version."""
    folder = environ.get("KUBEBUILDER_ASSETS")

    def look(part: Part) -> Path | None:
        program = Path(folder) / part.program if folder else None
        return program if program and os.access(program, os.X_OK) else None

    return look


def path_way(environ: Mapping[str, str]) -> Way:
    """Look for an accepted version in every folder of PATH, as two versions of one program may be installed."""
    folders = [folder for folder in environ.get("PATH", "").split(os.pathsep) if folder]

    def look(part: Part) -> Path | None:
        for folder in dict.fromkeys([*folders, *SYSTEM_FOLDERS]):
            program = Path(folder) / part.program
            if os.access(program, os.X_OK) and accepted(part, program):
                return program
        return None

    return look


def accepted(part: Part, program: Path) -> bool:
    """Ask the program for its version and say whether the part may be this one."""
    try:
        done = subprocess.run(
            [program, *part.version_flag.split()], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return re.search(part.accepts, done.stdout + done.stderr) is not None


def package_way(part: Part) -> Path | None:
    """Look where the system's package puts the program, which may be where PATH does not lead."""
    program = Path(part.apt_path) if part.apt_path else None
    return program if program and os.access(program, os.X_OK) and accepted(part, program) else None


def _installed(part: Part, apt: AptInstaller) -> Path | None:
    return package_way(part) or (package_way(part) if part.apt and apt.install(part.apt) else None)


def _nobody(_: str) -> None:
    """Hear a line that is not for anybody."""
