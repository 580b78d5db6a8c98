"""The `ImageEngine` that is a Docker Engine, 20.10 or later, through docker-py's low-level client."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from docker.errors import DockerException

from imageops.api import platforms
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.engine import responses
from imageops.engine.auth_header import auth_header, secrets
from imageops.engine.completeness import absent_index
from imageops.engine.connection import DaemonAddress, DaemonClient, ignore_ambient_configuration
from imageops.engine.pool import ClientPool
from imageops.engine.protocol import ImageStore
from imageops.engine.requests import Request, ask, tell
from imageops.engine.transfers import Activity, PullReceiptReader, PushReceiptReader, ReceiptReader, transfer
from imageops.engine.words import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from imageops.api.references import Reference
    from imageops.engine.connection import DaemonTls
    from imageops.engine.protocol import (
        DaemonInfo,
        LocalImage,
        LocalManifest,
        Receipt,
        RecordSink,
        RegistryAuth,
        RemoteImage,
    )

T = TypeVar("T")

QUIET_SECONDS = 300.0
"""How long a transfer may say nothing before the daemon is asked for a sign of life.

Silence alone is no error: a layer that waits for its turn, or a slow registry, has nothing to say, and the attempt's
own time limit is not the engine's to hold.
"""
_QUICK_CALLS = 8
"""Calls about the daemon's own state at a time. They never wait behind a transfer or a registry."""
_PING_SECONDS = 10.0
_REGISTRY_SECONDS = 60.0
"""How long a registry may keep the daemon waiting when it is only asked what it has."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Who the daemon is, and the number of connections opened before it said so."""

    info: DaemonInfo
    epoch: int


class DockerEngine:
    """One Docker daemon."""

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        tls: DaemonTls | None = None,
        max_transfers: int = 6,
        permit: Callable[[], bool] | None = None,
    ) -> None:
        """Prepare the engine; no I/O, so the daemon may come up later.

        Args:
            name: The name the administrator gave the daemon.
            base_url: `unix:///path` or `tcp://host:port`.
            tls: The files for TCP; needed unless the daemon is on this machine.
            max_transfers: Pulls and pushes that may run at a time, at least 1. Further ones wait. Twice the daemon's
                `max-concurrent-downloads`, which is 3 unless it was told otherwise, keeps it busy.
            permit: Asked in worker threads before each request; None = always. Once it says no,
                calls end as INTERRUPTED.

        Raises:
            ValueError: The address cannot be used, or `max_transfers` is below 1.
        """
        self.name = name
        self._address = DaemonAddress(base_url, tls)
        self._permit = permit
        ignore_ambient_configuration()
        self._transfers = ClientPool(f"{name}-transfer", max_transfers, self._make_client)
        self._lookups = ClientPool(f"{name}-lookup", max_transfers, self._make_client)
        self._calls = ClientPool(f"{name}-call", _QUICK_CALLS, self._make_client)
        self._epochs = itertools.count(1)
        self._epoch = 0
        self._known: _Known | None = None
        self._describing = asyncio.Lock()

    def _make_client(self) -> DaemonClient:
        try:
            return DaemonClient(self._address, opened=self._connection_opened, permit=self._permit)
        except DockerException:
            # A TLS file is not there (yet).
            unavailable = OperationError(Reason.DAEMON_UNAVAILABLE)
        raise unavailable

    def _connection_opened(self) -> None:
        """Note that whoever listens now may be another daemon than before. Called in worker threads."""
        self._epoch = next(self._epochs)

    async def describe(self) -> DaemonInfo:
        """Say who the daemon is; asked again only after a connection had to be opened anew."""
        async with self._describing:
            if self._known is None or self._known.epoch != self._epoch:
                self._known = await self._available(self._ask_who)
            return self._known.info

    def _ask_who(self, client: DaemonClient) -> _Known:
        version = ask(client, Request(Call.DESCRIBE, "GET", "/version"))
        epoch = self._epoch
        info = ask(client, Request(Call.DESCRIBE, "GET", "/info"))
        return _Known(responses.daemon_info(self.name, version, info), epoch)

    async def ping(self) -> None:
        """Ask for a sign of life."""
        request = Request(Call.DESCRIBE, "GET", "/_ping", silence_seconds=_PING_SECONDS)
        await self._available(lambda client: tell(client, request))

    async def _available(self, work: Callable[[DaemonClient], T]) -> T:
        """Do work whose every failure means that the daemon cannot be used now."""
        try:
            return await self._calls.run(work)
        except OperationError:
            unavailable = OperationError(Reason.DAEMON_UNAVAILABLE)
        raise unavailable

    async def inspect(self, reference: str, *, platform: str | None = None) -> LocalImage | None:
        """Look an image up on the daemon."""
        info = await self.describe()
        selects = platform is not None and responses.serves(info, 1, 49)
        parameters = {"platform": _platform_parameter(platform)} if platform is not None and selects else {}
        answer = await self._inspect(info, Call.INSPECT, reference, parameters)
        if answer is None:
            return None
        image = responses.local_image(answer)
        if platform is None or selects:
            return image
        return (
            image
            if image.platform is not None and platforms.normalise(image.platform) == platforms.normalise(platform)
            else None
        )

    async def manifests(self, reference: str) -> tuple[LocalManifest, ...]:
        """List the children of the index under a local reference."""
        info = await self.describe()
        if info.image_store is not ImageStore.CONTAINERD or not responses.serves(info, 1, 48):
            raise OperationError(Reason.ENGINE_UNSUPPORTED)
        answer = await self._inspect(info, Call.MANIFESTS, reference, {"manifests": "1"})
        return () if answer is None else responses.local_manifests(answer)

    async def absent_index(self, reference: str) -> str | None:
        """Find an index below the one under a local reference that the daemon does not have."""
        info = await self.describe()
        request = Request(Call.MANIFESTS, "GET", f"/images/{_quoted(reference)}/get", info.api_version)
        return await self._calls.run(lambda client: absent_index(client, request))

    async def _inspect(
        self, info: DaemonInfo, call: Call, reference: str, parameters: dict[str, str]
    ) -> responses.Answer | None:
        request = Request(call, "GET", f"/images/{_quoted(reference)}/json", info.api_version, parameters)
        try:
            return await self._calls.run(lambda client: ask(client, request))
        except OperationError as error:
            if error.reason in {Reason.IMAGE_NOT_ON_DAEMON, Reason.PLATFORM_NOT_FOUND}:
                return None
            raise

    async def distribution(self, reference: Reference, *, auth: RegistryAuth | None) -> RemoteImage | None:
        """Ask the registry, through the daemon, what a reference is."""
        info = await self.describe()
        request = Request(
            Call.DISTRIBUTION,
            "GET",
            f"/distribution/{_quoted(str(reference))}/json",
            info.api_version,
            headers=auth_header(auth),
            reference=reference,
            secrets=secrets(auth),
            silence_seconds=_REGISTRY_SECONDS,
            silence_reason=Reason.REGISTRY_UNAVAILABLE,
        )
        try:
            answer = await self._lookups.run(lambda client: ask(client, request))
        except OperationError as error:
            if error.reason is Reason.IMAGE_NOT_FOUND:
                return None
            raise
        return responses.remote_image(answer)

    async def pull(
        self, reference: Reference, *, platform: str | None, auth: RegistryAuth | None, sink: RecordSink
    ) -> Receipt:
        """Bring an image to the daemon."""
        info = await self.describe()
        parameters = {"fromImage": reference.name, "tag": reference.selector}
        if platform is not None:
            parameters["platform"] = platform
        request = _transfer_request(Call.PULL, "/images/create", info, parameters, reference=reference, auth=auth)
        return await self._transfer(request, PullReceiptReader(), sink)

    async def push(
        self, reference: Reference, *, platform: str | None, auth: RegistryAuth | None, sink: RecordSink
    ) -> Receipt:
        """Send the image under exactly this reference to its registry."""
        tag = _tag_of(reference)
        info = await self.describe()
        parameters = {"tag": tag}
        if platform is not None:
            if info.image_store is not ImageStore.CONTAINERD or not responses.serves(info, 1, 46):
                raise OperationError(Reason.ENGINE_UNSUPPORTED)
            parameters["platform"] = _platform_parameter(platform)
        path = f"/images/{_quoted(reference.name)}/push"
        request = _transfer_request(Call.PUSH, path, info, parameters, reference=reference, auth=auth)
        return await self._transfer(request, PushReceiptReader(tag), sink)

    async def _transfer(self, request: Request, reader: ReceiptReader, sink: RecordSink) -> Receipt:
        activity = Activity()

        async def probe() -> None:
            if activity.quiet_seconds() < QUIET_SECONDS:
                return
            try:
                await self.ping()
            except OperationError:
                lost = request.error(Reason.DAEMON_CONNECTION_LOST)
            else:
                return
            raise lost

        return await self._transfers.run(
            lambda client: transfer(client, request, reader, sink=sink, activity=activity), probe=probe
        )

    async def tag(self, source: str, target: Reference) -> None:
        """Point a local tag at a local image."""
        parameters = {"repo": target.name, "tag": _tag_of(target)}
        info = await self.describe()
        path = f"/images/{_quoted(source)}/tag"
        request = Request(Call.TAG, "POST", path, info.api_version, parameters, reference=target)
        await self._calls.run(lambda client: tell(client, request))

    async def remove(self, reference: str) -> None:
        """Remove a reference, and the image with its last one."""
        info = await self.describe()
        request = Request(Call.REMOVE, "DELETE", f"/images/{_quoted(reference)}", info.api_version)
        try:
            await self._calls.run(lambda client: tell(client, request))
        except OperationError as error:
            if error.reason is not Reason.IMAGE_NOT_ON_DAEMON:
                raise

    async def close(self) -> None:
        """Stop every call and wait until all threads have ended."""
        for pool in (self._transfers, self._lookups, self._calls):
            await pool.close()


def _platform_parameter(platform: str) -> str:
    """Encode a platform as inspect and push take it; a pull takes the text."""
    return json.dumps(dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False)))


def _quoted(reference: str) -> str:
    return quote(reference, safe="/:@")


def _tag_of(reference: Reference) -> str:
    """Return the tag a push or tag writes to. Without one a daemon would push every tag of the repository."""
    if reference.tag is None or reference.digest is not None:
        raise OperationError(Reason.INVALID_REFERENCE, "The target of a push or a tag has a tag and no digest.")
    return reference.tag


def _transfer_request(
    call: Call,
    path: str,
    info: DaemonInfo,
    parameters: dict[str, str],
    *,
    reference: Reference,
    auth: RegistryAuth | None,
) -> Request:
    return Request(
        call,
        "POST",
        path,
        info.api_version,
        parameters,
        headers=auth_header(auth),
        reference=reference,
        secrets=secrets(auth),
        silence_seconds=None,
    )
