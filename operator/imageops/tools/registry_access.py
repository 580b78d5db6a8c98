"""One attempt's way to an image in its registry: the credential, and what its refusal means."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from imageops.access.credential_choice import ChosenCredential
from imageops.access.credential_verdict import Verdict, refused_credential, unknown_words
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.registry_hints import TAKEN_BEFORE_HINT, UNPROVEN_HINT
from imageops.engine.protocol import RegistryAuth, RemoteImage
from imageops.tools.daemon import Daemon
from imageops.tools.limits import Requester
from imageops.tools.tool import ToolContext


class Credentials(Protocol):
    """The credentials that one operation may use."""

    async def for_image(self, reference: Reference) -> ChosenCredential:
        """Return the credential for an image in its registry, read anew.

        Raises:
            OperationError: SecretNotFound, SecretInvalid or CredentialHelperUnsupported; AuthFailed, where
                the registry has refused all there are.

        """
        ...


async def known_credential(credentials: Credentials, reference: Reference, context: ToolContext) -> ChosenCredential:
    """Choose the credential for an image, and put on record which one it is."""
    chosen = await credentials.for_image(reference)
    context.learn(auth=chosen.shown)
    return chosen


@dataclass(slots=True)
class RegistryAccess:
    """One attempt's way to an image in its registry, under one credential."""

    daemon: Daemon
    credentials: Credentials
    requester: Requester
    reference: Reference
    chosen: ChosenCredential
    """The credential as the attempt has read it."""
    _answered: bool = False
    """Whether the registry answered in this attempt."""

    @property
    def auth(self) -> RegistryAuth | None:
        """The credential itself; None = anonymous."""
        return self.chosen.auth

    async def lookup(self) -> RemoteImage | None:
        """Ask the registry, through the daemon, what it has; None = nothing of this name."""
        remote = await self.daemon.engine.distribution(self.reference, auth=self.auth)
        self._answered = True
        self.daemon.accepted_credentials.note(self.requester, self.reference.host, self.auth)
        return remote

    @asynccontextmanager
    async def explaining_refusals(self) -> AsyncIterator[None]:
        """Deal with the registry, and judge its refusals by what became of the credential meanwhile."""
        try:
            yield
        except OperationError as error:
            verdict = await self._verdict(error)
            if verdict is None or verdict == Verdict(error.reason):
                raise
            message = f"{verdict.reason.sentence} The image is {self.reference}."
            hint = _hint(error.reason, verdict)
            raise OperationError(verdict.reason, message, hint=hint, repeated=verdict.repeated) from error

    async def _verdict(self, error: OperationError) -> Verdict | None:
        """Judge an error; None if it says nothing about a credential."""
        accepted = self.daemon.accepted_credentials.has(self.requester, self.reference.host, self.auth)
        if error.reason is Reason.REGISTRY_ERROR:
            changed = self.auth is not None and await self._has_changed()
            return unknown_words(sent=self.auth is not None, changed=changed, accepted_before=accepted)
        if error.reason is not Reason.AUTH_FAILED or self.auth is None:
            return None
        changed = await self._has_changed()
        return refused_credential(
            changed=changed,
            accepted_before=accepted,
            accepted_now=accepted and not changed and self._answered and await self._is_accepted(),
            doubtful=error.doubtful,
        )

    async def _has_changed(self) -> bool:
        try:
            return (await self.credentials.for_image(self.reference)).auth != self.auth
        except OperationError:  # the Secret is gone, or holds nothing for this registry any more
            return True

    async def _is_accepted(self) -> bool:
        try:
            await self.daemon.engine.distribution(self.reference, auth=self.auth)
        except OperationError as error:
            return error.reason not in {Reason.AUTH_FAILED, Reason.AUTH_EXPIRED}
        return True


def _hint(refused: Reason, verdict: Verdict) -> str | None:
    if not verdict.repeated:
        return UNPROVEN_HINT
    return TAKEN_BEFORE_HINT if (refused, verdict.reason) == (Reason.AUTH_FAILED, Reason.REGISTRY_ERROR) else None
