"""Write into a registry what registries hold besides plain images: nested and wide indexes, artifacts, odd layers."""

from __future__ import annotations

import io
import struct
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devcluster.images import (
    CONFIG,
    INDEX,
    MANIFEST,
    PushedManifest,
    Repository,
    annotations_of,
    digest_of,
    document,
    entry,
    platform_of,
    push_attestation,
    push_platform,
)

if TYPE_CHECKING:
    from collections.abc import Callable

EMPTY = "application/vnd.oci.empty.v1+json"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_ONE_SEGMENT = b"\xa0"
"""A frame header that gives the content's size in four bytes."""
_ZSTD_BLOCK = 1 << 16
_ARCHITECTURES = ("amd64", "arm64", "386", "s390x", "ppc64le", "riscv64")

Entry = dict[str, Any]
"""An entry of an index."""


@dataclass(frozen=True, slots=True)
class PushedShape:
    """Describe what a tag names; `parts` are the digests of all manifests and indexes below it, children first."""

    registry: str
    repository: str
    tag: str
    digest: str
    parts: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """Name it by its tag."""
        return f"{self.registry}/{self.repository}:{self.tag}"


def put_index(target: Repository, entries: list[Entry], *, tag: str | None = None) -> Entry:
    """Push an index, and return it as another index would list it."""
    content = document({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    digest = target.put_manifest(tag or digest_of(content), content, INDEX)
    return {"mediaType": INDEX, "digest": digest, "size": len(content)}


def push_nested(
    registry: str,
    repository: str,
    tag: str,
    *,
    depth: int = 1,
    named: bool = True,
    seed: int = 0,
) -> PushedShape:
    """Push an index that lists, for each of two platforms, an index of an image and its attestation.

    `depth` is how many indexes lie between. Without `named` no index says which platform another one is for.
    """
    parts: list[str] = []
    with Repository(registry, repository) as target:
        top = []
        for platform in ("linux/amd64", "linux/arm64"):
            image = push_platform(target, platform, (4096, 1024), seed)
            note = push_attestation(target, image)
            below = put_index(target, [entry(image), entry(note) | {"annotations": annotations_of(image)}])
            parts += [image.digest, note.digest, below["digest"]]
            for _ in range(depth - 1):
                below = put_index(target, [below | _named(platform, named=named)])
                parts.append(below["digest"])
            top.append(below | _named(platform, named=named))
        digest = put_index(target, top, tag=tag)["digest"]
    return PushedShape(registry, repository, tag, digest, tuple(parts))


def push_wide(
    registry: str, repository: str, tag: str, *, children: int, named: bool = True, seed: int = 0
) -> PushedShape:
    """Push an index of many images, each of a platform of its own, which without `named` it does not say."""
    with Repository(registry, repository) as target:
        images = [push_platform(target, platform, (100,), seed) for platform in _platforms(children)]
        entries = [{**entry(image), "platform": platform_of(image.platform)} for image in images]
        if not named:
            entries = [{key: value for key, value in one.items() if key != "platform"} for one in entries]
        digest = put_index(target, entries, tag=tag)["digest"]
    return PushedShape(registry, repository, tag, digest, tuple(image.digest for image in images))


def push_mixed(registry: str, repository: str, tag: str, *, image: bool = True, seed: int = 0) -> PushedShape:
    """Push an index of an image, if one is wanted, and of two artifacts, which have no platform."""
    with Repository(registry, repository) as target:
        images: list[PushedManifest] = [push_platform(target, "linux/amd64", (100,), seed)] if image else []
        artifacts = [
            artifact(target, seed + number) | {"artifactType": "application/vnd.example.sbom"} for number in range(2)
        ]
        entries = [*map(entry, images), *artifacts]
        digest = put_index(target, entries, tag=tag)["digest"]
    return PushedShape(registry, repository, tag, digest, tuple(one["digest"] for one in entries))


def push_with_blob(registry: str, repository: str, tag: str, *, seed: int = 0) -> PushedShape:
    """Push an index of an image and of a document that is no manifest; the common registry refuses such a one."""
    with Repository(registry, repository) as target:
        image = push_platform(target, "linux/amd64", (100,), seed)
        loose = _blob(target, "application/spdx+json", f"packages of {seed}".encode())
        digest = put_index(target, [entry(image), loose], tag=tag)["digest"]
    return PushedShape(registry, repository, tag, digest, (image.digest, loose["digest"]))


def push_single(
    registry: str, repository: str, tag: str, write: Callable[[Repository, int], Entry], *, seed: int = 0
) -> PushedShape:
    """Push one manifest, as `write` makes it, under a tag."""
    with Repository(registry, repository) as target:
        made = write(target, seed)
        target.name_manifest(tag, made["digest"])
    return PushedShape(registry, repository, tag, made["digest"])


def artifact(target: Repository, seed: int) -> Entry:
    """Write an artifact as the OCI specification 1.1 has it: an artifact type, and an empty configuration."""
    content = f"packages of {seed}".encode()
    return _manifest(
        target,
        EMPTY,
        b"{}",
        [_blob(target, "application/spdx+json", content)],
        artifactType="application/vnd.example.sbom",
    )


def helm_chart(target: Repository, seed: int) -> Entry:
    """Write a Helm chart."""
    config = document({"name": "app", "version": f"1.0.{seed}", "apiVersion": "v2"})
    chart = _tar("app/Chart.yaml", f"name: app\nversion: 1.0.{seed}\n".encode())
    layer = _blob(target, "application/vnd.cncf.helm.chart.content.v1.tar+gzip", chart)
    return _manifest(target, "application/vnd.cncf.helm.config.v1+json", config, [layer])


def signature(target: Repository, seed: int) -> Entry:
    """Write what cosign keeps under a tag such as sha256-<hex>.sig: an image whose layer is a signed statement."""
    statement = document({"critical": {"image": {"docker-manifest-digest": f"sha256:{seed:064x}"}}, "optional": None})
    layer = _blob(target, "application/vnd.dev.cosign.simplesigning.v1+json", statement)
    layer["annotations"] = {"dev.cosignproject.cosign/signature": "c2lnbmF0dXJl"}
    config = document(
        {"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
    )
    return _manifest(target, CONFIG, config, [layer])


def zstd_image(target: Repository, seed: int) -> Entry:
    """Write an image whose layer is a zstd frame."""
    archive = _tar("content", f"{seed}".encode() * 5000)
    return _image(target, [_blob(target, "application/vnd.oci.image.layer.v1.tar+zstd", _zstd(archive))], [archive])


def foreign_image(target: Repository, seed: int) -> Entry:
    """Write an image with a layer that its manifest has the reader fetch by URL, which leads to this repository."""
    archives = [_tar(name, f"{seed}/{name}".encode()) for name in ("foreign", "own")]
    layers = [_blob(target, "application/vnd.oci.image.layer.v1.tar", archive) for archive in archives]
    layers[0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    layers[0]["urls"] = [target.blob_url(layers[0]["digest"])]
    return _image(target, layers, archives)


def tall_image(target: Repository, seed: int) -> Entry:
    """Write an image of 130 layers."""
    archives = [_tar(f"layer-{number}", f"{seed}/{number}".encode()) for number in range(130)]
    layers = [_blob(target, "application/vnd.oci.image.layer.v1.tar", archive) for archive in archives]
    return _image(target, layers, archives)


def _image(target: Repository, layers: list[Entry], archives: list[bytes]) -> Entry:
    diffs = [digest_of(archive) for archive in archives]
    config = document(
        {**platform_of("linux/amd64"), "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs}},
    )
    return _manifest(target, CONFIG, config, layers)


def _manifest(target: Repository, config_type: str, config: bytes, layers: list[Entry], **more: str) -> Entry:
    described = _blob(target, config_type, config)
    content = document({"schemaVersion": 2, "mediaType": MANIFEST, **more, "config": described, "layers": layers})
    digest = target.put_manifest(digest_of(content), content, MANIFEST)
    return {"mediaType": MANIFEST, "digest": digest, "size": len(content)}


def _blob(target: Repository, media_type: str, content: bytes) -> Entry:
    return {"mediaType": media_type, "digest": target.put_blob(content), "size": len(content)}


def _named(platform: str, *, named: bool) -> Entry:
    return {"platform": platform_of(platform)} if named else {}


def _platforms(count: int) -> list[str]:
    """Return so many platforms."""
    plain = [f"linux/{name}" for name in _ARCHITECTURES]
    return [*plain, *(f"linux/mips64le/v{number}" for number in range(count))][:count]


def _tar(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        header = tarfile.TarInfo(name)
        header.size = len(content)
        archive.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def _zstd(content: bytes) -> bytes:
    """Write a zstd frame of raw blocks (RFC 8878), which every reader of zstd reads."""
    blocks = [content[start : start + _ZSTD_BLOCK] for start in range(0, len(content), _ZSTD_BLOCK)]
    frame = _ZSTD_MAGIC + _ZSTD_ONE_SEGMENT + struct.pack("<I", len(content))
    for number, block in enumerate(blocks, start=1):
        frame += struct.pack("<I", len(block) << 3 | (number == len(blocks)))[:3] + block
    return frame
