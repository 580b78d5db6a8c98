"""Push an image: make sure that a registry serves, under one tag, what a daemon has."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from imageops.api import platforms
from imageops.api.errors import OperationError
from imageops.api.fields import PLATFORM_ALL
from imageops.api.operations import IfExists
from imageops.api.progress import LayerRecord
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.registry_hints import MOUNT_HINT
from imageops.api.status import PreviousImage
from imageops.core.preconditions import push_verdict
from imageops.core.progress import Stage
from imageops.engine.protocol import (
    DaemonInfo,
    ImageStore,
    LocalImage,
    LocalManifest,
    RegistryAuth,
    UnreadableAnswerError,
)
from imageops.tools.daemon import Daemon, known_daemon
from imageops.tools.dry_run import passed
from imageops.tools.image_status import INDEX_MEDIA_TYPES, ImageResult, available_platforms, digests_in, image_status
from imageops.tools.limits import Requester
from imageops.tools.registry_access import Credentials, RegistryAccess, known_credential
from imageops.tools.tool import ToolContext

_NOT_SHOWN = "it could not be read back there; its digest is what the registry answered"


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
    assumed: Mapping[str, str | None] = field(default_factory=dict)
    """In a dry run: references that earlier steps would have made, each with its digest where that is known."""

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
            return await self._tried_assumed(arguments, info, context)
        if image is None:
            raise OperationError(Reason.IMAGE_NOT_ON_DAEMON)
        own = await self._own_digests(arguments, info, image)
        chosen = await known_credential(self.credentials, reference, context)
        auth = chosen.auth
        access = RegistryAccess(self.daemon, self.credentials, self.requester, reference, chosen)
        with self.daemon.budgets.visit(reference.host, auth, self.requester) as visit:
            async with access.explaining_refusals():
                remote_digest, hidden = await _now(arguments, access)
                visit.served()
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
                    if hidden:  # something is replaced, and nobody can tell what: that much has to be on record
                        context.learn(previous=PreviousImage())
                        await context.checkpoint()
                    digest, shown = await self._push(arguments, context, auth, image, replaced=remote_digest)
                finally:
                    self.daemon.transfers.give_back(place)
        await self._show(context, arguments, image, digest, unconfirmed=not shown or None)
        served = "the registry serves it" if shown else _NOT_SHOWN
        return ImageResult(reason=Reason.PUSHED, message=f"{reference} was pushed, and {served}.")

    async def _tried_assumed(self, arguments: PushArguments, info: DaemonInfo, context: ToolContext) -> ImageResult:
        """Ask the registry about an image that an earlier step would have made: credential, tag, preconditions.

        Its digest is known only where the whole of what the source has would be pushed as it is.
        """
        reference, digest = arguments.reference, arguments.assumed[str(arguments.reference)]
        whole = info.image_store is ImageStore.CONTAINERD and arguments.platform == PLATFORM_ALL
        known = frozenset({digest}) if whole and digest is not None else frozenset()
        chosen = await known_credential(self.credentials, reference, context)
        access = RegistryAccess(self.daemon, self.credentials, self.requester, reference, chosen)
        with self.daemon.budgets.visit(reference.host, chosen.auth, self.requester) as visit:
            async with access.explaining_refusals():
                remote_digest, _ = await _now(arguments, access)
                visit.served()
        push_verdict(
            if_exists=arguments.if_exists if known else IfExists.REPLACE,
            required_digest=arguments.required_digest,
            remote_digest=remote_digest,
            own_digests=known,
        )
        unchecked = "the right to push, and the image, which an earlier step would have made"
        if remote_digest is not None and not known:
            unchecked = f"whether the tag that is there has the same content, {unchecked}"
        return passed(f"{reference} would be pushed or is there already.", unchecked=unchecked)

    async def _push(
        self,
        arguments: PushArguments,
        context: ToolContext,
        auth: RegistryAuth | None,
        image: LocalImage,
        *,
        replaced: str | None,
    ) -> tuple[str, bool]:
        """Push, ask the registry what it serves now, and return that digest.

        With it comes whether the registry showed it. One whose policy, such as a scan that has just begun, keeps the
        image from being read, or whose answer cannot be made out, has taken it all the same: the digest is what it
        answered to the manifest then. Repeating would send it once more, and prove as little.
        """
        engine, reference, progress = self.daemon.engine, arguments.reference, context.progress
        context.release_lookup_slot()
        if replaced is not None:
            context.learn(previous=PreviousImage(digest=replaced))
            await context.checkpoint()

        def sink(record: LayerRecord) -> None:
            progress.record(record, time.monotonic())

        progress.reached(Stage.UPLOADING)
        try:
            receipt = await engine.push(reference, platform=arguments.one_platform, auth=auth, sink=sink)
        except OperationError as error:
            if error.reason is Reason.AUTH_FAILED and _mounted_from_elsewhere(image, reference):
                raise OperationError(error.reason, error.message, hint=MOUNT_HINT) from error
            raise
        progress.stream_finished()
        progress.reached(Stage.VERIFYING)
        try:
            after = await engine.distribution(reference, auth=auth)
        except OperationError as error:
            if isinstance(error, UnreadableAnswerError) or error.reason is Reason.REGISTRY_POLICY_DENIED:
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
            if asked is not None and not platforms.matches(asked, image.platform):
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
    own = [child.digest for child in there if platforms.matches(image.platform or "", child.platform)]
    if not own and len(there) > 1:
        raise OperationError(
            Reason.PLATFORM_NOT_FOUND,
            "The daemon has several platforms of the index, neither all nor its own, so platforms has to name one.",
        )
    return frozenset(own or [child.digest for child in there])


async def _now(arguments: PushArguments, access: RegistryAccess) -> tuple[str | None, bool]:
    """Ask what the tag is now: its digest, None for no tag; and whether nobody can tell.

    A policy of the registry may hide it, or refuse the question whatever there is; the answer may not be made out. That
    keeps no push back that replaces whatever there is. To any other it tells nothing, least of all that a tag exists.
    """
    try:
        before = await access.lookup()
    except OperationError as error:
        untold = isinstance(error, UnreadableAnswerError) or error.reason is Reason.REGISTRY_POLICY_DENIED
        if not untold or arguments.if_exists is not IfExists.REPLACE or arguments.required_digest is not None:
            raise
        return None, True
    return (before.digest if before is not None else None), False


def _mounted_from_elsewhere(image: LocalImage, target: Reference) -> bool:
    """Tell whether the Engine asks the registry to take the layers from another repository of its own.

    Engine 29 does so for what came from there, and takes a refusal of that for a refusal of the push.
    """
    if image.descriptor_digest is None:
        return False
    known = (name.partition("@")[0] for name in image.repo_digests)
    return any(name.startswith(f"{target.host}/") and name != target.name for name in known)


def _left_alone(verdict: Reason, reference: Reference) -> str:
    if verdict is Reason.ALREADY_PUSHED:
        return f"The registry serves this content under {reference} already."
    return f"{reference} exists in the registry with other content, and was left as it is."
