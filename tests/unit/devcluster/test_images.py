"""Images are the same bytes for the same arguments, and are built as registries and Engines expect."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from typing import Any

import pytest
import requests

from devcluster.gate import RegistryGate
from devcluster.images import INDEX, MANIFEST, PushedImage, manifest_digest, push_image
from tests.support.memory_registry import MemoryRegistry

_DIFF_ID = "sha256:83dddb46f043c6cbab91696019cb0f31f080b5764a9462aa8781fb5556e0d46e"


def _document(registry: MemoryRegistry, digest: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(registry.manifests[digest][1])
    return document


def test_the_same_arguments_give_the_same_bytes(registry: MemoryRegistry) -> None:
    """A second push changes nothing at all."""
    first = push_image(registry.address, "app", "1", layers=[70_000, 10], seed=7)
    kept = (dict(registry.blobs), dict(registry.manifests))
    assert push_image(registry.address, "app", "1", layers=[70_000, 10], seed=7) == first
    assert (registry.blobs, registry.manifests) == kept


def test_the_bytes_are_fixed_for_ever(registry: MemoryRegistry) -> None:
    """A change of Python or zlib that changes an image is seen here, and not as a test that fails elsewhere."""
    image = push_image(registry.address, "app", "1", layers=[10], seed=1)
    assert image.manifests[0].layers[0].diff_id == _DIFF_ID


@pytest.mark.parametrize("other", [{"seed": 2}, {"platforms": ["linux/arm64/v8"]}, {"layers": [11]}], ids=str)
def test_other_arguments_give_other_layers(registry: MemoryRegistry, other: dict[str, Any]) -> None:
    """No layer is shared by chance, so a pull has to fetch all of it."""
    one = push_image(registry.address, "app", "1", layers=[10])
    two = push_image(registry.address, "app", "2", **({"layers": [10]} | other))
    assert one.manifests[0].layers[0].diff_id != two.manifests[0].layers[0].diff_id


def test_layers_unpack_to_files_of_the_sizes_asked_for(registry: MemoryRegistry) -> None:
    """The tar archive is whole, incompressible, and has the digests that config and manifest name."""
    sizes = [0, 511, 512, 3_000_000]
    image = push_image(registry.address, "app", "1", layers=sizes)
    (manifest,) = image.manifests
    config = json.loads(registry.blobs[manifest.config_digest])
    assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in manifest.layers]
    for size, layer in zip(sizes, manifest.layers, strict=True):
        blob = registry.blobs[layer.digest]
        archive = zlib.decompress(blob, wbits=31)
        assert (len(blob), layer.diff_id) == (layer.size, f"sha256:{hashlib.sha256(archive).hexdigest()}")
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            assert [member.size for member in tar] == [size]
    assert len(zlib.compress(registry.blobs[manifest.layers[-1].digest])) > sizes[-1]


def test_one_platform_is_a_plain_manifest(registry: MemoryRegistry) -> None:
    """The tag names the image manifest itself."""
    image = push_image(registry.address, "app", "1")
    assert (image.media_type, image.digest) == (MANIFEST, image.manifests[0].digest)
    assert registry.manifests["1"][0] == MANIFEST
    assert manifest_digest(registry.address, "app", "1") == image.digest


def test_an_index_names_platforms_and_attestations_as_buildkit_does(registry: MemoryRegistry) -> None:
    """Each attestation stands in the index with an unknown platform and points to the image it is about."""
    image = push_image(registry.address, "app", "1", platforms=["linux/amd64", "linux/arm64/v8"], attestations=True)
    assert image.media_type == INDEX
    entries = _document(registry, image.digest)["manifests"]
    assert [entry["platform"] for entry in entries] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
        {"os": "unknown", "architecture": "unknown"},
        {"os": "unknown", "architecture": "unknown"},
    ]
    assert [manifest.attestation for manifest in image.manifests] == [False, False, True, True]
    for subject, entry in zip(image.manifests, entries[2:], strict=False):
        assert entry["annotations"] == {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject.digest,
        }
        (layer,) = _document(registry, entry["digest"])["layers"]
        statement = json.loads(registry.blobs[layer["digest"]])
        assert layer["mediaType"] == "application/vnd.in-toto+json"
        assert statement["subject"][0]["digest"]["sha256"] == subject.digest.removeprefix("sha256:")


def test_every_document_names_what_is_there_with_its_size(registry: MemoryRegistry) -> None:
    """No descriptor points to nothing or tells a wrong size."""
    image: PushedImage = push_image(registry.address, "app", "1", platforms=["linux/amd64"], attestations=True)
    stored = {digest: content for digest, (_, content) in registry.manifests.items()} | registry.blobs
    for manifest in image.manifests:
        document = _document(registry, manifest.digest)
        for descriptor in [document["config"], *document["layers"]]:
            assert len(stored[descriptor["digest"]]) == descriptor["size"]
    for entry in _document(registry, image.digest)["manifests"]:
        assert len(stored[entry["digest"]]) == entry["size"]


def test_a_missing_manifest_has_no_digest_and_other_refusals_are_errors(registry: MemoryRegistry) -> None:
    """Absence is an answer; a registry that fails is not."""
    assert manifest_digest(registry.address, "app", "none") is None
    with RegistryGate(registry.address) as gate:
        gate.script(path=".*", status=403)
        with pytest.raises(requests.HTTPError, match="403"):
            manifest_digest(gate.address, "app", "1")
        with pytest.raises(requests.HTTPError, match="403"):
            push_image(gate.address, "app", "1")
