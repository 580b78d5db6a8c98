from __future__ import annotations

from collections.abc import Callable

import pytest

from imageops.access.credential_choice import ChosenCredential
from imageops.access.resolution import ANONYMOUS
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.engine.protocol import RegistryAuth
from imageops.tools.daemon import Daemon
from imageops.tools.limits import Requester
from imageops.tools.registry_access import RegistryAccess
from tests.support.recording_engine import FixedCredentials, RecordingEngine, daemon

REF = Reference.parse("registry.example/app:1")
GOOD = RegistryAuth(username="anna", password="planted", server="registry.example")
NEXT = RegistryAuth(username="anna", password="second", server="registry.example")

WHO = Requester("uid", "team", run=1)

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


async def dealt(access: RegistryAccess, happening: Callable[[], None], error: OperationError) -> None:
    """Be refused after something has happened."""
    async with access.explaining_refusals():
        happening()
        raise error


async def refused(
    happening: Happening = nothing,
    *,
    asked: bool = True,
    auth: RegistryAuth | None = GOOD,
    error: OperationError | None = None,
    place: Daemon | None = None,
) -> OperationError:
    """Return what comes of a refusal in the middle of a transfer."""
    engine, credentials = RecordingEngine(), FixedCredentials(auth)
    chosen = ChosenCredential(auth, ANONYMOUS, "Something was passed over.")
    access = RegistryAccess(place or daemon(engine), credentials, WHO, REF, chosen)
    if asked:
        await access.lookup()
    with pytest.raises(OperationError) as caught:
        await dealt(access, lambda: happening(engine, credentials), error or OperationError(Reason.AUTH_FAILED))
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
    access = RegistryAccess(daemon(engine), credentials, WHO, REF, ChosenCredential(GOOD, ANONYMOUS))
    with pytest.raises(OperationError) as caught:
        async with access.explaining_refusals():
            await access.lookup()
    assert caught.value.reason is Reason.AUTH_FAILED
    assert engine.calls == [f"distribution {REF}"]
    assert (await refused(rotated, asked=False)).reason is Reason.AUTH_EXPIRED


async def test_without_a_credential_nothing_can_have_expired() -> None:
    """An anonymous pull that is refused has failed."""
    error = await refused(revoked, auth=None)
    assert (error.reason, error.hint) == (Reason.AUTH_FAILED, Reason.AUTH_FAILED.hint)


@pytest.mark.feature("error.public-reports")
async def test_vague_words_do_not_condemn_a_credential_that_was_taken() -> None:
    """They may be those of a fault that passes, so it is tried again; the hint names what it is if it repeats."""
    error = await refused(error=OperationError(Reason.AUTH_FAILED, doubtful=True))
    assert (error.reason, error.repeated) == (Reason.REGISTRY_ERROR, True)
    assert "lacks a right" in error.hint
    assert "Secret" not in error.hint


@pytest.mark.feature("cred.wrong-once")
@pytest.mark.feature("error.public-reports")
@pytest.mark.parametrize(("auth", "asked", "repeated"), [(GOOD, False, False), (GOOD, True, True), (None, False, True)])
async def test_unknown_words_are_tried_again_unless_they_may_mean_a_password(
    *, auth: RegistryAuth | None, asked: bool, repeated: bool
) -> None:
    """A credential that nothing has accepted in this run is sent once."""
    error = await refused(asked=asked, auth=auth, error=OperationError(Reason.REGISTRY_ERROR))
    assert (error.reason, error.repeated) == (Reason.REGISTRY_ERROR, repeated)


@pytest.mark.feature("error.public-reports")
async def test_what_was_accepted_in_an_earlier_attempt_of_the_run_counts() -> None:
    """A registry that fails in unknown words at the second attempt's first question is asked again."""
    engine = RecordingEngine()
    place = daemon(engine)
    await RegistryAccess(place, FixedCredentials(GOOD), WHO, REF, ChosenCredential(GOOD, ANONYMOUS)).lookup()
    second = await refused(asked=False, error=OperationError(Reason.REGISTRY_ERROR), place=place)
    assert second.repeated
    assert (await refused(asked=False, place=place)).reason is Reason.AUTH_EXPIRED


async def test_other_errors_pass() -> None:
    """A refusal is the only thing that is looked into."""
    engine = RecordingEngine()
    access = RegistryAccess(daemon(engine), FixedCredentials(GOOD), WHO, REF, ChosenCredential(GOOD, ANONYMOUS))
    with pytest.raises(OperationError) as caught:
        async with access.explaining_refusals():
            raise OperationError(Reason.TIMED_OUT)
    assert (caught.value.reason, engine.calls) == (Reason.TIMED_OUT, [])
