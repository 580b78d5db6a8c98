"""Write a folder as an image with one layer into an OCI archive, the same bytes for the same content.

Formats are those of the OCI image specification 1.1. containerd names what it imports by an annotation of its own.
"""

from __future__ import annotations

import hashlib
import json
import platform
import stat
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Say how a container of the image runs, in the words of a Dockerfile."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def write_archive(archive: Path, root: Path, reference: str, run: RunConfig) -> None:
    """Write the archive; everything in the image belongs to root."""
    layer = archive.with_suffix(".layer")
    _write_layer(layer, root)
    digest, size = _digest(layer), layer.stat().st_size
    config = _document(
        {
            "os": "linux",
            "architecture": _ARCHITECTURES[platform.machine()],
            "config": {
                "Entrypoint": list(run.entrypoint),
                "Cmd": list(run.command),
                "User": run.user,
                "Env": [f"{name}={value}" for name, value in run.environment.items()],
                "Labels": dict(run.labels),
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }
    )
    manifest = _document(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [{"mediaType": _LAYER, "digest": digest, "size": size}],
        }
    )
    named = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference.rpartition(":")[2]}
    entry = {**_descriptor(_MANIFEST, manifest), "annotations": named}
    index = _document({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]})
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", _document({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", index)
        for blob in (config, manifest):
            _add(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        member = tarfile.TarInfo(f"blobs/{digest.replace(':', '/')}")
        member.size = size
        with layer.open("rb") as file:
            tar.addfile(member, file)
    layer.unlink()


def _write_layer(layer: Path, root: Path) -> None:
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            member = tar.gettarinfo(path, path.relative_to(root).as_posix())
            member.uid = member.gid = member.mtime = 0
            member.uname = member.gname = ""
            if member.islnk():  # a second name of a file already written
                member.type, member.size = tarfile.REGTYPE, path.stat().st_size
            if not member.issym():
                member.mode = _mode(path)
            if member.isreg():
                with path.open("rb") as file:
                    tar.addfile(member, file)
            else:
                tar.addfile(member)


def _mode(path: Path) -> int:
    """Return what the image has of a file's mode: whoever it runs as reads it, and nobody writes but to /tmp."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return stat.S_IMODE(mode) if mode & stat.S_ISVTX else 0o755
    return 0o755 if mode & stat.S_IXUSR else 0o644


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, BytesIO(content))


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def _document(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
