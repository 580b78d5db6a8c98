"""Wait for what others bring about, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.support.objects import POLL_SECONDS, WAIT_SECONDS


def until(holds: Callable[[], bool], *, seconds: float = WAIT_SECONDS) -> None:
    """Return when something holds, such as that the API server has taken notice of a change."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not come about within {seconds:.0f} s"
        time.sleep(POLL_SECONDS)
