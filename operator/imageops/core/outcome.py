"""What an attempt learned and how it ended."""

from dataclasses import dataclass, field
from datetime import datetime

from imageops.api.reasons import Reason
from imageops.api.status import AuthStatus, DaemonStatus, ImageStatus, PreviousImage, Progress
from imageops.core.effects import Purpose


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt that this process is carrying out, as it stands at the moment of a decision."""

    run: int
    number: int
    started: datetime
    purpose: Purpose = Purpose.RUN
    queued: bool = False
    """Whether it waits for its turn: its time has not begun, and there is nothing to show."""
    facts: Facts = field(default_factory=Facts)
    progress: Progress | None = None
    checkpoint: bool = False
    """Whether it waits for what it is about to replace to be on record."""
    stopping: Reason | None = None
    outcome: Outcome | None = None
