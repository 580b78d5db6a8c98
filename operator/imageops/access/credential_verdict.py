"""Tell a credential that was good and is no longer from one that never was, and both from a fault that passes."""

from dataclasses import dataclass

from imageops.api.reasons import Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a refusal comes to."""

    reason: Reason
    repeated: bool = True
    """False where a retryable reason is final for this run: a credential that may be wrong is not sent again."""


def refused_credential(*, changed: bool, accepted_before: bool, accepted_now: bool, doubtful: bool) -> Verdict:
    """Judge the refusal of a credential.

    One that the registry took before in this run and takes no longer has expired or was revoked. One that it still
    takes lacks a right, which no retry mends, unless the words could as well be those of a fault that passes.

    Args:
        changed: Whether the Secret holds another credential by now.
        accepted_before: Whether the registry answered a question under it before in the same run.
        accepted_now: Whether it answers the same question after the refusal.
        doubtful: Whether the words of the refusal leave open what it was.

    """
    if changed or (accepted_before and not accepted_now):
        return Verdict(Reason.AUTH_EXPIRED)
    return Verdict(Reason.REGISTRY_ERROR if accepted_before and doubtful else Reason.AUTH_FAILED)


def unknown_words(*, sent: bool, changed: bool, accepted_before: bool) -> Verdict:
    """Judge words that nobody knows: they may mean a wrong password, which must not be sent again and again.

    Args:
        sent: Whether a credential was sent.
        changed: Whether the Secret holds another credential by now.
        accepted_before: Whether the registry answered a question under it before in the same run.

    """
    return Verdict(Reason.REGISTRY_ERROR, repeated=not sent or changed or accepted_before)
