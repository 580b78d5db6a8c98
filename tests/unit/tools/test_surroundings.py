from __future__ import annotations

from collections.abc import Callable

import pytest

from imageops.access.resolution import ANONYMOUS
from imageops.access.turns import ChosenCredential
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.engine.protocol import RegistryAuth
from imageops.tools.surroundings import RegistryAccess
from tests.support.recording_engine import FixedCredentials, RecordingEngine

REF = Reference.parse("registry.example/app:1")
GOOD = RegistryAuth(username="anna", password="planted", server="registry.example")
NEXT = RegistryAuth(username="anna", password="second", server="registry.example")

Happening = Callable[[RecordingEngine, FixedCredentials], None]


def nothing(_: RecordingEngine, __: FixedCredentials) -> None:
    """Leave all as it is."""


def revoked(engine: RecordingEngine, _: FixedCredentials) -> None:
    """Have the registry refuse the credential from now on."""
    engine.failures["distribution"] = OperationError(Reason.AUTH_FAILED)


def rotated(_: RecordingEngine, credentials: FixedCredentials) -> None:
    """Put another credential into the Secret."""
    credentials.auth = NEXT


def withdrawn(_: RecordingEngine, credentials: FixedCredentials) -> None:
    """Delete the Secret."""
    credentials.failure = Reason.SECRET_NOT_FOUND


def away(engine: RecordingEngine, _: FixedCredentials) -> None:
    """Have the registry answer no more."""
    engine.failures["distribution"] = OperationError(Reason.REGISTRY_UNAVAILABLE)


async def dealt(access: RegistryAccess, happening: Callable[[], None]) -> None:
    """Be refused after something has happened."""
    async with access.judged():
        happening()
        raise OperationError(Reason.AUTH_FAILED)


async def refused(happening: Happening, *, asked: bool = True, auth: RegistryAuth | None = GOOD) -> OperationError:
    """Return what comes of a refusal in the middle of a transfer."""
    engine, credentials = RecordingEngine(), FixedCredentials(auth)
    access = RegistryAccess(engine, credentials, REF, ChosenCredential(auth, ANONYMOUS, "Something was passed over."))
    if asked:
        await access.lookup()
    with pytest.raises(OperationError) as caught:
        await dealt(access, lambda: happening(engine, credentials))
    return caught.value


@pytest.mark.feature("cred.rotation")
@pytest.mark.parametrize(
    ("happening", "reason"),
    [
        (nothing, Reason.AUTH_FAILED),
        (revoked, Reason.AUTH_EXPIRED),
        (rotated, Reason.AUTH_EXPIRED),
        (withdrawn, Reason.AUTH_EXPIRED),
        (away, Reason.AUTH_FAILED),
    ],
)
async def test_what_became_of_the_credential_decides_why_it_was_refused(happening: Happening, reason: Reason) -> None:
    """One that the registry took and takes no longer, or that has a successor, has expired; no password is named."""
    error = await refused(happening)
    assert error.reason is reason
    assert "planted" not in f"{error!r} {error.message} {error.hint}"


@pytest.mark.feature("cred.wrong-once")
async def test_a_credential_that_was_never_good_is_not_tried_again() -> None:
    """The registry is not asked a second time, so no account is locked; a new Secret is still seen."""
    engine, credentials = RecordingEngine(), FixedCredentials(GOOD)
    engine.failures["distribution"] = OperationError(Reason.AUTH_FAILED)
    access = RegistryAccess(engine, credentials, REF, ChosenCredential(GOOD, ANONYMOUS))
    with pytest.raises(OperationError) as caught:
        async with access.judged():
            await access.lookup()
    assert caught.value.reason is Reason.AUTH_FAILED
    assert engine.calls == [f"distribution {REF}"]
    assert (await refused(rotated, asked=False)).reason is Reason.AUTH_EXPIRED


async def test_without_a_credential_nothing_can_have_expired() -> None:
    """An anonymous pull that is refused has failed."""
    error = await refused(revoked, auth=None)
    assert error.reason is Reason.AUTH_FAILED
    assert error.hint == f"Something was passed over. {Reason.AUTH_FAILED.hint}"


async def test_other_errors_pass() -> None:
    """A refusal is the only thing that is looked into."""
    engine = RecordingEngine()
    access = RegistryAccess(engine, FixedCredentials(GOOD), REF, ChosenCredential(GOOD, ANONYMOUS))
    with pytest.raises(OperationError) as caught:
        async with access.judged():
            raise OperationError(Reason.TIMED_OUT)
    assert (caught.value.reason, engine.calls) == (Reason.TIMED_OUT, [])
