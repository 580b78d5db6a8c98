"""An archive is made of content alone, and says how a container of it runs."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from e2e.archive import RunConfig, write_archive

REFERENCE = "imageops.test/app:1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Lay out a few files, one of them closed to others."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True, mode=0o700)
    (root / "bin" / "app").write_bytes(b"program")
    (root / "bin" / "app").chmod(0o700)
    (root / "app").symlink_to("bin/app")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    return root


def written(tmp_path: Path, root: Path, name: str, run: RunConfig) -> bytes:
    """Return the bytes of an archive."""
    archive = tmp_path / name
    write_archive(archive, root, REFERENCE, run)
    return archive.read_bytes()


def document(archive: Path, name: str) -> dict[str, Any]:
    """Read a JSON document of an archive."""
    with tarfile.open(archive) as tar:
        file = tar.extractfile(name)
        assert file is not None
        content: dict[str, Any] = json.load(file)
        return content


def test_the_same_content_makes_the_same_bytes(tmp_path: Path, root: Path) -> None:
    """Whenever it was written, and whoever owned the files."""
    before = written(tmp_path, root, "one.tar", RunConfig())
    os.utime(root / "bin" / "app", (0, 0))
    assert written(tmp_path, root, "two.tar", RunConfig()) == before
    (root / "bin" / "app").write_bytes(b"another")
    assert written(tmp_path, root, "three.tar", RunConfig()) != before


def test_every_digest_is_that_of_the_bytes(tmp_path: Path, root: Path) -> None:
    """Index, manifest, configuration and layer lead to each other, and the index has the name."""
    written(tmp_path, root, "app.tar", RunConfig(entrypoint=("app",), user="65532:65532", environment={"PATH": "/bin"}))
    archive = tmp_path / "app.tar"
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if member.name.startswith("blobs/"):
                file = tar.extractfile(member)
                assert file is not None
                assert member.name.endswith(hashlib.sha256(file.read()).hexdigest())
    [entry] = document(archive, "index.json")["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == REFERENCE
    manifest = document(archive, f"blobs/{entry['digest'].replace(':', '/')}")
    config = document(archive, f"blobs/{manifest['config']['digest'].replace(':', '/')}")
    assert config["config"]["Entrypoint"] == ["app"]
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Env"] == ["PATH=/bin"]
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]


def test_files_are_roots_and_everybody_may_read_them(tmp_path: Path, root: Path) -> None:
    """Links stay links, and /tmp stays open to all."""
    written(tmp_path, root, "app.tar", RunConfig())
    with tarfile.open(tmp_path / "app.tar") as tar:
        [layer] = [name for name in tar.getnames() if name.startswith("blobs/")][-1:]
        file = tar.extractfile(layer)
        with tarfile.open(fileobj=file) as inner:
            members = {member.name: member for member in inner.getmembers()}
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, 0)}
    assert {name: oct(member.mode) for name, member in members.items() if not member.issym()} == {
        "bin": "0o755",
        "bin/app": "0o755",
        "tmp": "0o1777",
    }
    assert members["app"].linkname == "bin/app"
