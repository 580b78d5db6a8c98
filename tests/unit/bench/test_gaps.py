from __future__ import annotations

from bench.gaps import share_in_gaps


def test_what_a_busy_loop_misses_was_taken() -> None:
    """A gap counts whole, and looks that follow one another closely are no gap."""
    assert share_in_gaps([0, 200, 400, 6_400, 6_600, 12_600, 16_000]) == (6_000 + 6_000 + 3_400) / 16_000


def test_a_quiet_machine_takes_nothing() -> None:
    """The looks themselves are not held against it."""
    assert share_in_gaps(range(0, 100_000, 2_000)) == 0
