"""Trials: plans with work of their own instead of the workload, carried out at a site, and judged by what is there.

They are for faults that two proxies cannot play: a daemon that dies, a registry that refuses, an API server that is
away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from faults.plans import Verdict
from faults.site import Site
from faults.world import World

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """Carries one trial out."""

    number: int
    title: str
    work: Callable[[Site], bool]
    """Raises AssertionError or TimeoutError for what is wrong, and tells whether the fault took place."""

    async def run(self, world: World) -> Verdict:
        """Carry it out in a thread."""
        return await asyncio.to_thread(self._judged, world)

    def _judged(self, world: World) -> Verdict:
        site = world.sites.site()
        began = time.monotonic()
        findings: tuple[str, ...] = ()
        reached = True
        try:
            reached = self.work(site)
        except (AssertionError, TimeoutError) as error:
            findings = (str(error) or type(error).__name__,)
        return Verdict(findings=findings, reached=reached, seconds=round(time.monotonic() - began, 1))


def side_by_side(works: Sequence[Callable[[], T]], *, at_a_time: int = 8) -> list[T]:
    """Do all of this in threads, and return the results in order; the first error is raised when all have ended."""
    with ThreadPoolExecutor(at_a_time) as threads:
        waiting = [threads.submit(work) for work in works]
    return [one.result() for one in waiting]
