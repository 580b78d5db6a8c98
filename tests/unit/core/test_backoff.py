from __future__ import annotations

import random
from statistics import mean

import pytest

from imageops.core.backoff import WAIT, retry_delay

DELAYS = 10_000


@pytest.mark.feature("retry.backoff")
def test_delays_double_from_5_seconds_to_5_minutes_with_equal_jitter() -> None:
    """Each of 10,000 delays lies between half and all of its step, whatever the key."""
    draw = random.Random(1)  # noqa: S311 - repeatable, guards nothing
    shares: dict[int, list[float]] = {}
    for number in range(DELAYS):
        failures = draw.choice((1, 2, 3, 4, 5, 6, 7, 8, 11, 1000))
        full = min(300.0, 5.0 * 2.0 ** min(failures - 1, 20))
        delay = retry_delay(failures, key=f"uid-{number}/1")
        assert full / 2 <= delay < full
        shares.setdefault(failures, []).append((delay - full / 2) / (full / 2))
    for drawn in shares.values():
        assert 0.45 < mean(drawn) < 0.55
        assert min(drawn) < 0.05
        assert max(drawn) > 0.95


@pytest.mark.feature("retry.backoff")
def test_a_delay_is_the_same_whenever_it_is_asked_for() -> None:
    """A decision made twice from the same facts is the same decision."""
    assert retry_delay(3, key="a") == retry_delay(3, key="a")
    assert len({retry_delay(3, key=str(key)) for key in range(100)}) == 100


@pytest.mark.feature("retry.backoff")
def test_waits_double_from_5_seconds_to_one_minute() -> None:
    """Something that is missing is looked at again soon, and then less often."""
    delays = [WAIT.after_delay(None)]
    while len(delays) < 7:
        delays.append(WAIT.after_delay(delays[-1]))
    assert delays == [5, 10, 20, 40, 60, 60, 60]
    assert WAIT.after_delay(0) == 5
