"""Prove a promotion with the registries' own API alone: the operator and the Engine are not asked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ACCEPT = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
_ATTESTATION = "attestation-manifest"
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found equal on both sides."""

    digest: str
    images: int
    attestations: int
    blobs: int


@dataclass(frozen=True, slots=True)
class Place:
    """A tag in a repository of a registry (host:port, plain HTTP)."""

    registry: str
    repository: str
    tag: str

    def manifest(self, reference: str) -> bytes:
        """Fetch a manifest by tag or digest, as the very bytes the registry serves."""
        response = requests.get(self._url("manifests", reference), headers={"Accept": _ACCEPT}, timeout=_SECONDS)
        if not response.ok:
            msg = f"{self.registry} answered {response.status_code} when asked for {self.repository} {reference}"
            raise DemoError(msg)
        return response.content

    def has_blob(self, digest: str) -> bool:
        """Ask whether a blob is there."""
        return requests.head(self._url("blobs", digest), timeout=_SECONDS).ok

    def _url(self, what: str, reference: str) -> str:
        return f"http://{self.registry}/v2/{self.repository}/{what}/{reference}"


def prove_equal(source: Place, target: Place) -> Proof:
    """Compare what two tags name, byte by byte, and check that the target has every part of it.

    Raises `DemoError` naming the first thing that differs or is missing.
    """
    index = source.manifest(source.tag)
    if target.manifest(target.tag) != index:
        msg = f"the registries serve different content: {digest_of(index)} and {digest_of(target.manifest(target.tag))}"
        raise DemoError(msg)
    children = json.loads(index)["manifests"]
    attestations = [child for child in children if _is_attestation(child)]
    blobs: set[str] = set()
    for child in children:
        content = target.manifest(child["digest"])
        if digest_of(content) != child["digest"]:
            msg = f"{target.registry} serves {digest_of(content)} under {child['digest']}"
            raise DemoError(msg)
        blobs.update(_blobs(json.loads(content)))
    if missing := [blob for blob in sorted(blobs) if not target.has_blob(blob)]:
        msg = f"{target.registry} lacks {len(missing)} blobs, the first is {missing[0]}"
        raise DemoError(msg)
    return Proof(digest_of(index), len(children) - len(attestations), len(attestations), len(blobs))


def digest_of(content: bytes) -> str:
    """Compute a digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _is_attestation(child: dict[str, Any]) -> bool:
    return (child.get("annotations") or {}).get("vnd.docker.reference.type") == _ATTESTATION


def _blobs(manifest: dict[str, Any]) -> Iterator[str]:
    yield manifest["config"]["digest"]
    yield from (layer["digest"] for layer in manifest["layers"])
