"""Tell a credential that was good and is no longer from one that never was."""

from imageops.api.reasons import Reason


def refused_credential(*, changed: bool, accepted_before: bool, accepted_now: bool) -> Reason:
    """Name the reason for the refusal of a credential in the middle of an attempt.

    One that the registry took at first and takes no longer has expired or was revoked; one that it still takes lacks a
    right, which no retry mends.

    Args:
        changed: Whether the Secret holds another credential by now.
        accepted_before: Whether the registry answered a question under it in the same attempt.
        accepted_now: Whether it answers the same question after the refusal.

    """
    return Reason.AUTH_EXPIRED if changed or (accepted_before and not accepted_now) else Reason.AUTH_FAILED
