from __future__ import annotations

import pytest

from imageops.api.reasons import Reason
from imageops.api.status import HISTORY_LENGTH, HistoryEntry, HistoryOutcome, OperationStatus
from imageops.core import history
from tests.support.builders import DIGEST, NOW, at


def entry(number: int, *, run: int = 1) -> HistoryEntry:
    """Make the entry of an attempt that begins."""
    return HistoryEntry(run=run, trigger="Spec", attempt=number, start_time=NOW)


@pytest.mark.feature("status.bounded")
def test_the_newest_10_attempts_stay_and_the_others_are_counted() -> None:
    """After 200 attempts there are 10 entries and 190 that are no longer there."""
    status = OperationStatus()
    for number in range(1, 201):
        status = history.opened(status, entry(number))
        status = history.closed(status, outcome=HistoryOutcome.FAILED, reason=Reason.DAEMON_ERROR, now=at(1))
    assert [one.attempt for one in status.history] == list(range(191, 201))
    assert len(status.history) == HISTORY_LENGTH
    assert status.history_dropped == 190


def test_an_entry_is_closed_once() -> None:
    """A second outcome finds nothing to close."""
    status = history.opened(OperationStatus(), entry(1))
    assert history.open_entry(status) == entry(1)
    done = history.closed(
        status,
        outcome=HistoryOutcome.SUCCEEDED,
        reason=Reason.PULLED,
        now=at(2),
        duration_milliseconds=1500,
        digest=DIGEST,
        bytes_transferred=7,
    )
    assert history.open_entry(done) is None
    assert done.history == (
        HistoryEntry(
            run=1,
            trigger="Spec",
            attempt=1,
            start_time=NOW,
            completion_time=at(2),
            outcome="Succeeded",
            reason="Pulled",
            digest=DIGEST,
            bytes_transferred=7,
            duration_milliseconds=1500,
        ),
    )
    assert history.closed(done, outcome=HistoryOutcome.FAILED, reason=Reason.TIMED_OUT, now=at(3)) == done


@pytest.mark.parametrize(("seconds", "milliseconds"), [(2, 2000), (-5, 0)], ids=["measured", "clock-set-back"])
def test_an_interrupted_attempt_took_as_long_as_the_clock_says(seconds: int, milliseconds: int) -> None:
    """Nobody measured it, and it never took less than nothing."""
    status = history.opened(OperationStatus(), entry(1))
    done = history.closed(status, outcome=HistoryOutcome.INTERRUPTED, reason=Reason.INTERRUPTED, now=at(seconds))
    assert done.history[0].duration_milliseconds == milliseconds


def test_a_wait_takes_its_entry_back() -> None:
    """What was begun and found only that something is missing was no attempt."""
    status = history.opened(OperationStatus(), entry(1))
    assert history.withdrawn(status).history == ()
    closed = history.closed(status, outcome=HistoryOutcome.FAILED, reason=Reason.TIMED_OUT, now=at(1))
    assert history.withdrawn(closed) == closed
    assert history.newest(OperationStatus()) is None
