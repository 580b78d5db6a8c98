"""Platforms as users write them ("linux/arm64/v8"), as the Engine API takes them, and when two are the same."""

from __future__ import annotations

import json

_ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64", "x86-64": "amd64", "i386": "386", "armhf": "arm"}
MAX_LENGTH = 64
"""Characters of a platform at most, as a status shows it."""
_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
"""What an image means that names no variant, as containerd's platform rules have it."""


def join(os: str, architecture: str, variant: str) -> str | None:
    """Write a platform from its parts; None if a part that every platform has is missing or says "unknown".

    A text that is too long for a platform is none: an image's author has written it, and a status is to show it.
    """
    if not os or not architecture or "unknown" in {os, architecture}:
        return None
    platform = "/".join(part for part in (os, architecture, variant) if part)
    return platform if len(platform) <= MAX_LENGTH else None


def to_json(platform: str) -> str:
    """Encode a platform as the API's `platform` parameter of inspect and push."""
    names = ("os", "architecture", "variant")
    return json.dumps(dict(zip(names, platform.split("/"), strict=False)))


def same(first: str, second: str) -> bool:
    """Tell whether two platforms are one: "linux/arm64" is "linux/arm64/v8", "linux/x86_64" is "linux/amd64"."""
    return _normal(first) == _normal(second)


def _normal(platform: str) -> tuple[str, str, str]:
    os, architecture, variant, *_ = [*platform.lower().split("/"), "", "", ""]
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if variant.isdigit():
        variant = f"v{variant}"
    return os, architecture, variant or _DEFAULT_VARIANTS.get(architecture, "")
