"""Choose the credential of an operation for a registry host.

The operation's own Secret has to serve the host: falling back to anonymous would pull a public image of the same name
and call it success. What comes from further away (a Session, a ServiceAccount) serves the hosts it names and no other,
so that a public image stays pullable under it.
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

    async def image_pull_secrets(self, service_account: str) -> Sequence[str] | None:
        """Return the names under the ServiceAccount's `imagePullSecrets`; None if there is no such account."""
        ...


@dataclass(frozen=True, slots=True)
class ChosenCredential:
    """The credential in use, and what may be said of it."""

    auth: RegistryAuth | None
    shown: AuthStatus


async def resolve(
    host: str,
    *,
    own: CredentialSource,
    session: CredentialSource,
    reader: SecretReader,
) -> ChosenCredential:
    """Return the credential for a host; the nearest source that names one decides.

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
    return await _from_service_account(host, nearest.service_account, reader)


async def _from_service_account(host: str, account: str | None, reader: SecretReader) -> ChosenCredential:
    names = await reader.image_pull_secrets(account or DEFAULT_SERVICE_ACCOUNT)
    if names is None and account is not None:
        raise OperationError(Reason.SECRET_NOT_FOUND, f"There is no ServiceAccount {account!r} in this namespace.")
    for name in names or ():
        try:
            secret = await reader.secret(name)
        except OperationError as error:
            if account is None and error.reason is Reason.SECRET_NOT_FOUND:
                continue  # as the kubelet does: a Secret nobody made yet must not block a public image
            raise
        auth = secret.for_host(host)
        if auth is not None:
            return _chosen(secret, auth, AuthMethod.SERVICE_ACCOUNT)
    return ChosenCredential(None, ANONYMOUS)


def _chosen(secret: SecretCredentials, auth: RegistryAuth, method: AuthMethod) -> ChosenCredential:
    return ChosenCredential(auth, AuthStatus(method=method.value, secret_ref=SecretReference(name=secret.name)))
