"""What the operator asks of an image engine, and the values that come back.

Nothing here knows Docker: `ImageEngine` is the seam at which another engine, or a test's recorder, takes its place.
Every method raises `OperationError` with a closed reason and our own words; text of a daemon or a registry never leaves
the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from imageops.api.errors import OperationError
from imageops.api.progress import LayerRecord

if TYPE_CHECKING:
    from imageops.api.references import Reference

MAX_BYTES = 2**50
"""Bytes beyond which no layer and no image is: what a daemon tells above it counts as not told.

Sums of thousands of these still fit into the 64 bits of a number in a status.
"""
RecordSink = Callable[[LayerRecord], None]
"""Takes the records of one transfer, in the thread that reads the stream: it must be quick and thread-safe."""


class UnreadableAnswerError(OperationError):
    """Carry that a registry answered a question, refused nothing, and its answer cannot be made out.

    Who only asked to be sure may go on without the answer.
    """


class ImageStore(StrEnum):
    """How a daemon keeps images. The store decides whether a pulled image keeps its digest when it is pushed."""

    CONTAINERD = "containerd"
    """Content-addressed: digests survive, several platforms of one reference live side by side."""
    GRAPHDRIVER = "graphdriver"
    """Unpacked layers: a push compresses anew, so the digest changes; one platform per reference."""


@dataclass(frozen=True, slots=True)
class DaemonInfo:
    """Who the daemon is."""

    name: str
    """The name the administrator gave it, not its host's name."""
    version: str
    api_version: str
    """The highest API version it serves, as "1.52"."""
    image_store: ImageStore
    os: str
    architecture: str
    """In the vocabulary of OCI platforms, as "amd64"."""
    engine_id: str
    """The daemon's own identity; a new data folder is a new one."""


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    """One credential for one registry. Its repr shows which registry it is for and nothing else."""

    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    identity_token: str | None = field(default=None, repr=False)
    """An OAuth2 refresh token, exchanged by the daemon at the registry's token service."""
    registry_token: str | None = field(default=None, repr=False)
    """A bearer token, sent to the registry as it is."""
    server: str = ""
    """The registry's host, with port where it has one. The caller has compared it with the image's host."""


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image as the daemon has it."""

    id: str
    """Manifest or index digest on the containerd store, config digest on a graphdriver."""
    repo_digests: tuple[str, ...]
    size_bytes: int
    """What the daemon says it takes on disk: compressed content included on the containerd store."""
    platform: str | None
    """As "linux/arm64/v8"; None where the daemon lacks the content that would say it."""
    descriptor_digest: str | None
    """The digest of what the reference points at; None on a graphdriver."""
    descriptor_media_type: str | None


@dataclass(frozen=True, slots=True)
class LocalManifest:
    """One child of the index that a local reference points at."""

    digest: str
    kind: str
    """One of "image", "attestation", "unknown"."""
    platform: str | None
    available: bool
    """Whether all of its content is on the daemon."""


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """What a registry has under a reference now."""

    digest: str
    media_type: str
    platforms: tuple[str, ...]
    """The platforms of an index's entries, as far as they have any."""
    entries: int = 0
    """Entries of an index, those without a platform included."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The daemon's word that a pull or push ended well. A claim until an inspect, or the registry, confirms it."""

    digest: str


class ImageEngine(Protocol):
    """A daemon that holds images and talks to registries.

    Cancelling a task that awaits a method closes the connection, which makes the daemon stop, and the await ends with
    `CancelledError` and nothing else.
    """

    name: str

    async def describe(self) -> DaemonInfo:
        """Say who the daemon is.

        Remembered until a connection to the daemon has to be opened anew, as only then it can be another one.

        Raises:
            OperationError: DAEMON_UNAVAILABLE if it cannot be reached.
        """
        ...

    async def ping(self) -> None:
        """Ask for a sign of life.

        Raises:
            OperationError: DAEMON_UNAVAILABLE if there is none.
        """
        ...

    async def inspect(self, reference: str, *, platform: str | None = None) -> LocalImage | None:
        """Look an image up on the daemon, by reference or id.

        With `platform` only that platform's image counts. None means that the daemon says it has no such image.
        """
        ...

    async def manifests(self, reference: str) -> tuple[LocalManifest, ...]:
        """List the manifests below the index under a local reference; empty where the daemon has no such image.

        What an index of indexes has below an index that is not on the daemon is not listed: see `absent_index`.

        Raises:
            OperationError: ENGINE_UNSUPPORTED on a daemon that keeps no indexes.
        """
        ...

    async def absent_index(self, reference: str) -> str | None:
        """Return the digest of an index that the index under a local reference leads to, and the daemon lacks.

        None = it has all of them. It says nothing about the manifests below.

        Raises:
            OperationError: IMAGE_NOT_ON_DAEMON if there is no such image.
        """
        ...

    async def distribution(self, reference: Reference, *, auth: RegistryAuth | None) -> RemoteImage | None:
        """Ask the registry, through the daemon, what a reference is. No layer moves.

        None means that the registry clearly says the manifest does not exist; anything less clear is an error.

        Raises:
            UnreadableAnswerError: The registry answers, and the daemon cannot make the answer out.
        """
        ...

    async def pull(
        self, reference: Reference, *, platform: str | None, auth: RegistryAuth | None, sink: RecordSink
    ) -> Receipt:
        """Bring an image to the daemon; `platform` None means the daemon's own."""
        ...

    async def push(
        self, reference: Reference, *, platform: str | None, auth: RegistryAuth | None, sink: RecordSink
    ) -> Receipt:
        """Send the image under exactly this reference, which has a tag and no digest, to its registry.

        Raises:
            OperationError: ENGINE_UNSUPPORTED if `platform` is given and the daemon cannot push a single platform.
        """
        ...

    async def tag(self, source: str, target: Reference) -> None:
        """Point a local tag at a local image, moving the tag where it exists.

        Raises:
            OperationError: IMAGE_NOT_ON_DAEMON if the daemon has no image `source`.
        """
        ...

    async def remove(self, reference: str) -> None:
        """Remove a reference, and the image with its last one. An absent reference is no error."""
        ...

    async def close(self) -> None:
        """Stop every call and wait until all threads have ended."""
        ...
