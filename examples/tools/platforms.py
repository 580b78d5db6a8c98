"""A tool of one's own: ask a registry, through a daemon, for which platforms it has an image.

It lies outside the package and edits none of its modules. What the framework gives it is what pull, push and tag have:
attempts, time limits, cancelling, a history, a closed reason with a hint for every failure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.core.progress import Stage
from imageops.engine.protocol import ImageEngine
from imageops.tools.tool import ToolContext


@dataclass(frozen=True, slots=True)
class PlatformsArguments:
    """What is asked for."""

    reference: Reference

    def shown(self) -> Mapping[str, str]:
        """Return the arguments for the record; never a credential."""
        return {"image": str(self.reference)}


@dataclass(frozen=True, slots=True)
class PlatformsResult:
    """What was found."""

    platforms: tuple[str, ...]
    reason: Reason = Reason.COMPLETED

    @property
    def message(self) -> str:
        """One sentence for people."""
        return f"The registry offers {', '.join(self.platforms) or 'no platform'}."


@dataclass(frozen=True, slots=True)
class PlatformsTool:
    """List the platforms of an image in a registry."""

    engine: ImageEngine
    name: str = "platforms"

    async def run(self, arguments: PlatformsArguments, context: ToolContext) -> PlatformsResult:
        """Ask once; an image that the registry does not have is an error for good."""
        context.progress.reached(Stage.RESOLVING)
        remote = await self.engine.distribution(arguments.reference, auth=None)
        if remote is None:
            raise OperationError(Reason.IMAGE_NOT_FOUND)
        context.progress.reached(Stage.VERIFYING)
        return PlatformsResult(remote.platforms)
