"""Tag an image: give an image of a daemon a further name on that daemon."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from imageops.api.errors import OperationError
from imageops.api.operations import IfExists, TagPreconditions
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import ImageStatus, PreviousImage
from imageops.core.preconditions import tag_verdict
from imageops.core.progress import Stage
from imageops.engine.protocol import LocalImage
from imageops.tools.daemon import Daemon, known_daemon
from imageops.tools.dry_run import passed
from imageops.tools.image_status import ImageResult, digests_in, image_status
from imageops.tools.tool import ToolContext


@dataclass(frozen=True, slots=True, kw_only=True)
class TagArguments:
    """What is to be tagged."""

    source: str
    """A canonical reference or an image id."""
    target: Reference
    if_exists: IfExists = IfExists.FAIL
    preconditions: TagPreconditions | None = None
    dry_run: bool = False
    assumed: Mapping[str, str | None] = field(default_factory=dict)
    """In a dry run: references that earlier steps would have made, each with its digest where that is known."""

    def shown(self) -> Mapping[str, str]:
        """Return the arguments for the record."""
        return {"source": self.source, "target": str(self.target), "ifExists": self.if_exists.value}


@dataclass(frozen=True, slots=True)
class TagTool:
    """Set one tag on one daemon."""

    daemon: Daemon
    name: str = "tag"

    async def run(self, arguments: TagArguments, context: ToolContext) -> ImageResult:
        """Set the tag unless it is set already; succeed only after an inspect of the target gives the source's id."""
        await known_daemon(self.daemon, context)
        engine, target = self.daemon.engine, str(arguments.target)
        async with self.daemon.targets.holding(target):
            source = await engine.inspect(arguments.source)
            if source is None and arguments.source in arguments.assumed:
                context.learn(image=ImageStatus(digest=arguments.assumed[arguments.source], present=False))
                return passed(f"{target} would be set.", unchecked="the source, which an earlier step would have made")
            if source is None:
                raise OperationError(Reason.IMAGE_NOT_ON_DAEMON)
            present = await engine.inspect(target)
            verdict = tag_verdict(
                if_exists=arguments.if_exists,
                preconditions=arguments.preconditions,
                source_id=source.id,
                target_id=present.id if present is not None else None,
                target_digests=_digests(present),
            )
            if arguments.dry_run:
                return passed(f"{target} would be set or is set already.", unchecked="nothing")
            if verdict is not None:
                _show(arguments, context, source)
                return ImageResult(reason=verdict, message=f"{target} names this image already.")
            context.progress.reached(Stage.TAGGING)
            if present is not None:
                before = digests_in(present, arguments.target)
                context.learn(previous=PreviousImage(id=present.id, digest=before[0] if before else None))
                await context.checkpoint()
            await engine.tag(source.id, arguments.target)
            context.progress.reached(Stage.VERIFYING)
            after = await engine.inspect(target)
        if after is None or after.id != source.id:
            raise OperationError(
                Reason.IMAGE_CHANGED,
                "The daemon said that the tag was set, and the target is another image.",
            )
        _show(arguments, context, after)
        return ImageResult(reason=Reason.TAGGED, message=f"{target} now names the image of {arguments.source}.")


def _show(arguments: TagArguments, context: ToolContext, image: LocalImage) -> None:
    known = digests_in(image, arguments.target)
    digest = image.descriptor_digest or (known[0] if known else None)
    context.learn(image=image_status(image, digest=digest))


def _digests(image: LocalImage | None) -> frozenset[str]:
    """Return every digest an image is known by, in whatever repository."""
    if image is None:
        return frozenset()
    known = {text.partition("@")[2] for text in image.repo_digests}
    if image.descriptor_digest is not None:
        known.add(image.descriptor_digest)
    return frozenset(known)
