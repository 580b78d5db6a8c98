from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from imageops.core.lease import LeaseClaim, ObservedLease, Timing, given_back, next_claim, observe_lease

TIMING = Timing(15)
WRITTEN_AT = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
WRITTEN = "2026-01-02T03:04:05.000678Z"
THEIRS = LeaseClaim("other", 15, "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z", 4)


def claim(observed: ObservedLease | None, now: float) -> LeaseClaim | None:
    """Return what `me` would write."""
    return next_claim(observed, "me", TIMING, now=now, written_at=WRITTEN_AT)


def test_the_times_are_those_of_kubernetes_own_controllers() -> None:
    """And shorter ones keep their proportions."""
    assert (TIMING.renew_deadline, TIMING.retry_period) == (10, 2)
    assert Timing(3).renew_deadline == 2


def test_a_lease_that_does_not_exist_is_taken() -> None:
    """With no transition, as nobody had it before."""
    assert claim(None, 0) == LeaseClaim("me", 15, WRITTEN, WRITTEN, 0)


def test_one_that_was_given_back_is_taken_at_once() -> None:
    """Whatever the time."""
    assert claim(ObservedLease(given_back(THEIRS, written_at=WRITTEN_AT), 0), 0) == LeaseClaim(
        "me", 15, WRITTEN, WRITTEN, 5
    )


@pytest.mark.parametrize(("now", "transitions"), [(100, None), (114.9, None), (115, 5)])
def test_one_that_is_held_is_left_until_it_has_not_changed_for_its_whole_duration(
    now: float, transitions: int | None
) -> None:
    """Counted from when it was seen so first, on the clock of whoever looks."""
    written = claim(ObservedLease(THEIRS, 100), now)
    assert (written.transitions if written is not None else None) == transitions


def test_it_is_the_duration_in_the_lease_that_counts() -> None:
    """The holder of an older version may have another one."""
    assert claim(ObservedLease(replace(THEIRS, duration_seconds=60), 100), 130) is None


def test_the_clock_of_another_machine_means_nothing() -> None:
    """A renewal that is written with a time long past is one."""
    last = observe_lease(None, THEIRS, 100)
    assert observe_lease(last, THEIRS, 110) == last
    renewed = observe_lease(last, replace(THEIRS, renew_time="1999-01-01T00:00:00.000000Z"), 114)
    assert (renewed.since, claim(renewed, 116)) == (114, None)


def test_a_holder_renews_and_keeps_when_it_took_it() -> None:
    """Before and after the end of its own."""
    mine = replace(THEIRS, holder="me")
    for now in (101, 999):
        assert claim(ObservedLease(mine, 100), now) == replace(mine, renew_time=WRITTEN)


def test_a_spec_is_written_as_it_is_read() -> None:
    """And one that somebody left empty is nobody's."""
    assert LeaseClaim.read(THEIRS.spec()) == THEIRS
    assert LeaseClaim.read({}).holder == ""
    assert claim(ObservedLease(LeaseClaim.read({}), 0), 0) is not None
