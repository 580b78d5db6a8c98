"""Give an image in a registry many names, each with one request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import requests

from devcluster.images import PushedImage

_SECONDS = 60.0


def tagged(image: PushedImage, tags: Iterable[str]) -> Iterator[str]:
    """Tag the image anew in its registry, one tag after another, and give each reference as soon as it is there."""
    manifests = f"http://{image.registry}/v2/{image.repository}/manifests"
    with requests.Session() as registry:
        manifest = registry.get(
            f"{manifests}/{image.tag}", headers={"Accept": image.media_type}, timeout=_SECONDS
        ).content
        for tag in tags:
            headers = {"Content-Type": image.media_type}
            registry.put(f"{manifests}/{tag}", manifest, headers=headers, timeout=_SECONDS).raise_for_status()
            yield f"{image.registry}/{image.repository}:{tag}"
