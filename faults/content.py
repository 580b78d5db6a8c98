"""Look at what a registry serves and what a daemon holds, byte for byte, without asking the operator."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile

import requests

from devcluster.images import PushedImage
from tests.support.local_daemon import LocalDaemon

_ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_SECONDS = 30.0


def assert_served_whole(registry: str, repository: str, tag: str, digest: str) -> None:
    """Check that a tag names this digest, and that manifest, configuration and layers are the bytes they are called."""
    base = f"http://{registry}/v2/{repository}"
    manifest = requests.get(f"{base}/manifests/{tag}", headers={"Accept": _ACCEPT}, timeout=_SECONDS)
    manifest.raise_for_status()
    assert _digest(manifest.content) == digest, f"{registry} serves {_digest(manifest.content)}, not {digest}"
    document = json.loads(manifest.content)
    for blob in (document["config"], *document["layers"]):
        answer = requests.get(f"{base}/blobs/{blob['digest']}", timeout=_SECONDS)
        answer.raise_for_status()
        assert _digest(answer.content) == blob["digest"], f"{registry} serves other bytes as {blob['digest']}"


def assert_held_whole(daemon: LocalDaemon, reference: str, image: PushedImage) -> None:
    """Check that the daemon can give out every layer of an image, compressed or not, with the bytes it has.

    A graph driver puts its layers together again from its files, so what it gives out is what a container would see.
    """
    found = set()
    with daemon.client() as client, tempfile.TemporaryFile() as file:
        for piece in client.get_image(reference):
            file.write(piece)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is not None:
                    found.add(_digest(content.read()))
    for layer in image.manifests[0].layers:
        assert found & {layer.digest, layer.diff_id}, f"{reference} lacks the layer {layer.digest}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
