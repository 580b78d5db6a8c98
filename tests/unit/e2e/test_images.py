"""An image is made once for what it is made from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from e2e.archive import RunConfig
from e2e.images import Cupboard


class Layout:
    """Lay out an image of one file, and count how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, root: Path, work: Path) -> None:
        """Write the file."""
        self.times += 1
        assert work.is_dir()
        (root / "file").write_bytes(b"content")


def test_an_image_is_made_once_for_the_same_inputs(tmp_path: Path) -> None:
    """Another input, or the same pieces cut elsewhere, is another tag."""
    lines: list[str] = []
    cupboard, lay = Cupboard(tmp_path, lines.append), Layout()
    first = cupboard.image("app", [b"ab", b"c"], lay, RunConfig())
    assert cupboard.image("app", [b"ab", b"c"], lay, RunConfig()) == first
    assert lay.times == 1
    assert lines == [f"image {first.reference}: making it"]
    assert cupboard.image("app", [b"a", b"bc"], lay, RunConfig()).tag != first.tag
    assert lay.times == 2


def test_the_newest_archives_are_kept(tmp_path: Path) -> None:
    """Those that others may be about to use; of other names, all."""
    cupboard, lay = Cupboard(tmp_path, lambda _: None), Layout()
    other = cupboard.image("other", [b"a"], lay, RunConfig()).archive
    archives = []
    for number in range(6):
        archives.append(cupboard.image("app", [bytes([number])], lay, RunConfig()).archive)
        os.utime(archives[-1], (number, number))
    assert [archive.exists() for archive in archives] == [False, False, True, True, True, True]
    assert other.exists()


def test_what_could_not_be_made_is_not_there(tmp_path: Path) -> None:
    """The next try starts afresh."""

    def fail(root: Path, _: Path) -> None:
        (root / "half").touch()
        raise ConnectionError

    cupboard, lay = Cupboard(tmp_path, lambda _: None), Layout()
    with pytest.raises(ConnectionError):
        cupboard.image("app", [b"a"], fail, RunConfig())
    assert [path.name for path in tmp_path.iterdir()] == ["app.lock"]
    assert cupboard.image("app", [b"a"], lay, RunConfig()).archive.exists()
