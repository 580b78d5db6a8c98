"""Run a coroutine in a time of its own: what sleeps wakes at once, in the right order, and the clock says it slept."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")

BEGIN = 1000.0
"""Seconds at which every run begins: the machine's own differ from run to run."""
TICK = 2.0**-29
"""Seconds, about two nanoseconds. Time goes on by whole ticks, so that sums and differences of times are exact wherever
the clock stands, and nothing wakes a rounding error too early."""


class _Selector(selectors.DefaultSelector):
    """Moves the clock instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, let the time pass."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        assert timeout is not None, "everything waits for something that cannot happen any more"
        self.now += math.ceil(timeout / TICK) * TICK
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without waiting."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)
        self._clock_resolution = TICK / 2  # by how much asyncio may be early; the machine's clock says more

    def time(self) -> float:
        """Return the time of this loop."""
        return self._clock.now


def monotonic() -> float:
    """Return the time of the running loop."""
    return asyncio.get_running_loop().time()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; `time.monotonic` is the clock of the loop meanwhile."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, patch("time.monotonic", runner.get_loop().time):
        return runner.run(coroutine)
