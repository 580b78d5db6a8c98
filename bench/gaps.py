"""Say how much of a processor's time others take: a hypervisor's share is in every figure and no load average."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import pairwise

_GAP_NANOSECONDS = 2_000
"""Between two looks at the clock: ten times what one takes."""


def share_taken(seconds: float = 0.5) -> float:
    """Return the share of time, from 0 to 1, in which a busy loop did not get on. It takes so many seconds."""
    return share_in_gaps(_looks(int(seconds * 1e9)))


def share_in_gaps(looks: Iterable[int]) -> float:
    """Return the share that gaps have in the time between the first and the last look, each in nanoseconds."""
    gaps = passed = 0
    for before, after in pairwise(looks):
        passed += after - before
        if after - before > _GAP_NANOSECONDS:
            gaps += after - before
    return gaps / passed


def _looks(nanoseconds: int) -> Iterator[int]:
    end = time.perf_counter_ns() + nanoseconds
    while (now := time.perf_counter_ns()) < end:
        yield now
