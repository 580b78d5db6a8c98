"""Say how long to wait before the next try: delays that double, up to a limit.

The retries of a run carry equal jitter: half of the delay is fixed, half is drawn. The draw is a hash of the object and
the try, so a decision made twice from the same facts is the same decision.
"""

import hashlib
from dataclasses import dataclass

_MAX_DOUBLINGS = 16
"""Beyond all limits, and far below what a number holds."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds, from a base that doubles to a limit."""

    base: float
    limit: float

    def after_failures(self, failures: int) -> float:
        """Return the delay after so many failures in a row (1 or more)."""
        return min(self.limit, self.base * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))

    def after_delay(self, previous: float | None) -> float:
        """Return the delay that follows another one; None = the first."""
        return min(self.limit, max(self.base, (previous or 0.0) * 2))


RETRY = Backoff(base=5.0, limit=300.0)
"""Between the attempts of a run."""
WAIT = Backoff(base=5.0, limit=60.0)
"""Between looks for something that is missing, and between requests that the API server refuses for now."""


def retry_delay(failed_attempts: int, *, key: str) -> float:
    """Return the seconds before the attempt that follows so many failures (1 or more): half to all of RETRY's."""
    full = RETRY.after_failures(failed_attempts)
    return full / 2 + full / 2 * _draw(f"{key}/{failed_attempts}")


def _draw(key: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / 2**48
