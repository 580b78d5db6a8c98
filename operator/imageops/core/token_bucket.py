"""Hold events to a rate, with a burst after a quiet time."""

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """A bucket of tokens, one for each event. Times are seconds of one monotonic clock."""

    rate: float
    """Tokens that come in per second."""
    burst: float
    """Tokens that it holds at most."""
    tokens: float
    filled: float
    """When the tokens were counted."""

    @classmethod
    def full(cls, rate: float, burst: float, now: float) -> "TokenBucket":
        """Return a bucket after a quiet time."""
        return cls(rate, burst, burst, now)

    def take(self, now: float) -> float:
        """Take a token and return 0; if there is none, return the seconds until there is one."""
        self._fill(now)
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0

    def reserve(self, now: float) -> float:
        """Take a token, of those to come if there is none, and return the seconds until it may be used."""
        self._fill(now)
        self.tokens -= 1
        return max(0.0, -self.tokens / self.rate)

    def is_full(self, now: float) -> bool:
        """Tell whether a new bucket would be the same."""
        return self.tokens + (now - self.filled) * self.rate >= self.burst

    def _fill(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
