"""Say how long to wait before the next try.

Delays double and carry equal jitter: half of the delay is fixed, half is drawn. The draw is a hash of the object and
the try, so a decision made twice from the same facts is the same decision.
"""

import hashlib

RETRY_BASE_SECONDS = 5.0
RETRY_LIMIT_SECONDS = 300.0
WAIT_BASE_SECONDS = 5.0
WAIT_LIMIT_SECONDS = 60.0


def retry_delay(failed_attempts: int, *, key: str) -> float:
    """Return the seconds before the attempt that follows `failed_attempts` failures (1 or more).

    Between half and all of 5 s doubling to 5 min.
    """
    full = min(RETRY_LIMIT_SECONDS, RETRY_BASE_SECONDS * 2.0 ** min(failed_attempts - 1, 16))
    return full / 2 + full / 2 * _draw(f"{key}/{failed_attempts}")


def wait_delay(previous: float | None) -> float:
    """Return the seconds before something that was missing is looked at again: 5 s doubling to 60 s."""
    if previous is None:
        return WAIT_BASE_SECONDS
    return min(WAIT_LIMIT_SECONDS, max(WAIT_BASE_SECONDS, previous * 2))


def _draw(key: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / 2**48
