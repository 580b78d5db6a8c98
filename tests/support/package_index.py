"""Write a package index into a folder, in which every package of a lock has a release that is newer than the lock.

The packages are empty; what they say of themselves, and ask for, is what the installed ones say. Only pip is whole: it
is what installs the others, and a lock that has it replaces it on the way.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import Marker
from packaging.version import Version

_PIN = re.compile(r"(?m)^(?P<name>[a-z0-9-]+)==(?P<version>[^ \n]+)(?: ; (?P<marker>[^\\\n]+?))? \\$")


@dataclass(frozen=True, slots=True)
class Pin:
    """Hold one line of a lock."""

    name: str
    version: str
    marker: str

    @property
    def newer(self) -> str:
        """Name a release that everything which takes the pinned one takes as well."""
        *most, last = Version(self.version).release
        return ".".join(map(str, (*most, last + 1)))

    @property
    def applies(self) -> bool:
        """Tell whether the line is for this interpreter and system."""
        return not self.marker or Marker(self.marker).evaluate()


def pins(lock: str) -> list[Pin]:
    """Read the text of a lock."""
    return [Pin(match["name"], match["version"], match["marker"] or "") for match in _PIN.finditer(lock)]


def write_index(folder: Path, wanted: Iterable[Pin]) -> dict[Pin, str]:
    """Write both releases of each package below the folder, and return the hash of each pinned one."""
    hashes = {}
    for pin in wanted:
        home = folder / pin.name
        home.mkdir(parents=True, exist_ok=True)
        write_wheel(home, pin.name, pin.newer)
        hashes[pin] = hashlib.sha256(write_wheel(home, pin.name, pin.version).read_bytes()).hexdigest()
        links = [f'<a href="{wheel.name}">{wheel.name}</a>' for wheel in sorted(home.glob("*.whl"))]
        (home / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>", encoding="utf-8")
    return hashes


def write_lock(path: Path, hashes: dict[Pin, str], wanted: Iterable[Pin]) -> None:
    """Write a lock of the same lines, with the hashes of the packages of the index."""
    lines = [f"{_line(pin)} \\\n    --hash=sha256:{hashes[pin]}\n" for pin in wanted]
    path.write_text("".join(lines), encoding="utf-8")


def write_wheel(folder: Path, name: str, version: str) -> Path:
    """Write a wheel that has nothing in it (but for pip), and asks for what the installed package asks for."""
    stem = f"{name.replace('-', '_')}-{version}"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{_asks(name)}"
    files: dict[str, bytes | str] = {
        f"{stem}.dist-info/METADATA": about,
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files |= _content(name) if name == "pip" else {}
    record = f"{stem}.dist-info/RECORD"
    files[record] = "".join(f"{path},,\n" for path in (*files, record))
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def _content(name: str) -> dict[str, bytes | str]:
    """Read the files of the installed package, and the names of its programs."""
    found: dict[str, bytes | str] = {}
    for path in distribution(name).files or ():
        listed = path.parts[0] == name or path.name == "entry_points.txt"
        if listed and path.suffix != ".pyc":
            found[str(path)] = Path(path.locate()).read_bytes()
    return found


def _asks(name: str) -> str:
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError:  # for another system
        return ""
    asked = [(key, value) for key in ("Provides-Extra", "Requires-Dist") for value in metadata.get_all(key) or ()]
    return "".join(f"{key}: {value}\n" for key, value in asked)


def _line(pin: Pin) -> str:
    return f"{pin.name}=={pin.version}" + (f" ; {pin.marker}" if pin.marker else "")
