"""Lay out the files of an image: programs with the libraries they are linked to, and what every system has."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)")
_ACCOUNTS = "root:x:0:0:root:/root:/sbin/nologin\nimageops:x:65532:65532:imageops:/:/sbin/nologin\n"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def lay_out(root: Path) -> None:
    """Make the folders and accounts that programs expect."""
    for folder in ("etc/ssl/certs", "run", "tmp", "usr/local/bin", "usr/local/lib", "var"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "var" / "run").symlink_to("/run")
    (root / "etc" / "passwd").write_text(_ACCOUNTS, encoding="utf-8")
    (root / "etc" / "group").write_text("root:x:0:\nimageops:x:65532:\n", encoding="utf-8")
    (root / "etc" / "nsswitch.conf").write_text("hosts: files dns\n", encoding="utf-8")
    if _AUTHORITIES.exists():
        shutil.copy(_AUTHORITIES, root / "etc" / "ssl" / "certs")


def add_program(root: Path, program: Path, name: str) -> None:
    """Put a program into /usr/local/bin, and the libraries it needs to where it looks for them."""
    target = root / "usr" / "local" / "bin" / name
    shutil.copy(program, target)
    target.chmod(0o755)
    add_libraries(root, [program])


def add_libraries(root: Path, binaries: Iterable[Path]) -> None:
    """Copy the shared libraries of programs and libraries; a static one has none."""
    for binary in binaries:
        listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
        for found in _LIBRARY.findall(listed):
            target = root / found.lstrip("/")
            if not Path(found).is_relative_to(root) and not target.exists():  # a wheel brings some of its own
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found, target)
