"""Run a coroutine in a time of its own: what sleeps wakes at once, in the right order, and the clock says it slept."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Moves the clock instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, let the time pass."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        assert timeout is not None, "everything waits for something that cannot happen any more"
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without waiting."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

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
