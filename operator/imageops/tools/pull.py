"""Pull an image: make sure that a daemon has what a registry offers under a reference."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from imageops.api import platforms
from imageops.api.errors import OperationError
from imageops.api.fields import PLATFORM_ALL
from imageops.api.operations import ImagePullPolicy
from imageops.api.progress import LayerRecord
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import ImageStatus
from imageops.core.preconditions import pull_verdict
from imageops.core.progress import Stage
from imageops.engine.protocol import (
    DaemonInfo,
    ImageStore,
    LocalImage,
    RegistryAuth,
    RemoteImage,
    UnreadableAnswerError,
)
from imageops.tools.daemon import Daemon, known_daemon
from imageops.tools.daemon_names import DaemonNames, NoOthers, OtherObjects
from imageops.tools.dry_run import passed
from imageops.tools.image_status import INDEX_MEDIA_TYPES, ImageResult, available_platforms, digests_in, image_status
from imageops.tools.limits import Requester
from imageops.tools.registry_access import Credentials, RegistryAccess, known_credential
from imageops.tools.tool import ProgressSink, ToolContext
from imageops.tools.whole_index import WholeIndex

_SHOWN_PLATFORMS = 8
"""Platforms that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullArguments:
    """What is to be pulled."""

    reference: Reference
    platform: str | None = None
    """`os/architecture[/variant]`, `All` for every child of an index; None = the daemon's own."""
    policy: ImagePullPolicy = ImagePullPolicy.IF_NOT_PRESENT
    dry_run: bool = False

    @property
    def every_platform(self) -> bool:
        """Whether all children of the index are asked for."""
        return self.platform == PLATFORM_ALL

    @property
    def one_platform(self) -> str | None:
        """The one platform asked for, if one is."""
        return None if self.every_platform else self.platform

    def shown(self) -> Mapping[str, str]:
        """Return the arguments for the record."""
        platform = {"platform": self.platform} if self.platform is not None else {}
        return {"image": str(self.reference), "imagePullPolicy": self.policy.value, **platform}


@dataclass(frozen=True, slots=True)
class PullTool:
    """Pull one image to one daemon."""

    daemon: Daemon
    credentials: Credentials
    requester: Requester
    others: OtherObjects = field(default_factory=NoOthers)
    """What other objects want of the daemon."""
    name: str = "pull"

    async def run(self, arguments: PullArguments, context: ToolContext) -> ImageResult:
        """Pull unless it is done already; succeed only after the daemon was asked what it has now."""
        info = await known_daemon(self.daemon, context)
        if arguments.every_platform and info.image_store is not ImageStore.CONTAINERD:
            raise OperationError(
                Reason.ENGINE_UNSUPPORTED,
                "platforms: [All] needs a daemon with the containerd image store; this one keeps one platform.",
            )
        before = await self.present(arguments, info)
        verdict = pull_verdict(arguments.policy, present=before is not None)
        if verdict is not None and before is not None:
            await self._compared(arguments, before, context)
        if arguments.dry_run:
            return await self._tried(arguments, context, needed=verdict is None)
        if verdict is not None and before is not None:
            digests = digests_in(before, arguments.reference)
            await self._show(arguments, info, context, before, digests[0] if digests else None)
            return ImageResult(reason=verdict, message=f"{arguments.reference} is on the daemon already.")
        digest = await self._brought(arguments, info, context)
        context.progress.reached(Stage.VERIFYING)
        after = await self._verified(arguments, info, digest)
        await self._show(arguments, info, context, after, digest)
        return ImageResult(reason=Reason.PULLED, message=f"{arguments.reference} was pulled.")

    async def present(self, arguments: PullArguments, info: DaemonInfo) -> LocalImage | None:
        """Return the image if the daemon has the reference and the platform asked for."""
        engine, reference = self.daemon.engine, str(arguments.reference)
        if info.image_store is ImageStore.CONTAINERD:
            return await self._present_in_store(arguments, info)
        image = await engine.inspect(reference)
        asked = arguments.one_platform
        if image is None or asked is None or platforms.matches(asked, image.platform):
            return image
        raise OperationError(
            Reason.PLATFORM_CONFLICT,
            f"The daemon has this reference for {image.platform or 'another platform'}, and its image store keeps"
            " only one platform of a reference.",
        )

    async def _present_in_store(self, arguments: PullArguments, info: DaemonInfo) -> LocalImage | None:
        """Return the image if all content of what is asked for is in the containerd store.

        Engine 29 answers an inspect also for a platform of which it has nothing but the index's entry.
        """
        engine, reference, asked = self.daemon.engine, str(arguments.reference), arguments.one_platform
        image = await engine.inspect(reference)
        if image is None:
            return None
        if image.descriptor_media_type not in INDEX_MEDIA_TYPES:
            return image if asked is None or platforms.matches(asked, image.platform) else None
        if arguments.every_platform:
            return image if await self._whole(arguments.reference, None).is_present() else None
        children = await engine.manifests(reference)
        wanted = asked or f"{info.os}/{info.architecture}"
        if not any(child.available and platforms.matches(wanted, child.platform) for child in children):
            return None
        return image if asked is None else await engine.inspect(reference, platform=asked)

    async def _compared(self, arguments: PullArguments, image: LocalImage, context: ToolContext) -> None:
        """Have the registry say how many entries an index has before all of it is called present.

        The daemon cannot tell of entries that an Engine does not fetch. The registry is asked by digest, as the tag may
        have moved; under Never it is not asked, and what the daemon lists counts.

        Raises:
            OperationError: EngineUnsupported; ImageNotFound, if the registry has the index no more; what asking raises.

        """
        digest = image.descriptor_digest
        asked = arguments.every_platform and arguments.policy is not ImagePullPolicy.NEVER
        if not asked or digest is None or image.descriptor_media_type not in INDEX_MEDIA_TYPES:
            return
        named = arguments.reference
        reference = Reference(host=named.host, repository=named.repository, tag=None, digest=digest)
        remote = await self._told(reference, context)
        if remote is None:
            raise OperationError(
                Reason.IMAGE_NOT_FOUND,
                "The registry no longer has the index that is on the daemon, so whether that is whole cannot be told.",
                hint="Set imagePullPolicy to Always to have what the registry has, or to Never to have what is there.",
            )
        await self._whole(named, None).compare(remote)

    async def _told(self, reference: Reference, context: ToolContext) -> RemoteImage | None:
        """Return what the registry says of a reference, asked with the credential of the operation."""
        chosen = await known_credential(self.credentials, reference, context)
        access = RegistryAccess(self.daemon, self.credentials, self.requester, reference, chosen)
        with self.daemon.budgets.visit(reference.host, chosen.auth, self.requester) as visit:
            async with access.explaining_refusals():
                remote = await access.lookup()
            visit.served()
        return remote

    def _whole(self, reference: Reference, auth: RegistryAuth | None) -> WholeIndex:
        return WholeIndex(self.daemon.engine, reference, auth, DaemonNames(self.daemon, self.others))

    async def _tried(self, arguments: PullArguments, context: ToolContext, *, needed: bool) -> ImageResult:
        """Ask the registry for all that it says without sending a layer."""
        if not needed:
            return passed(f"{arguments.reference} is on the daemon already.", unchecked="nothing")
        remote = _offered(arguments, await self._told(arguments.reference, context))
        context.learn(image=ImageStatus(digest=remote.digest, present=False))
        unchecked = "the layers themselves, and space for them on the daemon"
        if arguments.one_platform is not None and not remote.platforms:  # the Engine tells none of an OCI manifest
            unchecked = f"the platform of a manifest without an index, {unchecked}"
        return passed(f"{arguments.reference} would be pulled.", unchecked=unchecked)

    async def _brought(self, arguments: PullArguments, info: DaemonInfo, context: ToolContext) -> str:
        """Pull, and leave no name of an image that the Engine refuses: Engine 29 keeps what it could not unpack.

        The next pull would find it there, and call it present.
        """
        engine, reference = self.daemon.engine, str(arguments.reference)
        was_there = arguments.one_platform is not None or await engine.inspect(reference) is not None
        try:
            return await self._fetched(arguments, info, context)
        except OperationError as error:
            if error.reason is Reason.ENGINE_UNSUPPORTED and not was_there:
                await DaemonNames(self.daemon, self.others).drop_refused(reference)
            raise

    async def _fetched(self, arguments: PullArguments, info: DaemonInfo, context: ToolContext) -> str:
        """Pull, or join an equal pull, and return the digest that the daemon says the reference has."""
        self.daemon.transfers.refuse_the_waiting(self.requester)
        chosen = await known_credential(self.credentials, arguments.reference, context)
        auth = chosen.auth
        key = (str(arguments.reference), arguments.platform, auth)
        place = None
        if self.daemon.pulls.is_running(key):
            self.daemon.transfers.withdraw(self.requester.uid)  # the place that may be reserved for it is not needed
        else:
            place = self.daemon.transfers.take(self.requester)

        access = RegistryAccess(self.daemon, self.credentials, self.requester, arguments.reference, chosen)

        async def begin(progress: ProgressSink) -> str:
            with self.daemon.budgets.visit(arguments.reference.host, auth, self.requester) as visit:
                async with access.explaining_refusals():
                    remote = await self._asked_before(arguments, access)
                    if remote is not None:
                        visit.served()
                    digest = await self._pull(arguments, info, progress, auth, remote)
                    visit.served()
                    return digest

        def ended() -> None:
            if place is not None:
                self.daemon.transfers.give_back(place)

        context.release_lookup_slot()
        return await self.daemon.pulls.join(key, context, begin, ended)

    async def _asked_before(self, arguments: PullArguments, access: RegistryAccess) -> RemoteImage | None:
        """Ask the registry before a pull if the answer decides something: which children, whether a password is good.

        Without an answer that can be made out a pull goes on: its own stream will tell. Only all of an index cannot be
        pulled without knowing what the registry has.
        """
        if arguments.platform is None and access.auth is None:
            return None
        try:
            return _offered(arguments, await access.lookup())
        except UnreadableAnswerError:
            if arguments.every_platform:
                raise
            return None

    async def _pull(
        self,
        arguments: PullArguments,
        info: DaemonInfo,
        progress: ProgressSink,
        auth: RegistryAuth | None,
        remote: RemoteImage | None,
    ) -> str:
        if remote is None or not arguments.every_platform or remote.media_type not in INDEX_MEDIA_TYPES:
            return await self._stream(arguments.reference, arguments.one_platform, progress, auth)
        progress.streams = max(1, len(remote.platforms))
        own = f"{info.os}/{info.architecture}"
        fitting = (platform for platform in remote.platforms if platforms.matches(own, platform))
        first = next(fitting, next(iter(remote.platforms), None))
        whole = self._whole(arguments.reference, auth)

        async def stream(part: Reference, platform: str | None) -> str:
            return await self._stream(part, platform, progress, auth)

        return await whole.fetch(remote, first, stream)

    async def _stream(
        self,
        reference: Reference,
        platform: str | None,
        progress: ProgressSink,
        auth: RegistryAuth | None,
    ) -> str:
        def sink(record: LayerRecord) -> None:
            progress.record(record, time.monotonic())

        progress.reached(Stage.DOWNLOADING)
        receipt = await self.daemon.engine.pull(reference, platform=platform, auth=auth, sink=sink)
        progress.stream_finished()
        return receipt.digest

    async def _verified(self, arguments: PullArguments, info: DaemonInfo, digest: str) -> LocalImage:
        asked = arguments.one_platform
        on_containerd = info.image_store is ImageStore.CONTAINERD
        reference = str(arguments.reference)
        image = await self.daemon.engine.inspect(reference, platform=asked if on_containerd else None)
        if image is None:
            if asked is not None and await self.daemon.engine.inspect(reference) is not None:
                raise _platform_not_found(asked, [])
            raise OperationError(
                Reason.IMAGE_CHANGED,
                "The daemon said that the pull was done, and does not have the image.",
            )
        if asked is not None and not platforms.matches(asked, image.platform):
            raise _platform_not_found(asked, [image.platform] if image.platform else [])
        if digest not in digests_in(image, arguments.reference):
            raise OperationError(
                Reason.IMAGE_CHANGED,
                "The image on the daemon is not the one that the pull brought.",
            )
        return image

    async def _show(
        self,
        arguments: PullArguments,
        info: DaemonInfo,
        context: ToolContext,
        image: LocalImage,
        digest: str | None,
    ) -> None:
        platforms = None
        if info.image_store is ImageStore.CONTAINERD and image.descriptor_media_type in INDEX_MEDIA_TYPES:
            platforms = available_platforms(await self.daemon.engine.manifests(str(arguments.reference)))
        context.learn(image=image_status(image, digest=digest, platforms=platforms))


def _offered(arguments: PullArguments, remote: RemoteImage | None) -> RemoteImage:
    """Return what the registry has if it is what is asked for: an absent image or platform ends after one request."""
    if remote is None:
        raise OperationError(Reason.IMAGE_NOT_FOUND)
    asked, known = arguments.one_platform, remote.platforms
    if asked is not None and known and not any(platforms.matches(asked, platform) for platform in known):
        raise _platform_not_found(asked, known)
    return remote


def _platform_not_found(asked: str, offered: Iterable[str]) -> OperationError:
    shown = sorted(set(offered))[:_SHOWN_PLATFORMS]
    known = f" It has {', '.join(shown)}." if shown else ""
    return OperationError(Reason.PLATFORM_NOT_FOUND, f"The image has no {asked}.{known}")
