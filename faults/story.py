"""A plan that is a story of its own: parts of its own, checks of its own, and a figure in the end."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from devcluster.env import Environment
from faults.plans import Verdict
from faults.world import World


@dataclass(frozen=True, slots=True)
class StoryPlan:
    """Plays a story; what it asserts are the findings."""

    number: int
    title: str
    story: Callable[[Environment], str]
    """Returns what it measured."""
    crashes: int = 0
    """How often an operator is ended in a story that passes."""

    async def run(self, world: World) -> Verdict:
        """Play it in a thread."""
        began = time.monotonic()
        measured, crashes = "", 0
        findings: tuple[str, ...] = ()
        try:
            measured = await asyncio.to_thread(self.story, world.cluster)
            crashes = self.crashes
        except (AssertionError, TimeoutError) as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            findings = (f"{place.name}, line {place.lineno}: {error or place.line}",)
        return Verdict(
            findings=findings, crashes=crashes, seconds=round(time.monotonic() - began, 1), measured=measured
        )
