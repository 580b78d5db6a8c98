"""Choose the credential of an operation for a registry host.

The operation's own Secret has to serve the host: falling back to anonymous would pull a public image of the same name
and call it success. What comes from further away (a Session, a ServiceAccount) serves the hosts it names and no other,
so that a public image stays pullable under it. The ServiceAccount `default` serves pulls, as it serves the pods of its
namespace; a push writes, so it uses nothing that nobody named for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from imageops.access.credentials import SecretCredentials
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.status import AuthMethod, AuthStatus, SecretReference
from imageops.engine.protocol import RegistryAuth

ANONYMOUS = AuthStatus(method=AuthMethod.ANONYMOUS.value)
DEFAULT_SERVICE_ACCOUNT = "default"
_NAME_ONE_FOR_A_PUSH = (
    "A push uses the Secret of secretRef, of its Session, or of a serviceAccountName; none is named, so there was no"
    " credential."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSource:
    """One place that names credentials: an operation, a step or a Session."""

    secret: str | None = None
    service_account: str | None = None


class SecretReader(Protocol):
    """Read Secrets and ServiceAccounts of one namespace, anew at every call."""

    async def secret(self, name: str) -> SecretCredentials:
        """Return a Secret's credentials.

        Raises:
            OperationError: SecretNotFound or SecretInvalid.

        """
        ...

    async def image_pull_secrets(self, service_account: str) -> Sequence[str | None] | None:
        """Return the names under the ServiceAccount's `imagePullSecrets`; None if there is no such account.

        None also stands in the place of a text that no Secret can have as its name.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChosenCredential:
    """The credential in use, and what may be said of it."""

    auth: RegistryAuth | None
    shown: AuthStatus
    note: str = ""
    """What was passed over, in our own words: what to know if the registry refuses."""


async def resolve(
    host: str,
    *,
    own: CredentialSource,
    session: CredentialSource,
    reader: SecretReader,
    writes: bool,
) -> ChosenCredential:
    """Return the credential for a host; the nearest source that names one decides.

    Args:
        host: The registry's host.
        own: What the operation names.
        session: What its Session names.
        reader: The Secrets of the operation's namespace.
        writes: Whether the registry is to be written to: then the ServiceAccount `default` is not looked at.

    Raises:
        OperationError: SecretNotFound, SecretInvalid or CredentialHelperUnsupported.

    """
    if own.secret is not None:
        secret = await reader.secret(own.secret)
        auth = secret.for_host(host)
        if auth is None:
            raise OperationError(
                Reason.SECRET_INVALID,
                f"Secret {own.secret!r} has no entry for the registry {host}.",
            )
        return _chosen(secret, auth, AuthMethod.SECRET_REF)
    nearest = own if own.service_account is not None else session
    if nearest.secret is not None:
        secret = await reader.secret(nearest.secret)
        auth = secret.for_host(host)
        if auth is not None:
            return _chosen(secret, auth, AuthMethod.SESSION)
    if writes and nearest.service_account is None:
        return ChosenCredential(None, ANONYMOUS, _NAME_ONE_FOR_A_PUSH)
    return await _from_service_account(host, nearest.service_account, reader)


async def _from_service_account(host: str, account: str | None, reader: SecretReader) -> ChosenCredential:
    names = await reader.image_pull_secrets(account or DEFAULT_SERVICE_ACCOUNT)
    if names is None and account is not None:
        raise OperationError(Reason.SECRET_NOT_FOUND, f"There is no ServiceAccount {account!r} in this namespace.")
    note = ""
    for place, name in enumerate(names or ()):
        if name is None:
            note = note or _unusable(account or DEFAULT_SERVICE_ACCOUNT, place)
            continue
        try:
            secret = await reader.secret(name)
        except OperationError as error:
            if account is None and error.reason is Reason.SECRET_NOT_FOUND:
                continue  # as the kubelet does: a Secret nobody made yet must not block a public image
            raise
        auth = secret.for_host(host)
        if auth is not None:
            return _chosen(secret, auth, AuthMethod.SERVICE_ACCOUNT, note)
    return ChosenCredential(None, ANONYMOUS, note)


def _chosen(secret: SecretCredentials, auth: RegistryAuth, method: AuthMethod, note: str = "") -> ChosenCredential:
    shown = AuthStatus(method=method.value, secret_ref=SecretReference(name=secret.name))
    return ChosenCredential(auth, shown, note)


def _unusable(account: str, place: int) -> str:
    """Say which entry was passed over by its position, as its text is no name and is not repeated."""
    return f"imagePullSecrets[{place}] of ServiceAccount {account!r} is not the name of a Secret and was passed over."
