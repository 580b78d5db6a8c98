"""Own every path of the development cluster."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Layout:
    """Name the folders of one checkout's cluster.

    Data and sockets lie in `run`, outside the checkout: a Unix socket path has to stay under 108 bytes, and a checkout
    may lie as deep as it likes. Its name is made from the checkout's path, so two checkouts never meet.
    """

    checkout: Path
    run: Path

    @classmethod
    def of(cls, checkout: Path | None = None) -> Layout:
        """Derive the layout of the checkout at this path.

        By default it is this one, or the folder that `IMAGEOPS_CLUSTER` names: for a second cluster of the same tree.
        """
        resolved = (checkout or Path(os.environ.get("IMAGEOPS_CLUSTER") or CHECKOUT)).resolve()
        mark = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:8]
        return cls(checkout=resolved, run=Path(f"/tmp/imageops-{mark}"))  # noqa: S108 - short, and made with mode 0700

    @property
    def dev(self) -> Path:
        """Locate the folder that outlives a command: state, logs, environment."""
        return self.checkout / ".dev"

    @property
    def env(self) -> Path:
        """Locate the file of shell exports."""
        return self.dev / "env"

    @property
    def state(self) -> Path:
        """Locate the record of what `up` started."""
        return self.dev / "state.json"

    @property
    def lock(self) -> Path:
        """Locate the lock that makes commands of one checkout take turns."""
        return self.dev / "lock"

    @property
    def logs(self) -> Path:
        """Locate the folder of one log file per part."""
        return self.dev / "logs"

    @property
    def kube(self) -> Path:
        """Locate the folder of kubeconfig files."""
        return self.dev / "kube"

    def make(self) -> None:
        """Create the folders, closed to other users."""
        for folder in (self.dev, self.logs, self.kube, self.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Locate the cache that checkouts share.

    `IMAGEOPS_CACHE` wins, then `XDG_CACHE_HOME/imageops`, then `~/.cache/imageops`.
    """
    if named := environ.get("IMAGEOPS_CACHE"):
        return Path(named)
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "imageops"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)
