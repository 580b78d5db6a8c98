from __future__ import annotations

import pytest

from imageops.access.credential_choice import ChosenCredential, Refusals, meaning, next_one
from imageops.access.resolution import ANONYMOUS, Candidate, Candidates
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.status import AuthMethod, AuthStatus, SecretReference
from imageops.engine.protocol import RegistryAuth

NOBODY = Candidate(None, ANONYMOUS)
ABSENT = OperationError(Reason.SECRET_NOT_FOUND, "There is no Secret 'late'.")
REFUSED = OperationError(Reason.AUTH_FAILED)


def candidate(name: str, password: str = "planted-password") -> Candidate:
    """Make the credential of a Secret."""
    shown = AuthStatus(method=AuthMethod.SERVICE_ACCOUNT.value, secret_ref=SecretReference(name=name))
    return Candidate(RegistryAuth(username=name, password=password, server="registry.example"), shown)


def tried(candidates: Candidates, refusals: Refusals, error: OperationError) -> tuple[list[str], OperationError]:
    """Fail with each credential in turn; return the Secrets that were tried, and what it comes down to."""
    names: list[str] = []
    while True:
        try:
            chosen = next_one(candidates, refusals)
        except OperationError as end:
            return names, end
        names.append(chosen.shown.secret_ref.name if chosen.shown.secret_ref is not None else "")
        told = meaning(error, chosen, refusals)
        if told is not None:
            return names, told


@pytest.mark.feature("cred.kubelet")
@pytest.mark.parametrize("reason", [Reason.AUTH_FAILED, Reason.IMAGE_NOT_FOUND])
def test_each_credential_has_its_turn_once(reason: Reason) -> None:
    """A refusal of the last is the end; a registry may also hide an image from an account."""
    pair = Candidates(in_order=(candidate("first"), candidate("second")))
    names, told = tried(pair, Refusals(1), OperationError(reason))
    assert (names, told.reason) == (["first", "second"], reason)


@pytest.mark.feature("cred.kubelet")
@pytest.mark.parametrize("reason", [Reason.DAEMON_ERROR, Reason.REGISTRY_UNAVAILABLE, Reason.RATE_LIMITED])
def test_what_is_not_the_credentials_fault_is_no_turn(reason: Reason) -> None:
    """The next attempt begins with the same one."""
    refusals = Refusals(1)
    pair = Candidates(in_order=(candidate("first"), candidate("second")))
    for _ in range(2):
        names, told = tried(pair, refusals, OperationError(reason))
        assert (names, told.reason) == (["first"], reason)


@pytest.mark.feature("cred.kubelet")
@pytest.mark.feature("cred.wrong-once")
def test_what_was_refused_is_not_sent_again_in_the_run() -> None:
    """Not in a later attempt, and not out of another Secret; another password in the same Secret is another one."""
    refusals = Refusals(1)
    pair = Candidates(in_order=(candidate("first"), candidate("second")))
    assert meaning(REFUSED, next_one(pair, refusals), refusals) is None
    later = next_one(pair, refusals)
    assert (later.shown.secret_ref, later.others_left) == (SecretReference(name="second"), False)
    assert "Secret 'first' (refused)" in later.note
    renewed = Candidates(in_order=(candidate("first", "renewed"), candidate("second")))
    assert next_one(renewed, refusals).shown.secret_ref == SecretReference(name="first")


@pytest.mark.feature("cred.late-secret")
@pytest.mark.feature("cred.kubelet")
@pytest.mark.parametrize("there", [NOBODY, candidate("stale")], ids=["anonymous", "stale"])
def test_a_refusal_while_a_listed_secret_is_absent_is_a_wait(there: Candidate) -> None:
    """The registry is not asked again until there is something new to ask it with."""
    refusals = Refusals(1)
    waiting = Candidates(in_order=(there,), passed_over=("Secret 'late' (not to be had now)",), awaited=ABSENT)
    names, told = tried(waiting, refusals, REFUSED)
    assert (len(names), told.reason) == (1, Reason.SECRET_NOT_FOUND)
    assert ("'late'" in told.message, "'late'" in told.hint) == (True, True)
    again, told = tried(waiting, refusals, REFUSED)
    assert (again, told.reason) == ([], Reason.SECRET_NOT_FOUND)
    arrived = Candidates(in_order=(candidate("late"),))
    assert next_one(arrived, refusals).auth == candidate("late").auth


@pytest.mark.feature("cred.kubelet")
def test_an_image_that_is_absent_is_waited_for_by_nobody() -> None:
    """It ends the run, with what was gone without."""
    waiting = Candidates(in_order=(NOBODY,), passed_over=("Secret 'late' (not to be had now)",), awaited=ABSENT)
    _, told = tried(waiting, Refusals(1), OperationError(Reason.IMAGE_NOT_FOUND))
    assert (told.reason, "'late'" in told.hint) == (Reason.IMAGE_NOT_FOUND, True)


def test_the_end_of_all_is_forgotten() -> None:
    """So that the next check of the image, which is in the same run, sees what has changed at the registry."""
    refusals = Refusals(1)
    pair = Candidates(in_order=(candidate("first"), candidate("second")))
    for _ in range(2):
        names, told = tried(pair, refusals, REFUSED)
        assert (names, told.reason) == (["first", "second"], Reason.AUTH_FAILED)


def test_nothing_left_is_a_refusal() -> None:
    """As where the Secret that was not refused is gone from the list since; the hint tells what was."""
    refusals = Refusals(1)
    pair = Candidates(in_order=(candidate("first"), candidate("second")))
    assert meaning(REFUSED, next_one(pair, refusals), refusals) is None
    with pytest.raises(OperationError) as caught:
        next_one(Candidates(in_order=(candidate("first"),)), refusals)
    assert (caught.value.reason, "Secret 'first' (refused)" in caught.value.hint) == (Reason.AUTH_FAILED, True)


@pytest.mark.feature("cred.kubelet")
def test_a_hint_tells_of_a_few_and_counts_the_rest() -> None:
    """It keeps room for what to do."""
    passed = tuple(f"Secret {('x' * 40)!r} (no usable credentials)" for _ in range(60))
    chosen = next_one(Candidates(in_order=(NOBODY,), passed_over=passed, advice="Name one."), Refusals(1))
    assert "and 56 more" in chosen.note
    assert chosen.note.endswith("Name one.")
    assert len(chosen.note) < 400
    long = candidate("n" * 253)
    assert len(long.label) < 60
    assert next_one(Candidates(in_order=(NOBODY,)), Refusals(1)) == ChosenCredential(None, ANONYMOUS)


def test_nothing_of_a_credential_is_kept() -> None:
    """What is remembered is a hash under a key of the process, and shows in no text."""
    refusals = Refusals(1)
    auth = candidate("first").auth
    refusals.add(auth)
    assert auth in refusals
    assert None not in refusals
    assert "planted" not in repr(refusals)


@pytest.mark.feature("cred.kubelet")
def test_one_that_has_expired_leaves_its_turn_and_the_last_is_read_anew() -> None:
    """The first of two is not sent again, the second may be renewed; one alone may be renewed as well."""
    expired = OperationError(Reason.AUTH_EXPIRED)
    refusals = Refusals(1)
    pair = Candidates(in_order=(candidate("stale"), candidate("renewed")))
    for names in (["stale", "renewed"], ["renewed"]):
        assert tried(pair, refusals, expired) == (names, expired)
    alone = Candidates(in_order=(candidate("only"),))
    for _ in range(2):
        assert tried(alone, Refusals(1), expired) == (["only"], expired)


@pytest.mark.feature("cred.kubelet")
def test_words_that_nobody_knows_leave_the_turn_where_they_may_mean_the_password() -> None:
    """Where the credential was taken before they are those of a fault that passes."""
    pair = Candidates(in_order=(candidate("first"), candidate("second")))
    unknown = OperationError(Reason.REGISTRY_ERROR, repeated=False)
    names, told = tried(pair, Refusals(1), unknown)
    assert (names, told.reason, told.repeated) == (["first", "second"], Reason.REGISTRY_ERROR, False)
    assert tried(pair, Refusals(1), OperationError(Reason.REGISTRY_ERROR))[0] == ["first"]


@pytest.mark.feature("cred.kubelet")
def test_what_was_passed_over_is_told_by_the_operation_itself() -> None:
    """With its own words and no other's, as the refusal may be that of a stream which others share."""
    refused = OperationError(Reason.AUTH_FAILED, hint="Check it.")
    told = meaning(refused, ChosenCredential(None, ANONYMOUS, "Something was passed over."), Refusals(1))
    assert told is not None
    assert (told.reason, told.hint, refused.hint) == (
        Reason.AUTH_FAILED,
        "Something was passed over. Check it.",
        "Check it.",
    )
