"""What an attempt learned and how it ended."""

from dataclasses import dataclass

from imageops.api.reasons import Reason
from imageops.api.status import AuthStatus, DaemonStatus, ImageStatus, PreviousImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an attempt has learned so far, each read from a daemon, a registry or the API server, or absent."""

    daemon: DaemonStatus | None = None
    auth: AuthStatus | None = None
    image: ImageStatus | None = None
    previous: PreviousImage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended."""

    reason: Reason
    message: str
    hint: str | None = None
    retry_after: float | None = None
    """Least seconds before the next try, where the other side said so."""
    repeated: bool = True
    """False for a retryable reason that in this case ends the run."""
    duration_milliseconds: int = 0
    bytes_transferred: int | None = None
