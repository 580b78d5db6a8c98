"""Keep the bounded record of attempts: oldest first, one entry an attempt, opened at its start and closed once."""

from datetime import datetime

from imageops.api.reasons import Reason
from imageops.api.status import HISTORY_LENGTH, HistoryEntry, HistoryOutcome, OperationStatus


def newest(status: OperationStatus) -> HistoryEntry | None:
    """Return the entry of the last attempt."""
    return status.history[-1] if status.history else None


def open_entry(status: OperationStatus) -> HistoryEntry | None:
    """Return the entry of an attempt that began and was never closed."""
    entry = newest(status)
    return entry if entry is not None and entry.completion_time is None else None


def opened(status: OperationStatus, entry: HistoryEntry) -> OperationStatus:
    """Add the entry of an attempt that begins; the oldest one makes room and is counted."""
    entries = (*status.history, entry)
    dropped = max(0, len(entries) - HISTORY_LENGTH)
    return status.model_copy(
        update={"history": entries[dropped:], "history_dropped": status.history_dropped + dropped},
    )


def closed(  # noqa: PLR0913 - the facts of one entry
    status: OperationStatus,
    *,
    outcome: HistoryOutcome,
    reason: Reason,
    now: datetime,
    duration_milliseconds: int | None = None,
    digest: str | None = None,
    bytes_transferred: int | None = None,
) -> OperationStatus:
    """Close the open entry; without one the status is returned as it is."""
    entry = open_entry(status)
    if entry is None:
        return status
    if duration_milliseconds is None:
        duration_milliseconds = max(0, round((now - entry.start_time).total_seconds() * 1000))
    done = entry.model_copy(
        update={
            "completion_time": now,
            "outcome": outcome.value,
            "reason": reason.value,
            "digest": digest,
            "bytes_transferred": bytes_transferred,
            "duration_milliseconds": duration_milliseconds,
        },
    )
    return status.model_copy(update={"history": (*status.history[:-1], done)})


def withdrawn(status: OperationStatus) -> OperationStatus:
    """Take the open entry back: what was begun turned out to be a wait, not an attempt."""
    return status if open_entry(status) is None else status.model_copy(update={"history": status.history[:-1]})
