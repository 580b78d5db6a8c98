"""Find the credentials that an operation may use for an image, in the order in which they are tried.

The operation's own Secret has to serve the image: falling back to anonymous would pull a public image of the same name
and call it success. What comes from further away (a Session, a ServiceAccount) serves the registries it names and no
other, so that a public image stays pullable under it. Of what a ServiceAccount lists, a Secret that is absent or of no
use is gone without, and told of only if the registry refuses. The ServiceAccount `default` serves pulls, as it serves
the pods of its namespace; a push writes, so it uses nothing that nobody named for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from imageops.access.credentials import MAX_TRIED, Match, SecretCredentials
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import AuthMethod, AuthStatus, SecretReference
from imageops.engine.protocol import RegistryAuth

ANONYMOUS = AuthStatus(method=AuthMethod.ANONYMOUS.value)
DEFAULT_SERVICE_ACCOUNT = "default"
MAX_LISTED = 32
"""Secrets of one ServiceAccount that are read at most; each is a request to the API server in each attempt."""
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
class Candidate:
    """A credential that may be tried."""

    auth: RegistryAuth | None
    """None = anonymous."""
    shown: AuthStatus

    @property
    def label(self) -> str:
        """What to call it in a sentence."""
        return f"Secret {_shortened(self.shown.secret_ref.name)!r}" if self.shown.secret_ref is not None else "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """All that may be tried for one image."""

    in_order: tuple[Candidate, ...]
    """The one to begin with first; at least one."""
    passed_over: tuple[str, ...] = ()
    """What is gone without, each with why, in our own words."""
    awaited: OperationError | None = None
    """The SecretNotFound of a listed Secret that is not there, which may be the one that it takes."""
    advice: str = ""
    """What else to say if the registry refuses."""


async def resolve(
    reference: Reference,
    *,
    own: CredentialSource,
    session: CredentialSource,
    reader: SecretReader,
    writes: bool,
) -> Candidates:
    """Return the credentials for an image; the nearest source that has one decides.

    Args:
        reference: The image in its registry.
        own: What the operation names.
        session: What its Session names.
        reader: The Secrets of the operation's namespace.
        writes: Whether the registry is to be written to: then the ServiceAccount `default` is not looked at.

    Raises:
        OperationError: SecretNotFound, SecretInvalid or CredentialHelperUnsupported.

    """
    if own.secret is not None:
        matches = (await reader.secret(own.secret)).for_image(reference.host, reference.repository)
        if not matches:
            raise OperationError(
                Reason.SECRET_INVALID,
                f"Secret {own.secret!r} has no entry for the registry {reference.host}, or none for this repository.",
            )
        return Candidates(in_order=_distinct(_candidates(own.secret, matches, AuthMethod.SECRET_REF)))
    nearest = own if own.service_account is not None else session
    if nearest.secret is not None:
        matches = (await reader.secret(nearest.secret)).for_image(reference.host, reference.repository)
        if matches:
            return Candidates(in_order=_distinct(_candidates(nearest.secret, matches, AuthMethod.SESSION)))
    if writes and nearest.service_account is None:
        return Candidates(in_order=(Candidate(None, ANONYMOUS),), advice=_NAME_ONE_FOR_A_PUSH)
    return await _of_service_account(reference, nearest.service_account, reader)


async def _of_service_account(reference: Reference, named: str | None, reader: SecretReader) -> Candidates:
    account = named or DEFAULT_SERVICE_ACCOUNT
    listed = await reader.image_pull_secrets(account)
    if listed is None and named is not None:
        raise OperationError(Reason.SECRET_NOT_FOUND, f"There is no ServiceAccount {account!r} in this namespace.")
    found: list[tuple[str, Candidate]] = []
    passed_over: list[str] = []
    awaited: OperationError | None = None
    for place, name in enumerate(dict.fromkeys(listed or ())):
        if place == MAX_LISTED:
            passed_over.append(f"all of ServiceAccount {account!r} behind the first {MAX_LISTED}")
            break
        if name is None:
            at = list(listed or ()).index(None)
            passed_over.append(f"imagePullSecrets[{at}] of ServiceAccount {account!r} (not the name of a Secret)")
            continue
        try:
            matches = (await reader.secret(name)).for_image(reference.host, reference.repository)
        except OperationError as error:
            awaited = awaited or (error if error.reason is Reason.SECRET_NOT_FOUND else None)
            passed_over.append(f"Secret {_shortened(name)!r} ({_FAULTS[error.reason]})")
            continue
        ranks = (match.rank for match in matches)
        found += zip(ranks, _candidates(name, matches, AuthMethod.SERVICE_ACCOUNT), strict=True)
    found.sort(key=lambda one: one[0], reverse=True)  # of equal ones the first in the list stays the first
    in_order = _distinct(candidate for _, candidate in found) or (Candidate(None, ANONYMOUS),)
    return Candidates(in_order=in_order, passed_over=tuple(passed_over), awaited=awaited)


_FAULTS = {
    Reason.SECRET_NOT_FOUND: "not to be had now",
    Reason.SECRET_INVALID: "no usable credentials",
    Reason.CREDENTIAL_HELPER_UNSUPPORTED: "names a credential helper",
}
_NAME_SHOWN = 40
"""Letters of a Secret's name in a hint that tells of several."""


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_SHOWN else f"{name[: _NAME_SHOWN - 1]}…"


def _candidates(secret: str, matches: Iterable[Match], method: AuthMethod) -> Iterable[Candidate]:
    shown = AuthStatus(method=method.value, secret_ref=SecretReference(name=secret))
    return (Candidate(match.auth, shown) for match in matches)


def _distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Drop what is the same credential once more, and all beyond those that are tried."""
    first: dict[RegistryAuth | None, Candidate] = {}
    for candidate in candidates:
        first.setdefault(candidate.auth, candidate)
    return tuple(first.values())[:MAX_TRIED]
