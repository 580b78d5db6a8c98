"""Turn what a daemon and a registry said into the evidence that a status shows. Nothing is invented."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import PLATFORMS_LENGTH, DaemonStatus, ImageStatus
from imageops.engine.protocol import DaemonInfo, LocalImage, LocalManifest

INDEX_MEDIA_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """How a pull, push or tag succeeded."""

    reason: Reason
    message: str


def daemon_status(daemon: DaemonInfo) -> DaemonStatus:
    """Return what a status says of the daemon."""
    return DaemonStatus(name=daemon.name, version=daemon.version, image_store=daemon.image_store.value)


def image_status(
    image: LocalImage,
    *,
    digest: str | None,
    platforms: tuple[str, ...] | None = None,
) -> ImageStatus:
    """Return what a status says of an image that the daemon has."""
    if platforms is None:
        platforms = (image.platform,) if image.platform is not None else ()
    return ImageStatus(
        id=image.id,
        digest=digest,
        size_bytes=image.size_bytes,
        platforms=platforms,
        present=True,
    )


def available_platforms(children: Iterable[LocalManifest]) -> tuple[str, ...]:
    """Return the platforms of an index whose content the daemon has, each once, as many as a status holds."""
    found = dict.fromkeys(child.platform for child in children if child.platform and child.available)
    return tuple(found)[:PLATFORMS_LENGTH]


def digests_in(image: LocalImage, repository: Reference) -> tuple[str, ...]:
    """Return the digests under which the daemon knows an image in one repository."""
    found = []
    for text in image.repo_digests:
        with suppress(OperationError):  # no name of an image; a daemon's nonsense is no fault of the user's reference
            known = Reference.parse(text)
            if known.name == repository.name and known.digest is not None:
                found.append(known.digest)
    return tuple(found)
