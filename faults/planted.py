"""Say which plan brings each planted defect to light, and which oracle sees it; carry that out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faults.crash import Crash, When
from faults.director import Director
from faults.oracles import judge
from faults.stale import Stale
from faults.world import World


@dataclass(frozen=True, slots=True)
class Planted:
    """A defect, a trial and an oracle."""

    defect: str
    director: Callable[[], Director]
    oracle: str
    seconds: float = Director.play_seconds
    """For the workload; less where the defect keeps some of it from ending at all."""

    async def findings(self, world: World) -> tuple[str, ...]:
        """Play the trial with the defect, and return what the oracle says."""
        director = self.director()
        director.play_seconds = self.seconds
        found = judge(await world.play(director, defect=self.defect), world.clean)
        return tuple(finding for finding in found if finding.startswith(f"{self.oracle}: "))


PLANTED: tuple[Planted, ...] = (
    Planted("uid-not-tested", Director, "writes_to_its_own_object"),
    Planted("version-not-tested", Director, "writes_to_its_own_object"),
    Planted(
        "child-named-by-process",
        lambda: Crash("api POST imagepulls/release-ship-* #1", When.AFTER),
        "makes_each_child_once",
    ),
    Planted("replaced-before-commit", Director, "commits_before_replacing"),
    Planted("finalizer-kept", Director, "reaches_the_end", seconds=60.0),
    Planted("failures-forgotten", lambda: Crash("api POST events flaky: Retrying #1", When.AFTER), "never_goes_back"),
    Planted("password-logged", Director, "keeps_secrets"),
    Planted("stalled-and-reconciling", Director, "keeps_the_conditions"),
    Planted(
        "interrupted-left-open",
        lambda: Crash("api PATCH imagepulls/cancelled/status #1", When.AFTER),
        "reaches_the_end",
    ),
    Planted(
        "pushed-not-recognised",
        lambda: Crash("default POST /images/target/faults/~/push?tag=release #1", When.AFTER),
        "transfers_nothing_twice",
    ),
    Planted(
        "run-again-at-start",
        lambda: Crash("api POST events release: Completed #1", When.BEFORE),
        "ends_as_a_clean_run",
    ),
    Planted("old-view-trusted", lambda: Stale("api PATCH imagepushes/replaced/status #2", 16), "ends_each_run_once"),
    Planted("child-disowned", Director, "ends_as_a_clean_run"),
)
