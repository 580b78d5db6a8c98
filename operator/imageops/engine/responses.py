"""Read the daemon's JSON answers into the protocol's values.

A field that is missing, of another type or beyond all reason counts as not said: what is read here ends up in statuses,
which are small, and which the API server refuses whole for one number out of range. Only what an answer is useless
without is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeGuard

from imageops.api import fields
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.engine.protocol import MAX_BYTES, DaemonInfo, ImageStore, LocalImage, LocalManifest, RemoteImage

_API_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")
_MAX_TEXT = 1024
"""Characters of the longest text that has a meaning here, a reference by digest."""
_DIGEST = re.compile(fields.DIGEST)
_PLATFORM_MAX_LENGTH = 64
"""Characters of a platform at most, as a status shows it."""
_KINDS = frozenset({"image", "attestation", "unknown"})
_SNAPSHOTTER = ["driver-type", "io.containerd.snapshotter.v1"]
"""The line of `DriverStatus` by which a daemon with the containerd image store shows itself."""

Answer = Mapping[str, object]


def daemon_info(name: str, version: Answer, info: Answer) -> DaemonInfo:
    """Read the answers of `/version` and `/info`.

    Raises:
        OperationError: DAEMON_ERROR if they name no API version or no identity.
    """
    api_version, engine_id = _text(version, "ApiVersion"), _text(info, "ID")
    if _API_VERSION.fullmatch(api_version) is None or not engine_id:
        raise OperationError(Reason.DAEMON_ERROR)
    status = info.get("DriverStatus")
    containerd = isinstance(status, list) and _SNAPSHOTTER in status
    return DaemonInfo(
        name=name,
        version=_text(version, "Version"),
        api_version=api_version,
        image_store=ImageStore.CONTAINERD if containerd else ImageStore.GRAPHDRIVER,
        os=_text(version, "Os"),
        architecture=_text(version, "Arch"),
        engine_id=engine_id,
    )


def serves(info: DaemonInfo, major: int, minor: int) -> bool:
    """Tell whether the daemon serves at least an API version."""
    have_major, have_minor = info.api_version.split(".")
    return (int(have_major), int(have_minor)) >= (major, minor)


def local_image(answer: Answer) -> LocalImage:
    """Read the answer of an image's inspect.

    Raises:
        OperationError: DAEMON_ERROR if it names no id.
    """
    image_id = _digest(answer, "Id")
    if not image_id:
        raise OperationError(Reason.DAEMON_ERROR)
    descriptor = _object(answer, "Descriptor")
    return LocalImage(
        id=image_id,
        repo_digests=_texts(answer, "RepoDigests"),
        size_bytes=_count(answer, "Size"),
        platform=_platform(_text(answer, "Os"), _text(answer, "Architecture"), _text(answer, "Variant")),
        descriptor_digest=_digest(descriptor, "digest") or None,
        descriptor_media_type=_text(descriptor, "mediaType") or None,
    )


def local_manifests(answer: Answer) -> tuple[LocalManifest, ...]:
    """Read the children out of an image's inspect with `manifests=1`."""
    children = answer.get("Manifests")
    entries = children if isinstance(children, list) else []
    return tuple(_local_manifest(child) for child in entries if isinstance(child, dict))


def _local_manifest(child: Answer) -> LocalManifest:
    descriptor = _object(child, "Descriptor")
    kind = _text(child, "Kind")
    platform = _object(_object(child, "ImageData"), "Platform") or _object(descriptor, "platform")
    return LocalManifest(
        digest=_digest(descriptor, "digest"),
        kind=kind if kind in _KINDS else "unknown",
        platform=_platform_of(platform),
        available=child.get("Available") is True,
    )


def remote_image(answer: Answer) -> RemoteImage:
    """Read the answer of `/distribution`.

    Raises:
        OperationError: DAEMON_ERROR if it names no digest.
    """
    descriptor = _object(answer, "Descriptor")
    digest = _digest(descriptor, "digest")
    if not digest:
        raise OperationError(Reason.DAEMON_ERROR)
    listed = answer.get("Platforms")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    found = (_platform_of(entry) for entry in entries)
    return RemoteImage(
        digest=digest,
        media_type=_text(descriptor, "mediaType"),
        platforms=tuple(platform for platform in found if platform is not None),
        entries=len(entries),
    )


def _platform_of(value: Answer) -> str | None:
    return _platform(_text(value, "os"), _text(value, "architecture"), _text(value, "variant"))


def _platform(os: str, architecture: str, variant: str) -> str | None:
    """Write a platform from its parts; None if a part that every platform has is missing or says "unknown".

    A text that is too long for a platform is none: an image's author has written it, and a status is to show it.
    """
    if not os or not architecture or "unknown" in {os, architecture}:
        return None
    platform = "/".join(part for part in (os, architecture, variant) if part)
    return platform if len(platform) <= _PLATFORM_MAX_LENGTH else None


def _digest(answer: Answer, name: str) -> str:
    text = _text(answer, name)
    return text if _DIGEST.fullmatch(text) else ""


def _text(answer: Answer, name: str) -> str:
    value = answer.get(name)
    return value if _is_text(value) else ""


def _texts(answer: Answer, name: str) -> tuple[str, ...]:
    value = answer.get(name)
    return tuple(item for item in value if _is_text(item)) if isinstance(value, list) else ()


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= _MAX_TEXT and value.isprintable()


def _object(answer: Answer, name: str) -> Answer:
    value = answer.get(name)
    return value if isinstance(value, dict) else {}


def _count(answer: Answer, name: str) -> int:
    value = answer.get(name)
    return value if type(value) is int and 0 <= value <= MAX_BYTES else 0
