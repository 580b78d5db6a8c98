"""Push an image: make sure that a registry serves, under one tag, what a daemon has."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from imageops.api.errors import OperationError
from imageops.api.fields import PLATFORM_ALL
from imageops.api.operations import IfExists
from imageops.api.progress import LayerRecord
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import PreviousImage
from imageops.core.existing import platform_matches, push_verdict
from imageops.core.progress import Stage
from imageops.engine.protocol import (
    DaemonInfo,
    ImageStore,
    LocalImage,
    LocalManifest,
    RegistryAuth,
    RemoteImage,
    UnreadableAnswerError,
)
from imageops.tools.dry_run import passed
from imageops.tools.evidence import INDEX_MEDIA_TYPES, ImageResult, available_platforms, digests_in, image_status
from imageops.tools.limits import Requester
from imageops.tools.surroundings import Credentials, Daemon, RegistryAccess, known_auth, known_daemon
from imageops.tools.tool import ToolContext

_NO_READ_BACK = frozenset(reason for reason in Reason if reason.value == "RegistryPolicyDenied")
"""What a registry may say to a question about a tag that it has just taken, without having lost it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushArguments:
    """What is to be pushed."""

    reference: Reference
    platform: str | None = None
    """`os/architecture[/variant]` pushes that manifest alone, `All` demands the whole index; None = what is there."""
    if_exists: IfExists = IfExists.FAIL
    required_digest: str | None = None
    """What the registry's tag must be now."""
    dry_run: bool = False
    assumed: frozenset[str] = frozenset()
    """In a dry run: references that earlier steps would have made."""

    @property
    def one_platform(self) -> str | None:
        """The one platform asked for, if one is."""
        return None if self.platform == PLATFORM_ALL else self.platform

    def shown(self) -> Mapping[str, str]:
        """Return the arguments for the record."""
        platform = {"platform": self.platform} if self.platform is not None else {}
        return {"image": str(self.reference), "ifExists": self.if_exists.value, **platform}


@dataclass(frozen=True, slots=True)
class PushTool:
    """Push one tag from one daemon."""

    daemon: Daemon
    credentials: Credentials
    requester: Requester
    name: str = "push"

    async def run(self, arguments: PushArguments, context: ToolContext) -> ImageResult:
        """Push unless it is done already; succeed only after the registry was asked what it serves now."""
        info = await known_daemon(self.daemon, context)
        reference = arguments.reference
        self.daemon.transfers.refuse_the_waiting(self.requester)
        image = await self.daemon.engine.inspect(str(reference))
        if image is None and str(reference) in arguments.assumed:
            return passed(f"{reference} would be pushed.", unchecked="the image, which an earlier step would have made")
        if image is None:
            raise OperationError(Reason.IMAGE_NOT_ON_DAEMON)
        own = await self._own_digests(arguments, info, image)
        auth = await known_auth(self.credentials, reference.host, context)
        access = RegistryAccess(self.daemon.engine, self.credentials, reference, auth)
        with self.daemon.budgets.visit(reference.host, auth, self.requester) as visit:
            async with access.judged():
                before = await self._served_before(arguments, access)
                visit.served()
                remote_digest = before.digest if before is not None else None
                verdict = push_verdict(
                    if_exists=arguments.if_exists,
                    required_digest=arguments.required_digest,
                    remote_digest=remote_digest,
                    own_digests=own,
                )
                if arguments.dry_run:
                    unchecked = "the right to push"
                    return passed(f"{reference} would be pushed or is there already.", unchecked=unchecked)
                if verdict is not None:
                    same = verdict is Reason.ALREADY_PUSHED
                    await self._show(context, arguments, image, remote_digest if same else None)
                    return ImageResult(reason=verdict, message=_left_alone(verdict, reference))
                place = self.daemon.transfers.take(self.requester)
                try:
                    sent, confirmed = await self._push(arguments, context, auth, replaced=remote_digest)
                finally:
                    self.daemon.transfers.give_back(place)
        await self._show(context, arguments, image, sent, unconfirmed=not confirmed or None)
        proof = "the registry serves it" if confirmed else "what the registry serves could not be read back"
        return ImageResult(reason=Reason.PUSHED, message=f"{reference} was pushed, and {proof}.")

    async def _served_before(self, arguments: PushArguments, access: RegistryAccess) -> RemoteImage | None:
        """Ask what the tag is; a push that replaces whatever it is goes on without an answer that can be made out."""
        try:
            return await access.lookup()
        except UnreadableAnswerError:
            if arguments.if_exists is not IfExists.REPLACE or arguments.required_digest is not None:
                raise
            return None

    async def _push(
        self,
        arguments: PushArguments,
        context: ToolContext,
        auth: RegistryAuth | None,
        *,
        replaced: str | None,
    ) -> tuple[str, bool]:
        """Push, and return the digest that was sent and whether the registry says that it serves it.

        A registry that has taken the push and does not let it be read back has it all the same: repeating would send
        it once more, and prove as little.
        """
        engine, reference, progress = self.daemon.engine, arguments.reference, context.progress
        context.takes_long()
        if replaced is not None:
            context.learn(previous=PreviousImage(digest=replaced))
            await context.checkpoint()

        def sink(record: LayerRecord) -> None:
            progress.record(record, time.monotonic())

        progress.reached(Stage.UPLOADING)
        receipt = await engine.push(reference, platform=arguments.one_platform, auth=auth, sink=sink)
        progress.stream_finished()
        progress.reached(Stage.VERIFYING)
        try:
            after = await engine.distribution(reference, auth=auth)
        except OperationError as error:
            if isinstance(error, UnreadableAnswerError) or error.reason in _NO_READ_BACK:
                return receipt.digest, False
            raise
        if after is None or after.digest != receipt.digest:
            what = "serves no such tag" if after is None else "serves another manifest under the tag"
            raise OperationError(
                Reason.IMAGE_CHANGED,
                f"The daemon said that the push was done, and the registry {what}.",
            )
        return after.digest, True

    async def _show(
        self,
        context: ToolContext,
        arguments: PushArguments,
        image: LocalImage,
        digest: str | None,
        *,
        unconfirmed: bool | None = None,
    ) -> None:
        platforms = None
        if image.descriptor_media_type in INDEX_MEDIA_TYPES:
            children = await self.daemon.engine.manifests(str(arguments.reference))
            whole = digest in {None, image.descriptor_digest}
            platforms = available_platforms(child for child in children if whole or child.digest == digest)
        shown = image_status(image, digest=digest, platforms=platforms)
        context.learn(image=shown.model_copy(update={"unconfirmed": unconfirmed}))

    async def _own_digests(self, arguments: PushArguments, info: DaemonInfo, image: LocalImage) -> frozenset[str]:
        """Return the digests under which the registry would serve exactly what this push would send.

        Raises:
            OperationError: EngineUnsupported or PlatformNotFound, when the daemon cannot send what is asked for.

        """
        asked = arguments.one_platform
        if info.image_store is ImageStore.GRAPHDRIVER:
            if arguments.platform is not None:
                raise OperationError(
                    Reason.ENGINE_UNSUPPORTED,
                    "Pushing by platform needs a daemon with the containerd image store.",
                )
            return frozenset(digests_in(image, arguments.reference))
        if image.descriptor_media_type not in INDEX_MEDIA_TYPES:
            if asked is not None and not platform_matches(asked, image.platform):
                raise OperationError(Reason.PLATFORM_NOT_FOUND)
            return frozenset({image.descriptor_digest or image.id})
        children = await self.daemon.engine.manifests(str(arguments.reference))
        if asked is not None:
            return frozenset({await self._digest_of_platform(arguments.reference, asked, children)})
        if all(child.available for child in children):
            await self._refuse_a_gap(arguments)
            return frozenset({image.descriptor_digest or image.id})
        if arguments.platform == PLATFORM_ALL:
            raise OperationError(
                Reason.PLATFORM_NOT_FOUND,
                "The daemon lacks a part of the index, so it cannot push all of it.",
            )
        return _of_part(image, children)

    async def _refuse_a_gap(self, arguments: PushArguments) -> None:
        """Refuse to push an index below which an index is missing: Engine 29 would send nothing and say it was done."""
        if await self.daemon.engine.absent_index(str(arguments.reference)) is not None:
            raise OperationError(
                Reason.ENGINE_UNSUPPORTED,
                "The index lists an index that the daemon lacks, and an Engine does not push a part of such an index.",
                hint="Pull it with platforms: [All], or name one platform in platforms.",
            )

    async def _digest_of_platform(
        self,
        reference: Reference,
        platform: str,
        children: tuple[LocalManifest, ...],
    ) -> str:
        """Return the digest of the manifest that a platform means to the Engine, be there other variants or not.

        Engine 29 answers an inspect also for a platform of which it has nothing but the index's entry.
        """
        there = {child.digest for child in children if child.available}
        image = await self.daemon.engine.inspect(str(reference), platform=platform)
        if image is None or image.descriptor_digest not in there:
            raise OperationError(Reason.PLATFORM_NOT_FOUND)
        return image.descriptor_digest


def _of_part(image: LocalImage, children: tuple[LocalManifest, ...]) -> frozenset[str]:
    """Return the digest of an incomplete index: Engine 29 pushes the daemon's own platform, or the only one there is.

    Raises:
        OperationError: PlatformNotFound, where several others are there.

    """
    there = [child for child in children if child.available and child.kind == "image"]
    own = [child.digest for child in there if platform_matches(image.platform or "", child.platform)]
    if not own and len(there) > 1:
        raise OperationError(
            Reason.PLATFORM_NOT_FOUND,
            "The daemon has several platforms of the index, neither all nor its own, so platforms has to name one.",
        )
    return frozenset(own or [child.digest for child in there])


def _left_alone(verdict: Reason, reference: Reference) -> str:
    if verdict is Reason.ALREADY_PUSHED:
        return f"The registry serves this content under {reference} already."
    return f"{reference} exists in the registry with other content, and was left as it is."
