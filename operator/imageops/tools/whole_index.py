"""Bring all that an index leads to onto a daemon, however it is made: images, attestations, artifacts, further indexes.

A pull of an index brings what serves one platform. The rest is pulled by digest: first the indexes that the daemon
lacks, since it does not know what stands in them, then the manifests that it lacks.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.engine.protocol import ImageEngine, RegistryAuth, RemoteImage
from imageops.tools.daemon_names import DaemonNames

MAX_INDEXES = 64
"""Indexes below an index that are fetched one by one; no image has as many, and each costs questions."""

_ALTHOUGH_ALL_ARRIVED = frozenset({Reason.ENGINE_UNSUPPORTED, Reason.PLATFORM_NOT_FOUND, Reason.DAEMON_ERROR})
"""What an Engine may say of the pull of an attestation or artifact that it fetched whole and cannot unpack.

Any other error is about the registry, the credential, the disk or the daemon: the next part would meet it as well.
"""

Stream = Callable[[Reference, str | None], Awaitable[str]]
"""Pulls a reference for a platform, None = the daemon's own, and returns its digest."""


@dataclass(frozen=True, slots=True)
class WholeIndex:
    """One index of a registry on its way to a daemon."""

    engine: ImageEngine
    reference: Reference
    auth: RegistryAuth | None
    names: DaemonNames

    async def is_present(self) -> bool:
        """Tell whether the daemon has all that the index leads to, as far as it knows: see `compare`."""
        return not await self._missing() and await self.engine.absent_index(str(self.reference)) is None

    async def compare(self, remote: RemoteImage) -> None:
        """Compare the index on the daemon with what the registry says of it.

        An Engine neither fetches nor lists an entry that is no manifest and no index, so only the number of entries
        tells of one. Below further indexes manifests are listed that are no entries, which may make up for one.

        Raises:
            OperationError: EngineUnsupported, if the index has entries that the daemon does not list.

        """
        if len(await self.engine.manifests(str(self.reference))) < remote.entries:
            raise _unsupported("The index lists what is neither an image manifest nor an index.")

    async def fetch(self, remote: RemoteImage, first: str | None, stream: Stream) -> str:
        """Pull the index for one platform, then all of it that is missing, and return its digest.

        Args:
            remote: What the registry says of the index.
            first: The platform to begin with; None = the daemon's own.
            stream: How to pull.

        Raises:
            OperationError: EngineUnsupported for an index that the Engine cannot hold whole; what a pull raised, or
                ImageChanged, if something is missing in the end.

        """
        digest = await self._begin(remote, first, stream)
        await self._fetch_indexes(stream)
        for child in await self._missing():
            refused = await self._fetch_part(child, None, stream)
            if refused is not None and child in await self._missing():
                raise refused
        if await self._missing() or await self.engine.absent_index(str(self.reference)) is not None:
            raise _gone()
        await self.compare(remote)
        return digest

    async def _begin(self, remote: RemoteImage, first: str | None, stream: Stream) -> str:
        """Pull what makes the daemon know the index, which it may do although it finds no image to unpack in there."""
        try:
            return await stream(self.reference, first)
        except OperationError as error:
            if error.reason is not Reason.PLATFORM_NOT_FOUND:
                raise
            image = await self.engine.inspect(str(self.reference))
            if image is None or image.descriptor_digest != remote.digest:
                raise _unsupported("The index has no image in it that this Engine could pull.") from error
            return remote.digest

    async def _fetch_indexes(self, stream: Stream) -> None:
        """Pull the indexes below the index, until the daemon finds each of them."""
        tried: dict[str, OperationError | None] = {}
        while (digest := await self.engine.absent_index(str(self.reference))) is not None:
            if digest in tried:
                raise tried[digest] or _unsupported("The Engine cannot pull an index that this index lists.")
            if len(tried) == MAX_INDEXES:
                raise _unsupported(f"The index leads to more than {MAX_INDEXES} other indexes.")
            tried[digest] = await self._fetch_index(digest, stream)

    async def _fetch_index(self, digest: str, stream: Stream) -> OperationError | None:
        """Pull one index below the index, for a platform that it has: the daemon's own is in one of them only."""
        remote = await self.engine.distribution(self._by_digest(digest), auth=self.auth)
        if remote is None:
            return OperationError(Reason.IMAGE_NOT_FOUND, "The registry lacks an index that this index lists.")
        return await self._fetch_part(digest, next(iter(remote.platforms), None), stream)

    async def _fetch_part(self, digest: str, platform: str | None, stream: Stream) -> OperationError | None:
        """Pull one part by digest.

        The Engine may call the pull of an attestation an error, although all its content arrived; so what counts then
        is what is available afterwards, and the error is returned for the case that something is missing. The index
        holds the content of its parts; the names by digest that their pulls leave behind are taken away again.

        Raises:
            OperationError: What the pull of the next part would meet as well.

        """
        part = self._by_digest(digest)
        was_there = await self.engine.inspect(str(part)) is not None
        refused: OperationError | None = None
        try:
            await stream(part, platform)
        except OperationError as error:
            if error.reason not in _ALTHOUGH_ALL_ARRIVED:
                if not was_there:
                    with suppress(OperationError):  # a full disk leaves a name as well; why the pull failed says more
                        await self.names.drop_part(str(part))
                raise
            refused = error
        if not was_there:
            await self.names.drop_part(str(part))
        return refused

    async def _missing(self) -> tuple[str, ...]:
        """Return the digests of the manifests below the index whose content is not all on the daemon."""
        children = await self.engine.manifests(str(self.reference))
        return tuple(dict.fromkeys(child.digest for child in children if not child.available))

    def _by_digest(self, digest: str) -> Reference:
        return Reference(host=self.reference.host, repository=self.reference.repository, tag=None, digest=digest)


def _gone() -> OperationError:
    return OperationError(
        Reason.IMAGE_CHANGED,
        "Some children of the index are not on the daemon after they were pulled.",
    )


def _unsupported(message: str) -> OperationError:
    return OperationError(
        Reason.ENGINE_UNSUPPORTED,
        message,
        hint="Copy it with a tool that copies from registry to registry, such as crane, regctl or oras.",
    )
