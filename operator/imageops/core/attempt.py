"""An attempt in progress, as a decision sees it."""

from dataclasses import dataclass, field
from datetime import datetime

from imageops.api.reasons import Reason
from imageops.api.status import Progress
from imageops.core.effects import Purpose
from imageops.core.outcome import Facts, Outcome


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
