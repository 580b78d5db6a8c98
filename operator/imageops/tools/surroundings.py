"""What pull, push and tag work with: one daemon, and the credentials of one operation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from imageops.access.lapse import refused_credential
from imageops.access.turns import ChosenCredential
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.engine.protocol import DaemonInfo, ImageEngine, RegistryAuth, RemoteImage
from imageops.tools.evidence import daemon_status
from imageops.tools.limits import RegistryBudgets, TransferSlots
from imageops.tools.sharing import SharedPulls
from imageops.tools.tool import ToolContext

DESK_PLACES = 16
"""Operations that ask one daemon short questions at the same time; transfers are counted apart."""


class Credentials(Protocol):
    """The credentials that one operation may use."""

    async def for_image(self, reference: Reference) -> ChosenCredential:
        """Return the credential for an image in its registry, read anew.

        Raises:
            OperationError: SecretNotFound, SecretInvalid or CredentialHelperUnsupported; AuthFailed, where
                the registry has refused all there are.

        """
        ...


@dataclass(slots=True)
class TargetLocks:
    """Let one operation at a time move a local tag: the Engine has no compare-and-set."""

    _locks: dict[str, tuple[asyncio.Lock, int]] = field(default_factory=dict)

    @asynccontextmanager
    async def holding(self, target: str) -> AsyncIterator[None]:
        """Hold the lock of a tag; a lock nobody waits for is forgotten."""
        lock, users = self._locks.get(target, (asyncio.Lock(), 0))
        self._locks[target] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[target]
            if users == 1:
                del self._locks[target]
            else:
                self._locks[target] = (lock, users - 1)


@dataclass(frozen=True, slots=True)
class Daemon:
    """A configured daemon with what its users share."""

    engine: ImageEngine
    transfers: TransferSlots
    budgets: RegistryBudgets
    pulls: SharedPulls = field(default_factory=SharedPulls)
    targets: TargetLocks = field(default_factory=TargetLocks)
    desk: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(DESK_PLACES))
    """Held by those that ask the daemon short questions, so that a thousand objects are served one after another
    instead of all at once and none to its end."""


async def known_daemon(daemon: Daemon, context: ToolContext) -> DaemonInfo:
    """Ask the daemon who it is, and put that on record."""
    info = await daemon.engine.describe()
    context.learn(daemon=daemon_status(info))
    return info


async def known_credential(credentials: Credentials, reference: Reference, context: ToolContext) -> ChosenCredential:
    """Choose the credential for an image, and put on record which one it is."""
    chosen = await credentials.for_image(reference)
    context.learn(auth=chosen.shown)
    return chosen


@dataclass(slots=True)
class RegistryAccess:
    """One attempt's way to an image in its registry, under one credential."""

    engine: ImageEngine
    credentials: Credentials
    reference: Reference
    chosen: ChosenCredential
    """The credential as the attempt has read it."""
    _accepted: bool = False

    @property
    def auth(self) -> RegistryAuth | None:
        """The credential itself; None = anonymous."""
        return self.chosen.auth

    async def lookup(self) -> RemoteImage | None:
        """Ask the registry, through the daemon, what it has; None = nothing of this name."""
        remote = await self.engine.distribution(self.reference, auth=self.auth)
        self._accepted = True
        return remote

    @asynccontextmanager
    async def judged(self) -> AsyncIterator[None]:
        """Deal with the registry; the refusal of a credential that has lapsed meanwhile comes out as AuthExpired."""
        try:
            yield
        except OperationError as error:
            if error.reason is not Reason.AUTH_FAILED:
                raise
            if self.auth is None:
                raise self._explained(error) from error
            changed = await self._has_changed()
            accepted_now = self._accepted and not changed and await self._is_accepted()
            reason = refused_credential(changed=changed, accepted_before=self._accepted, accepted_now=accepted_now)
            if reason is Reason.AUTH_FAILED:
                raise self._explained(error) from error
            raise OperationError(reason, f"{reason.sentence} The image is {self.reference}.") from error

    def _explained(self, error: OperationError) -> OperationError:
        """Tell with a refusal what was passed over when the credential was chosen."""
        return OperationError(error.reason, error.message, hint=f"{self.chosen.note} {error.hint}".lstrip())

    async def _has_changed(self) -> bool:
        try:
            return (await self.credentials.for_image(self.reference)).auth != self.auth
        except OperationError:  # the Secret is gone, or holds nothing for this registry any more
            return True

    async def _is_accepted(self) -> bool:
        try:
            await self.engine.distribution(self.reference, auth=self.auth)
        except OperationError as error:
            return error.reason not in {Reason.AUTH_FAILED, Reason.AUTH_EXPIRED}
        return True
