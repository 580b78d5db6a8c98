from __future__ import annotations

import pytest

from imageops.access.lapse import refused_credential
from imageops.api.reasons import Reason


@pytest.mark.parametrize(
    ("changed", "before", "now", "reason"),
    [
        (False, False, False, Reason.AUTH_FAILED),
        (False, True, True, Reason.AUTH_FAILED),
        (False, True, False, Reason.AUTH_EXPIRED),
        (True, False, False, Reason.AUTH_EXPIRED),
        (True, True, False, Reason.AUTH_EXPIRED),
    ],
    ids=["never good", "good, and lacks the right", "good no longer", "changed since", "good once, and changed"],
)
def test_a_credential_has_lapsed_if_it_was_good_or_has_a_successor(
    *, changed: bool, before: bool, now: bool, reason: Reason
) -> None:
    """Everything else is a wrong one, which no retry mends."""
    assert refused_credential(changed=changed, accepted_before=before, accepted_now=now) is reason
