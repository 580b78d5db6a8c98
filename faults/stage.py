"""Give one trial its images: a repository of its own in each registry, by ways that are open, failing or stuck."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, Self

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage, manifest_digest, push_image
from faults.upstream import Upstream

BASE = "faults/base"
_BASES = (1, 2)
_LAYERS = (20_000, 5_000)


@dataclass(slots=True)
class Ways:
    """The gates of one world before its source registry."""

    failing: RegistryGate
    stuck: RegistryGate

    @classmethod
    def open(cls, cluster: Environment) -> Self:
        """Put the gates up."""
        ways = cls(RegistryGate(cluster.registry), RegistryGate(cluster.registry))
        ways.failing.__enter__()
        ways.stuck.__enter__()
        return ways

    def close(self) -> None:
        """Take the gates down."""
        self.failing.__exit__()
        self.stuck.__exit__()

    def shut(self) -> None:
        """Let one fail, and the other hold every layer back."""
        for gate in (self.failing, self.stuck):
            gate.release()
        self.failing.script(path=r"/v2/.+", status=503)
        self.stuck.stall(path=r".*/blobs/.*")


@dataclass(slots=True)
class Stage:
    """The images of one trial."""

    cluster: Environment
    ways: Ways
    token: str
    names: MutableMapping[str, str]
    """What is to be named otherwise in records; grows with every image."""
    targets: list[str] = field(default_factory=list)

    def base(self, number: int) -> str:
        """Return an image that both Engines have."""
        return f"{self.cluster.registry}/{BASE}:{number}"

    def source(self, tag: str) -> str:
        """Return a reference in the source registry, whether it is there or not."""
        return f"{self.cluster.registry}/{self._repository}:{tag}"

    async def image(self, tag: str) -> str:
        """Put an image into the source registry and return its reference."""
        seed = zlib.crc32(f"{self.token}/{tag}".encode())
        image = await asyncio.to_thread(
            push_image, self.cluster.registry, self._repository, tag, layers=_LAYERS, seed=seed
        )
        self._name(image)
        return image.reference

    def target(self, tag: str) -> str:
        """Return a reference in the target registry, where nothing is yet."""
        return self._noted(f"{self.cluster.registry_target}/{self._repository}:{tag}")

    def locked(self, tag: str) -> str:
        """Return a reference in the registry that asks for a password."""
        return self._noted(f"{self.cluster.registry_auth}/{self._repository}:{tag}")

    def failing(self, tag: str) -> str:
        """Return a reference by the way that fails until `mend`."""
        return f"{self.ways.failing.address}/{self._repository}:{tag}"

    def mend(self) -> None:
        """Let the failing way work."""
        self.ways.failing.release()

    def stuck(self, tag: str) -> str:
        """Return a reference by the way that hands out no layer."""
        return f"{self.ways.stuck.address}/{self._repository}:{tag}"

    def served(self) -> dict[str, str | None]:
        """Return the digest that a registry serves under each target."""
        account = (self.cluster.registry_auth_user, self.cluster.registry_auth_password)
        found = {}
        for target in self.targets:
            host, _, rest = target.partition("/")
            repository, _, tag = rest.rpartition(":")
            credentials = account if host == self.cluster.registry_auth else None
            found[target] = manifest_digest(host, repository, tag, credentials)
        return found

    @property
    def _repository(self) -> str:
        return f"faults/{self.token}"

    def _noted(self, target: str) -> str:
        self.targets.append(target)
        return target

    def _name(self, image: PushedImage) -> None:
        self.names.update(digests([image]))


def make_bases(cluster: Environment) -> list[PushedImage]:
    """Put the images that both Engines are to have into the source registry."""
    return [push_image(cluster.registry, BASE, str(number), layers=_LAYERS, seed=number) for number in _BASES]


def digests(images: list[PushedImage]) -> dict[str, str]:
    """Return names for the digests of images, by digest."""
    found = {}
    for image in images:
        for manifest in image.manifests:
            found[manifest.digest] = f"<manifest of {image.tag}>"
            found[manifest.config_digest] = f"<configuration of {image.tag}>"
    return found


async def pull_bases(daemon: Upstream, images: list[PushedImage]) -> None:
    """Bring those images to a daemon."""
    for image in images:
        path = f"/images/create?fromImage={image.registry}/{image.repository}&tag={image.tag}"
        async with daemon.send("POST", path) as answer:
            await answer.read()


async def tags_on(daemon: Upstream, token: str) -> frozenset[str]:
    """Return the tags of a trial on a daemon."""
    async with daemon.send("GET", "/images/json") as answer:
        images: list[dict[str, Any]] = json.loads(await answer.read())
    return frozenset(tag for image in images for tag in image.get("RepoTags") or () if token in tag)


async def clear(daemon: Upstream, tags: frozenset[str]) -> None:
    """Take tags away from a daemon."""
    for tag in tags:
        async with daemon.send("DELETE", f"/images/{tag}") as answer:
            await answer.read()
