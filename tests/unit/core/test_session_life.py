from __future__ import annotations

import random
from datetime import timedelta

import pytest

from imageops.api.status import Phase
from imageops.core.plan import kinds_of
from tests.support.builders import promote_step, pull_step, session_spec
from tests.support.session_life import SessionLife

ORDERS = 1_000
BATCH = 125
EVENTS = 15
ENDS = (Phase.SUCCEEDED, Phase.SUCCEEDED, Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


class Chance:
    """Lets things happen to a Session in an order of chance."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311 - repeatable, guards nothing
        names = [f"s{number}" for number in range(self.draw.randint(1, 5))]
        steps = [self.step(name, names[:place]) for place, name in enumerate(names)]
        self.draw.shuffle(steps)
        self.life = SessionLife(
            session_spec(
                *steps,
                parallelism=self.draw.randint(1, 3),
                maxFailedSteps=self.draw.randint(0, 2),
            ),
            image_store=self.draw.choice(("containerd", "graphdriver")),
        )

    def step(self, name: str, earlier: list[str]) -> dict[str, object]:
        """Make a step that waits for some of those before it."""
        after = [other for other in earlier if self.draw.random() < 0.3]
        make = promote_step if self.draw.random() < 0.3 else pull_step
        return make(name, run_after=after)

    def happen(self) -> None:
        """Let one thing happen."""
        mine, chance = self.life, self.draw.random()
        mine.now += timedelta(seconds=self.draw.choice((0, 1, 30)))
        if chance < 0.6:
            self.operation_moves(self.draw.choice((Phase.RUNNING, *ENDS)))
        elif chance < 0.7:
            mine.restart()
        elif chance < 0.78:
            mine.change(suspend=not mine.spec.suspend)
        elif chance < 0.82:
            mine.change(cancel=not mine.spec.cancel)
        elif chance < 0.86:
            mine.requested_at = f"token-{self.draw.random()}"
        elif chance < 0.9:
            mine.retry_failed_at = f"token-{self.draw.random()}"
        elif chance < 0.94:
            mine.change(activeDeadlineSeconds=self.draw.choice((40, 3600)))
        mine.look()

    def operation_moves(self, phase: Phase) -> None:
        """Let one unfinished operation of the present run come to a phase."""
        open_ones = [one.name for one in self.life.members.values() if not one.finished]
        steps = [
            row.name
            for row in self.life.status.steps
            if row.operation_ref is not None and row.operation_ref.name in open_ones
        ]
        if steps:
            self.life.set(self.draw.choice(steps), phase)

    def leave_in_peace(self) -> None:
        """Only let operations end well, one at a time, until none is left."""
        mine = self.life
        mine.change(suspend=None, cancel=None, activeDeadlineSeconds=None)
        mine.look()
        for _ in range(100):
            if all(one.finished for one in mine.members.values()):
                return
            self.operation_moves(Phase.SUCCEEDED)
            mine.look()
        raise AssertionError(mine.status)


@pytest.mark.feature("session.counts")
@pytest.mark.feature("status.consistent")
@pytest.mark.parametrize("first", range(0, ORDERS, BATCH))
def test_counts_add_up_after_every_event_in_any_order(first: int) -> None:
    """And every Session ends: it never waits for something that does not come.

    The sums, the conditions and the names of operations are checked by `SessionLife` at every decision.
    """
    for seed in range(first, first + BATCH):
        chance = Chance(seed)
        mine = chance.life
        mine.look()
        for _ in range(EVENTS):
            chance.happen()
            spec = mine.spec
            assert mine.status.running <= spec.parallelism, seed
        chance.leave_in_peace()
        assert mine.status.completion_time is not None, (seed, mine.phases, mine.reason)
        assert mine.status.last_handled_requested_at == mine.requested_at, seed
        kept = {one.step for one in mine.made if one.name in mine.members}
        places = sum(len(kinds_of(step)) for step in mine.spec.steps if step.name in kept)
        assert len(mine.members) <= places, seed
