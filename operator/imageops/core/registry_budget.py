"""Spare a registry: one rate for all that use it with one credential, and a pause after it said 429.

The Engine hides Retry-After, so a pause starts at 60 s and doubles to 15 min; where a text shows the time, that counts
instead. After a pause one goes ahead; if it gets through the pause is lifted for all, if not it doubles.
"""

from dataclasses import dataclass

from imageops.core.backoff import Backoff
from imageops.core.token_bucket import TokenBucket

PAUSE = Backoff(base=60.0, limit=900.0)
"""The pauses that the operator chooses, in seconds."""
PAUSE_LEAST_SECONDS = 1.0
"""A pause that a registry tells is held to this and to the limit."""
PROBE_WAIT_SECONDS = 5.0
"""For those who wait for the one that went ahead."""


@dataclass(slots=True)
class RegistryBudget:
    """The budget of one registry and credential. Times are seconds of one monotonic clock."""

    bucket: TokenBucket
    """The operations that may start."""
    pause: float = 0.0
    """Length of the present pause; 0 = none."""
    paused_until: float = 0.0
    probe: str | None = None
    """The ticket that went ahead after a pause."""

    def enter(self, ticket: str, now: float) -> float:
        """Return 0 if an operation may start, else the seconds after which to ask again."""
        if self.pause:
            if now < self.paused_until:
                return self.paused_until - now
            if self.probe is not None and self.probe != ticket:
                return PROBE_WAIT_SECONDS
            self.probe = ticket
        return self.bucket.take(now)

    def refused(self, now: float, *, told: float | None) -> float:
        """Take note of a 429, with the wait that the registry told; return the length of the pause that begins."""
        if now >= self.paused_until:  # those already under way when the pause began do not lengthen it
            own = PAUSE.after_delay(self.pause)
            self.pause = own if told is None else min(PAUSE.limit, max(PAUSE_LEAST_SECONDS, told))
            self.paused_until = now + self.pause
        self.probe = None
        return self.paused_until - now

    def passed(self, now: float) -> None:
        """Take note that the registry served one: a pause that is over is lifted."""
        if now >= self.paused_until:
            self.pause, self.probe = 0.0, None

    def left(self, ticket: str) -> None:
        """Take note that one ended without an answer from the registry."""
        if self.probe == ticket:
            self.probe = None

    def idle(self, now: float) -> bool:
        """Tell whether nothing would be lost by forgetting this budget."""
        return not self.pause and self.bucket.is_full(now)
