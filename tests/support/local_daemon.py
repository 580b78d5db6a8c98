"""Look at a Docker Engine from beside the operator: what it has, and what a test wants it to have."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound, NotFound

_CHANGING = "data changed during operation, retry"
"""What Engine 29 says when it was asked for an image in the middle of its removal."""
_CHANGING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class LocalDaemon:
    """One Engine, reached by its own socket."""

    address: str

    @contextmanager
    def client(self) -> Iterator[docker.APIClient]:
        """Give a client of the newest API that both sides speak."""
        with closing(docker.APIClient(base_url=self.address, version="auto", timeout=60)) as client:
            yield client

    def pull(self, reference: str) -> Mapping[str, Any]:
        """Pull an image anonymously, and return its inspect."""
        with self.client() as client:
            repository, _, tag = reference.rpartition(":")
            client.pull(repository, tag=tag)
            return _inspected(client, reference)

    def push(self, reference: str) -> None:
        """Push a tag anonymously."""
        with self.client() as client:
            repository, _, tag = reference.rpartition(":")
            words = client.push(repository, tag=tag)
            assert "errorDetail" not in words, words

    def tag(self, source: str, target: str) -> None:
        """Tag an image."""
        with self.client() as client:
            repository, _, tag = target.rpartition(":")
            assert client.tag(source, repository, tag)

    def inspect(self, reference: str) -> Mapping[str, Any] | None:
        """Return what the Engine says of an image; None if it has none."""
        deadline = time.monotonic() + _CHANGING_SECONDS
        with self.client() as client:
            while True:
                try:
                    return _inspected(client, reference)
                except NotFound:  # Engine 29 names the content that is missing while it removes an image
                    return None
                except APIError as error:
                    if _CHANGING not in str(error) or time.monotonic() > deadline:
                        raise

    def manifests(self, reference: str) -> dict[str, bool]:
        """Return for each manifest under a reference whether all of it is there; the containerd store only."""
        with self.client() as client:
            answer = client.get(f"{client.base_url}/v1.48/images/{reference}/json", params={"manifests": "1"})
            answer.raise_for_status()
            return {child["Descriptor"]["digest"]: bool(child["Available"]) for child in answer.json()["Manifests"]}

    def tags(self, repository: str) -> set[str]:
        """Return all tags of a repository."""
        with self.client() as client:
            images = client.images(filters={"reference": f"{repository}:*"})
            tags = {tag for image in images for tag in image["RepoTags"] or ()}
            return {tag for tag in tags if tag.startswith(f"{repository}:")}

    def make(self, reference: str, content: bytes) -> str:
        """Make an image of one file, and return its id."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            header = tarfile.TarInfo("content")
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
        repository, _, tag = reference.rpartition(":")
        with self.client() as client:
            client.import_image_from_data(archive.getvalue(), repository=repository, tag=tag)
            return str(_inspected(client, reference)["Id"])

    def remove(self, reference: str) -> None:
        """Remove a reference, if it is there."""
        with self.client() as client:
            try:
                client.remove_image(reference, force=True)
            except ImageNotFound:
                return


def _inspected(client: docker.APIClient, reference: str) -> dict[str, Any]:
    inspect: Callable[[str], dict[str, Any]] = client.inspect_image
    return inspect(reference)
