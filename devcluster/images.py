"""Write real images straight into a registry by its HTTP interface, the same bytes for the same arguments.

Layers are gzip'd tar archives of pseudo-random bytes, which no compression makes smaller: what a pull transfers is what
was asked for. Document formats are those of the OCI image specification 1.1; attestations look as BuildKit writes them
(https://docs.docker.com/build/metadata/attestations/attestation-storage/).
"""

from __future__ import annotations

import hashlib
import json
import random
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_IN_TOTO = "application/vnd.in-toto+json"
_PREDICATE = "https://slsa.dev/provenance/v1"
_ACCEPT = (
    f"{INDEX}, {MANIFEST}, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
_CREATED = "2024-01-01T00:00:00Z"
_PIECE = 1 << 20
_TAR_BLOCK = 512
_GZIP = 31
"""zlib's window bits for a gzip header, which then carries no time."""
_SECONDS = 60.0

Credentials = tuple[str, str]
"""User name and password."""


@dataclass(frozen=True, slots=True)
class PushedLayer:
    """Describe one layer: digest and size in bytes of the compressed blob, and the digest of the tar archive in it."""

    digest: str
    size: int
    diff_id: str


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """Describe one manifest. `platform` is "unknown/unknown" for an attestation; `layers` is empty then."""

    digest: str
    size: int
    platform: str
    config_digest: str
    layers: tuple[PushedLayer, ...]

    @property
    def attestation(self) -> bool:
        """Say whether this tells about another manifest instead of being an image."""
        return self.platform == "unknown/unknown"


@dataclass(frozen=True, slots=True)
class PushedImage:
    """Describe an image in a registry.

    `digest` is that of what the tag names: the index if there is one, else the only manifest. `manifests` has the
    images in the order of the platforms, and behind them their attestations.
    """

    registry: str
    repository: str
    tag: str
    digest: str
    media_type: str
    manifests: tuple[PushedManifest, ...]

    @property
    def reference(self) -> str:
        """Name the image by its tag."""
        return f"{self.registry}/{self.repository}:{self.tag}"

    @property
    def layer_bytes(self) -> int:
        """Sum up the compressed layers of all platforms."""
        return sum(layer.size for manifest in self.manifests for layer in manifest.layers)


def push_image(  # noqa: PLR0913 - all but three have a default
    registry: str,
    repository: str,
    tag: str,
    *,
    layers: Sequence[int] = (4096, 1024),
    platforms: Sequence[str] = ("linux/amd64",),
    attestations: bool = False,
    credentials: Credentials | None = None,
    seed: int = 0,
) -> PushedImage:
    """Make an image and push it to `registry` (host:port, plain HTTP).

    `layers` are sizes in bytes of the files in the layers, one per layer. Another platform or `seed` gives other bytes.
    With several platforms or attestations the tag names an index. Raises `requests.HTTPError` if the registry refuses.
    """
    with Repository(registry, repository, credentials) as target:
        images = [push_platform(target, platform, layers, seed) for platform in platforms]
        notes = [push_attestation(target, image) for image in images] if attestations else []
        manifests = (*images, *notes)
        if len(manifests) == 1:
            target.name_manifest(tag, images[0].digest)
            return PushedImage(registry, repository, tag, images[0].digest, MANIFEST, manifests)
        entries = [entry(image) for image in images]
        entries += [
            entry(note) | {"annotations": annotations_of(image)} for image, note in zip(images, notes, strict=False)
        ]  # there is a note for every image, or none at all
        index = document({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
        digest = target.put_manifest(tag, index, INDEX)
        return PushedImage(registry, repository, tag, digest, INDEX, manifests)


def manifest_digest(
    registry: str, repository: str, reference: str, credentials: Credentials | None = None
) -> str | None:
    """Compute the digest of what a tag or digest names in the registry, from the bytes the registry serves.

    None if it has no such manifest. Raises `requests.HTTPError` on any other refusal.
    """
    url = f"http://{registry}/v2/{repository}/manifests/{reference}"
    with _session(credentials) as session:
        response = session.get(url, headers={"Accept": _ACCEPT}, timeout=_SECONDS)
    if response.status_code == requests.codes.not_found:
        return None
    response.raise_for_status()
    return digest_of(response.content)


class Repository:
    """Push blobs and manifests into one repository; a context manager. All raise `requests.HTTPError` on a refusal."""

    def __init__(self, registry: str, repository: str, credentials: Credentials | None = None) -> None:
        self._base = f"http://{registry}/v2/{repository}"
        self._session = _session(credentials)
        self._manifests: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def put_blob(self, content: bytes) -> str:
        """Push a blob, and return its digest."""
        digest = digest_of(content)
        self._finish(self._send(iter((content,))), digest)
        return digest

    def blob_url(self, digest: str) -> str:
        """Say where a blob is served."""
        return f"{self._base}/blobs/{digest}"

    def put_layer(self, layer: _Layer) -> PushedLayer:
        """Push a layer while it is made."""
        location = self._send(layer.pieces())
        pushed = layer.pushed()
        self._finish(location, pushed.digest)
        return pushed

    def put_manifest(self, reference: str, content: bytes, media_type: str) -> str:
        """Push a manifest under a tag or its digest, and return the digest."""
        self._call("PUT", f"{self._base}/manifests/{reference}", data=content, headers={"Content-Type": media_type})
        digest = digest_of(content)
        self._manifests[digest] = content
        return digest

    def name_manifest(self, tag: str, digest: str) -> None:
        """Give a tag to an image manifest pushed before."""
        self.put_manifest(tag, self._manifests[digest], MANIFEST)

    def _send(self, pieces: Iterator[bytes]) -> str:
        """Open an upload and send all pieces in one request; return where the upload is to be finished."""
        opened = self._call("POST", f"{self._base}/blobs/uploads/")
        headers = {"Content-Type": "application/octet-stream"}
        return self._call("PATCH", opened.headers["Location"], data=pieces, headers=headers).headers["Location"]

    def _finish(self, location: str, digest: str) -> None:
        self._call("PUT", location, params={"digest": digest})

    def _call(self, method: str, url: str, **arguments: Any) -> requests.Response:
        response = self._session.request(method, url, timeout=_SECONDS, **arguments)
        response.raise_for_status()
        return response


class _Layer:
    """Make a layer piece by piece, and know its digests when all pieces were taken."""

    def __init__(self, name: str, size: int, seed: str) -> None:
        self._name = name
        self._left = size
        self._random = random.Random(seed)  # noqa: S311 - repeatable is what is wanted
        self._diff = hashlib.sha256()
        self._blob = hashlib.sha256()
        self._size = 0

    def pieces(self) -> Iterator[bytes]:
        """Yield the compressed archive."""
        packer = zlib.compressobj(level=0, wbits=_GZIP)
        for piece in self._archive():
            self._diff.update(piece)
            yield from self._counted(packer.compress(piece))
        yield from self._counted(packer.flush())

    def pushed(self) -> PushedLayer:
        """Describe the layer."""
        return PushedLayer(f"sha256:{self._blob.hexdigest()}", self._size, f"sha256:{self._diff.hexdigest()}")

    def _archive(self) -> Iterator[bytes]:
        header = tarfile.TarInfo(self._name)
        header.size = size = self._left
        yield header.tobuf(tarfile.USTAR_FORMAT)
        while self._left:
            piece = self._random.randbytes(min(_PIECE, self._left))
            self._left -= len(piece)
            yield piece
        yield bytes(-size % _TAR_BLOCK + 2 * _TAR_BLOCK)

    def _counted(self, piece: bytes) -> Iterator[bytes]:
        self._blob.update(piece)
        self._size += len(piece)
        if piece:  # an empty piece would end a chunked request
            yield piece


def push_platform(target: Repository, platform: str, sizes: Sequence[int], seed: int) -> PushedManifest:
    """Push the image of one platform, without a tag."""
    layers = tuple(
        target.put_layer(_Layer(f"layer-{number}.bin", size, f"{seed}/{platform}/{number}"))
        for number, size in enumerate(sizes)
    )
    config = document(
        {
            "created": _CREATED,
            **platform_of(platform),
            "config": {"Labels": {"imageops.dev/seed": str(seed)}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": _CREATED, "created_by": f"layer {number}"} for number in range(len(layers))],
        }
    )
    entries = [{"mediaType": LAYER, "digest": layer.digest, "size": layer.size} for layer in layers]
    return _push_manifest(target, platform, config, entries, layers)


def push_attestation(target: Repository, image: PushedManifest) -> PushedManifest:
    """Push an attestation of an image, without a tag."""
    subject = {"name": "image", "digest": {"sha256": image.digest.removeprefix("sha256:")}}
    statement = document(
        {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": _PREDICATE,
            "subject": [subject],
            "predicate": {"buildDefinition": {"buildType": "https://imageops.dev/devcluster"}},
        }
    )
    digest = target.put_blob(statement)
    config = document(
        {**platform_of("unknown/unknown"), "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest]}}
    )
    annotations = {"in-toto.io/predicate-type": _PREDICATE}
    layer = {"mediaType": _IN_TOTO, "digest": digest, "size": len(statement), "annotations": annotations}
    return _push_manifest(target, "unknown/unknown", config, [layer], ())


def _push_manifest(
    target: Repository,
    platform: str,
    config: bytes,
    entries: list[dict[str, Any]],
    layers: tuple[PushedLayer, ...],
) -> PushedManifest:
    config_digest = target.put_blob(config)
    manifest = document(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config_digest, "size": len(config)},
            "layers": entries,
        }
    )
    digest = target.put_manifest(digest_of(manifest), manifest, MANIFEST)
    return PushedManifest(digest, len(manifest), platform, config_digest, layers)


def _session(credentials: Credentials | None) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # neither a proxy nor a .netrc is to come in between
    session.auth = credentials
    return session


def entry(manifest: PushedManifest) -> dict[str, Any]:
    """Describe a manifest as an index lists it."""
    return {
        "mediaType": MANIFEST,
        "digest": manifest.digest,
        "size": manifest.size,
        "platform": platform_of(manifest.platform),
    }


def annotations_of(image: PushedManifest) -> dict[str, str]:
    """Return what marks the entry of an image's attestation."""
    return {"vnd.docker.reference.digest": image.digest, "vnd.docker.reference.type": "attestation-manifest"}


def platform_of(text: str) -> dict[str, str]:
    """Write a platform as a document has it."""
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


def document(content: dict[str, Any]) -> bytes:
    """Write a document."""
    return json.dumps(content, separators=(",", ":")).encode()


def digest_of(content: bytes) -> str:
    """Compute the digest of a blob or manifest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
