"""Remove a reference from a daemon, when the object that asked for it goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.engine.protocol import ImageStore
from imageops.tools.daemon import Daemon, known_daemon
from imageops.tools.daemon_names import NoOthers, OtherObjects
from imageops.tools.image_status import ImageResult
from imageops.tools.tool import ToolContext


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalArguments:
    """What is to be removed."""

    reference: Reference
    image_id: str | None
    """The image that the object had brought; a tag that names another one by now is left."""
    platform: str | None = None
    """The one platform that was pulled: the containerd store gives each platform of an index an image id."""

    def shown(self) -> Mapping[str, str]:
        """Return the arguments for the record."""
        return {"image": str(self.reference)}


@dataclass(frozen=True, slots=True)
class RemovalTool:
    """Remove one reference from one daemon."""

    daemon: Daemon
    others: OtherObjects = field(default_factory=NoOthers)
    """Whoever came to ask for the reference since the removal was decided on keeps it."""
    name: str = "remove"

    async def run(self, arguments: RemovalArguments, context: ToolContext) -> ImageResult:
        """Remove the reference if it still names the image, and nobody else asks for it now."""
        info = await known_daemon(self.daemon, context)
        platform = arguments.platform if info.image_store is ImageStore.CONTAINERD else None
        reference = str(arguments.reference)
        async with self.daemon.targets.holding(reference):
            image = await self.daemon.engine.inspect(reference, platform=platform)
            if image is not None and image.id == arguments.image_id and not self.others.ask_for(reference):
                await self.daemon.engine.remove(reference)
        return ImageResult(reason=Reason.COMPLETED, message=f"{reference} is on the daemon for this object no more.")
