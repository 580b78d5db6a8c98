"""Sign an image as cosign does with a key: a signature over a document that names the digest, under a tag beside it.

The form is cosign's container signature (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md).
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from devcluster.images import PushedImage

_SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_SECONDS = 30


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair on the curve that cosign uses."""

    private: Path

    @classmethod
    def made(cls, folder: Path) -> SigningKey:
        """Make a pair."""
        private = folder / "signing.key"
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private))
        return cls(private)

    @property
    def public(self) -> str:
        """The public half, as policies have it."""
        return _openssl("ec", "-in", str(self.private), "-pubout").decode()

    def sign(self, content: bytes) -> str:
        """Return the signature in base64."""
        signature = _openssl("dgst", "-sha256", "-sign", str(self.private), content=content)
        return base64.b64encode(signature).decode()


def sign_image(image: PushedImage, key: SigningKey) -> None:
    """Put a signature of an image beside it."""
    payload = _document(
        {
            "critical": {
                "identity": {"docker-reference": f"{image.registry}/{image.repository}"},
                "image": {"docker-manifest-digest": image.digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )
    base = f"http://{image.registry}/v2/{image.repository}"
    rootfs = {"type": "layers", "diff_ids": [_digest(payload)]}
    config = _document({"architecture": "", "os": "", "config": {}, "rootfs": rootfs})
    with requests.Session() as session:
        session.trust_env = False
        for content in (payload, config):
            opened = session.post(f"{base}/blobs/uploads/", timeout=_SECONDS)
            location = opened.headers["Location"]
            finish = {"digest": _digest(content)}
            session.put(location, params=finish, data=content, timeout=_SECONDS).raise_for_status()
        annotations = {"dev.cosignproject.cosign/signature": key.sign(payload)}
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)},
            "layers": [
                {"mediaType": _SIGNATURE, "digest": _digest(payload), "size": len(payload), "annotations": annotations}
            ],
        }
        tag = f"{image.digest.replace(':', '-')}.sig"
        headers = {"Content-Type": _MANIFEST}
        url = f"{base}/manifests/{tag}"
        session.put(url, data=_document(manifest), headers=headers, timeout=_SECONDS).raise_for_status()


def _openssl(*words: str, content: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], input=content, capture_output=True, check=True, timeout=_SECONDS).stdout


def _document(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
