"""Try credentials in turn: which one comes next in a run, and what the refusal of the last one means."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from imageops.access.resolution import Candidate, Candidates
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.status import AuthStatus
from imageops.engine.protocol import RegistryAuth

_KEY = secrets.token_bytes(32)
"""Of this process alone: what is remembered of a credential is of no use anywhere else."""
_MAY_BE_THE_CREDENTIAL = frozenset({Reason.AUTH_FAILED, Reason.IMAGE_NOT_FOUND})
_MOST_TOLD = 4
"""Things that a hint tells of; it has room for no more."""


@dataclass(frozen=True, slots=True)
class ChosenCredential:
    """The credential in use, and what may be said of it."""

    auth: RegistryAuth | None
    shown: AuthStatus
    note: str = ""
    """What was passed over, in our own words: what to know if the registry refuses."""
    others_left: bool = False
    """Whether another one can be tried if the registry refuses this one."""
    awaited: OperationError | None = None
    """What a refusal comes down to while a Secret that is named is absent: SecretNotFound."""


@dataclass(slots=True)
class Refusals:
    """What a registry refused in one run, so that nothing is tried twice. It is kept in memory only, and hashed."""

    run: int = 0
    _marks: set[bytes] = field(default_factory=set)

    def add(self, auth: RegistryAuth | None) -> None:
        """Remember a credential, or that there was none."""
        self._marks.add(_mark(auth))

    def forget(self) -> None:
        """Begin anew."""
        self._marks.clear()

    def copy(self) -> "Refusals":
        """Return what is known, apart: what is added there is not added here."""
        return Refusals(self.run, set(self._marks))

    def __contains__(self, auth: RegistryAuth | None) -> bool:
        return _mark(auth) in self._marks


def next_one(candidates: Candidates, refusals: Refusals) -> ChosenCredential:
    """Return the first credential that was not refused in the run.

    Raises:
        OperationError: All were. SecretNotFound while a listed Secret is absent, else AuthFailed.

    """
    left: list[Candidate] = []
    refused: list[str] = []
    for one in candidates.in_order:
        if one.auth not in refusals:
            left.append(one)
        elif one.auth is not None:
            refused.append(f"{one.label} (refused)")
    note = _note([*refused, *candidates.passed_over], candidates.advice)
    awaited = _waiting(candidates.awaited, note) if candidates.awaited is not None else None
    if not left:
        raise awaited or OperationError(Reason.AUTH_FAILED, hint=f"{note} {Reason.AUTH_FAILED.hint}".lstrip())
    return ChosenCredential(left[0].auth, left[0].shown, note, len(left) > 1, awaited)


def meaning(error: OperationError, chosen: ChosenCredential, refusals: Refusals) -> OperationError | None:
    """Say what an operation's failure under a credential comes down to; None = it is another credential's turn.

    A registry that hides what an account may not see answers as if there were no such image, so that counts as well. So
    do words that nobody knows about a credential that nothing has accepted: they are not repeated with the same one.
    One that has expired leaves its turn to another; the last of them is read anew.
    """
    unknown_words = error.reason is Reason.REGISTRY_ERROR and not error.repeated
    expired = error.reason is Reason.AUTH_EXPIRED and chosen.others_left
    if error.reason not in _MAY_BE_THE_CREDENTIAL and not unknown_words and not expired:
        return error
    refusals.add(chosen.auth)
    if chosen.others_left:
        return None
    if error.reason is Reason.AUTH_FAILED and chosen.awaited is not None:
        return chosen.awaited
    refusals.forget()  # it is the end of the run, or of one check of many, the next of which is to see what has changed
    if not chosen.note:
        return error
    # Here and not where it was refused: that may be a stream that objects of other namespaces share.
    return OperationError(error.reason, error.message, hint=f"{chosen.note} {error.hint}", repeated=error.repeated)


def _waiting(absent: OperationError, note: str) -> OperationError:
    message = f"The registry refuses what there is. {absent.message}"
    return OperationError(Reason.SECRET_NOT_FOUND, message, hint=f"{note} {absent.hint}".lstrip())


def _note(passed_over: Iterable[str], advice: str) -> str:
    told = list(passed_over)
    more = f", and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    listed = f"Passed over: {', '.join(told[:_MOST_TOLD])}{more}." if told else ""
    return f"{listed} {advice}".strip()


def _mark(auth: RegistryAuth | None) -> bytes:
    values = () if auth is None else (auth.username, auth.password, auth.identity_token, auth.registry_token)
    return hashlib.blake2b(repr(values).encode(errors="surrogatepass"), key=_KEY, digest_size=16).digest()
