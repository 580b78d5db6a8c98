"""Sign an image as cosign does with a key: a signature over a document that names the digest, under a tag beside it.

The form is cosign's container signature (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md).
"""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.images import MANIFEST, PushedImage, Repository

_SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json"
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
    with Repository(image.registry, image.repository) as target:
        signed = target.put_blob(payload)
        rootfs = {"type": "layers", "diff_ids": [signed]}
        config = _document({"architecture": "", "os": "", "config": {}, "rootfs": rootfs})
        annotations = {"dev.cosignproject.cosign/signature": key.sign(payload)}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": target.put_blob(config), "size": len(config)},
            "layers": [{"mediaType": _SIGNATURE, "digest": signed, "size": len(payload), "annotations": annotations}],
        }
        target.put_manifest(f"{image.digest.replace(':', '-')}.sig", _document(manifest), MANIFEST)


def _openssl(*words: str, content: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], input=content, capture_output=True, check=True, timeout=_SECONDS).stdout


def _document(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
