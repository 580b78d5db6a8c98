"""Install Debian packages without letting them start the services they bring."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster.errors import DevClusterError
from devcluster.locking import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POLICY = Path("/usr/sbin/policy-rc.d")
"""The program Debian's maintainer scripts ask before they start a service; 101 is "no" (invoke-rc.d(8))."""

_OURS = "#!/bin/sh\n# imageops development cluster: no service is to start while its package is installed\nexit 101\n"
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300")
_LINES_SHOWN = 5


@contextmanager
def services_held_back(policy: Path = POLICY) -> Iterator[None]:
    """Forbid package scripts to start services while the block runs, and put back what was there before.

    What an interrupted run left is put right first.
    """
    kept = policy.with_name(f"{policy.name}.before-imageops")
    _restore(policy, kept)
    if policy.exists():
        policy.rename(kept)
    policy.write_text(_OURS, encoding="utf-8")
    policy.chmod(0o755)
    try:
        yield
    finally:
        _restore(policy, kept)


def _restore(policy: Path, kept: Path) -> None:
    if kept.exists():
        kept.replace(policy)
    elif policy.exists() and policy.read_text(encoding="utf-8") == _OURS:
        policy.unlink()


class AptInstaller:
    """Install packages by apt-get; checkouts take turns."""

    def __init__(self, cache: Path, say: Callable[[str], None]) -> None:
        self._lock = cache / "work" / "apt.lock"
        self._say = say

    def install(self, *packages: str) -> bool:
        """Install the packages; answer False where this system has no apt-get or does not know one of them.

        The package lists are fetched only if they do not name them yet. Raises `DevClusterError` without root.
        """
        if shutil.which("apt-get") is None:
            return False
        names = " ".join(packages)
        if os.geteuid() != 0:
            msg = f"installing {names} takes root: run this as root, or `apt-get install {names}` first"
            raise DevClusterError(msg)
        with locked(self._lock, lambda: self._say(f"{names}: another checkout is installing packages, waiting")):
            self._say(f"installing the system's packages {names} (no service is started)")
            with services_held_back():
                if self._apt("install", "--yes", "--no-install-recommends", *packages):
                    return True
                return self._apt("update") and self._apt("install", "--yes", "--no-install-recommends", *packages)

    def _apt(self, *arguments: str) -> bool:
        environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run([*_APT, *arguments], env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            for line in done.stderr.strip().splitlines()[-_LINES_SHOWN:]:
                self._say(f"apt-get {arguments[0]}: {line}")
        return done.returncode == 0
