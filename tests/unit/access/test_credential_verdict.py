from __future__ import annotations

import pytest

from imageops.access.credential_verdict import Verdict, refused_credential, unknown_words
from imageops.api.reasons import Reason


@pytest.mark.parametrize(
    ("changed", "before", "now", "doubtful", "reason"),
    [
        (False, False, False, False, Reason.AUTH_FAILED),
        (False, False, False, True, Reason.AUTH_FAILED),
        (False, True, True, False, Reason.AUTH_FAILED),
        (False, True, True, True, Reason.REGISTRY_ERROR),
        (False, True, False, False, Reason.AUTH_EXPIRED),
        (True, False, False, False, Reason.AUTH_EXPIRED),
        (True, True, False, True, Reason.AUTH_EXPIRED),
    ],
    ids=[
        "never good",
        "never good, in vague words",
        "good, and lacks the right",
        "good, and refused in vague words",
        "good no longer",
        "changed since",
        "good once, and changed",
    ],
)
def test_a_credential_has_lapsed_if_it_was_good_or_has_a_successor(
    *, changed: bool, before: bool, now: bool, doubtful: bool, reason: Reason
) -> None:
    """Everything else is a wrong one, which no retry mends, or a fault that may pass."""
    verdict = refused_credential(changed=changed, accepted_before=before, accepted_now=now, doubtful=doubtful)
    assert verdict == Verdict(reason)


@pytest.mark.feature("cred.wrong-once")
@pytest.mark.parametrize(
    ("sent", "changed", "before", "repeated"),
    [(False, False, False, True), (True, False, False, False), (True, False, True, True), (True, True, False, True)],
    ids=["anonymous", "never taken", "taken before", "changed since"],
)
def test_unknown_words_repeat_no_credential_that_was_never_taken(
    *, sent: bool, changed: bool, before: bool, repeated: bool
) -> None:
    """They may mean a wrong password."""
    verdict = unknown_words(sent=sent, changed=changed, accepted_before=before)
    assert verdict == Verdict(Reason.REGISTRY_ERROR, repeated=repeated)
