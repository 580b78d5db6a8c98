"""An engine in memory, at the seam where Docker stands: it holds images, asks a made-up registry, and counts calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from imageops.access.credential_choice import ChosenCredential
from imageops.api.errors import OperationError
from imageops.api.progress import LayerRecord, LayerState
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import AuthStatus
from imageops.core.slots import FairSlots
from imageops.engine.protocol import (
    DaemonInfo,
    ImageStore,
    LocalImage,
    LocalManifest,
    Receipt,
    RecordSink,
    RegistryAuth,
    RemoteImage,
)
from imageops.tools.daemon import Daemon
from imageops.tools.limits import RegistryBudgets, TransferSlots
from tests.support.builders import DIGEST, IMAGE_ID

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER_BYTES = 1_000


@dataclass(slots=True)
class RecordingEngine:
    """A daemon with images by canonical reference or id, beside a registry with images by canonical reference."""

    store: ImageStore = ImageStore.CONTAINERD
    name: str = "default"
    images: dict[str, LocalImage] = field(default_factory=dict)
    children: dict[str, tuple[LocalManifest, ...]] = field(default_factory=dict)
    indexes: dict[str, list[str]] = field(default_factory=dict)
    """Indexes below an index that are not there yet, by canonical reference."""
    registry: dict[str, RemoteImage] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    """Each call but describe and ping, as `method reference`."""
    failures: dict[str, OperationError] = field(default_factory=dict)
    """Errors by method."""
    during: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What happens in the middle of a method."""
    gate: asyncio.Event | None = None
    """Pulls and pushes wait for it, where there is one."""

    async def describe(self) -> DaemonInfo:
        """Say who it is."""
        self._fail("describe")
        return DaemonInfo(self.name, "29.0", "1.52", self.store, "linux", "amd64", "engine-1")

    async def ping(self) -> None:
        """Answer."""
        self._fail("ping")

    async def inspect(self, reference: str, *, platform: str | None = None) -> LocalImage | None:
        """Look up by reference or id."""
        self._called("inspect", reference)
        return self._found(reference, platform)

    def _found(self, reference: str, platform: str | None) -> LocalImage | None:
        image = self.images.get(reference) or next((one for one in self.images.values() if one.id == reference), None)
        if image is None or platform is None:
            return image
        if image.descriptor_media_type == INDEX and reference in self.children:
            return self._child(image, self.children[reference], platform)
        return replace(image, platform=platform)

    def _child(self, index: LocalImage, children: tuple[LocalManifest, ...], platform: str) -> LocalImage | None:
        """Return the image of one platform, without its platform where its content is absent, as Engine 29 does."""
        child = next((child for child in children if child.platform == platform), None)
        if child is None:
            return None
        return replace(
            index,
            id=child.digest,
            platform=platform if child.available else None,
            descriptor_digest=child.digest,
            descriptor_media_type=MANIFEST,
        )

    async def manifests(self, reference: str) -> tuple[LocalManifest, ...]:
        """List the children of an index."""
        self._called("manifests", reference)
        return self.children.get(reference, ())

    async def absent_index(self, reference: str) -> str | None:
        """Name the first index below an index that was not pulled yet."""
        self._called("absent", reference)
        return next(iter(self.indexes.get(reference, ())), None)

    async def distribution(self, reference: Reference, *, auth: RegistryAuth | None) -> RemoteImage | None:  # noqa: ARG002 - the protocol
        """Ask the registry."""
        self._called("distribution", str(reference))
        return self.registry.get(str(reference))

    async def pull(
        self,
        reference: Reference,
        *,
        platform: str | None,  # noqa: ARG002 - the protocol
        auth: RegistryAuth | None,  # noqa: ARG002 - the protocol
        sink: RecordSink,
    ) -> Receipt:
        """Bring what the registry has."""
        self._called("pull", str(reference))
        sink(LayerRecord("layer", LayerState.DOWNLOADING, LAYER_BYTES // 2, LAYER_BYTES))
        if self.gate is not None:
            await self.gate.wait()
        sink(LayerRecord("layer", LayerState.COMPLETE))
        self._finish("pull")
        remote = self.registry.get(str(reference))
        if remote is None and reference.digest is None:
            raise OperationError(Reason.IMAGE_NOT_FOUND)
        digest = remote.digest if remote is not None else reference.digest or DIGEST
        if remote is not None:
            image_id = digest if self.store is ImageStore.CONTAINERD else IMAGE_ID
            known = self.images.get(str(reference), local(reference, digest=digest, image_id=image_id))
            self.images[str(reference)] = replace(known, repo_digests=(f"{reference.name}@{digest}",))
        for absent in self.indexes.values():
            if digest in absent:
                absent.remove(digest)
        for parent, kids in self.children.items():
            self.children[parent] = tuple(replace(kid, available=kid.available or kid.digest == digest) for kid in kids)
        return Receipt(digest)

    async def push(
        self,
        reference: Reference,
        *,
        platform: str | None,
        auth: RegistryAuth | None,  # noqa: ARG002 - the protocol
        sink: RecordSink,
    ) -> Receipt:
        """Send to the registry."""
        self._called("push", f"{reference} {platform}" if platform else str(reference))
        sink(LayerRecord("layer", LayerState.UPLOADING, LAYER_BYTES, LAYER_BYTES))
        if self.gate is not None:
            await self.gate.wait()
        sink(LayerRecord("layer", LayerState.UPLOADED))
        image = self._found(str(reference), platform)
        digest = image.descriptor_digest if image is not None and image.descriptor_digest is not None else DIGEST
        self.registry[str(reference)] = remote(digest)
        self._finish("push")
        return Receipt(digest)

    async def tag(self, source: str, target: Reference) -> None:
        """Point a tag at an image."""
        self._called("tag", f"{source} {target}")
        image = await self.inspect(source)
        assert image is not None
        self.images[str(target)] = image
        self._finish("tag")

    async def remove(self, reference: str) -> None:
        """Remove a reference."""
        self._called("remove", reference)
        self.images.pop(reference, None)

    async def close(self) -> None:
        """Close nothing."""
        self.calls.append("close")

    def seen(self, method: str) -> list[str]:
        """Return the calls of one method."""
        return [call for call in self.calls if call.startswith(f"{method} ")]

    def _called(self, method: str, about: str) -> None:
        self.calls.append(f"{method} {about}")
        self._fail(method)

    def _fail(self, method: str) -> None:
        if method in self.failures:
            raise self.failures[method]

    def _finish(self, method: str) -> None:
        if method in self.during:
            self.during[method]()


def local(
    reference: Reference | str,
    *,
    digest: str = DIGEST,
    image_id: str = IMAGE_ID,
    platform: str | None = "linux/amd64",
    media_type: str = MANIFEST,
) -> LocalImage:
    """Make an image of a daemon with a containerd store."""
    named = Reference.parse(reference) if isinstance(reference, str) else reference
    return LocalImage(
        id=image_id,
        repo_digests=(f"{named.name}@{digest}",),
        size_bytes=5 * LAYER_BYTES,
        platform=platform,
        descriptor_digest=digest,
        descriptor_media_type=media_type,
    )


def on_graphdriver(image: LocalImage) -> LocalImage:
    """Make the same image as a graphdriver tells it."""
    return replace(image, descriptor_digest=None, descriptor_media_type=None)


def remote(digest: str = DIGEST, *, platforms: tuple[str, ...] = ("linux/amd64",), index: bool = False) -> RemoteImage:
    """Make an image of a registry."""
    return RemoteImage(digest, INDEX if index else MANIFEST, platforms)


def daemon(engine: RecordingEngine, *, transfers: int = 3, burst: float = 100.0) -> Daemon:
    """Make a daemon whose users share its limits; nobody is told of a free place."""
    slots = TransferSlots(FairSlots(transfers), lambda _: None)
    return Daemon(engine, slots, RegistryBudgets(rate=1.0, burst=burst))


@dataclass(slots=True)
class FixedCredentials:
    """Credentials of one operation that are the same for every image, or cannot be had."""

    auth: RegistryAuth | None = None
    failure: Reason | None = None
    asked: list[str] = field(default_factory=list)

    async def for_image(self, reference: Reference) -> ChosenCredential:
        """Return the credential."""
        self.asked.append(str(reference))
        if self.failure is not None:
            raise OperationError(self.failure)
        return ChosenCredential(self.auth, AuthStatus(method="Anonymous"))
