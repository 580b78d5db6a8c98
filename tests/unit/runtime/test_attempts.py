from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from imageops.api.operations import IfExists, ImagePullPolicy, OperationSpec, TagPreconditions
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import PreviousImage
from imageops.core.effects import Purpose
from imageops.core.outcome import Outcome
from imageops.runtime.attempts import RunningAttempt, arguments_of
from imageops.tools.image_status import ImageResult
from imageops.tools.pull import PullArguments
from imageops.tools.push import PushArguments
from imageops.tools.tag import TagArguments
from tests.support.builders import DIGEST, IMAGE_ID, NOW, OTHER_ID, pull_spec, push_spec, tag_spec

REF = Reference.parse("registry.example/app:1")
TARGET = Reference.parse("registry.example/app:2")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (pull_spec(), PullArguments(reference=REF)),
        (
            pull_spec(platforms=["All"], imagePullPolicy="Never", dryRun=True),
            PullArguments(reference=REF, platform="All", policy=ImagePullPolicy.NEVER, dry_run=True),
        ),
        (push_spec(), PushArguments(reference=REF)),
        (
            push_spec(platforms=["linux/amd64"], ifExists="Replace", preconditions={"digest": DIGEST}),
            PushArguments(
                reference=REF,
                platform="linux/amd64",
                if_exists=IfExists.REPLACE,
                required_digest=DIGEST,
            ),
        ),
        (tag_spec(), TagArguments(source=str(REF), target=TARGET)),
        (
            tag_spec(source=IMAGE_ID, ifExists="Replace", preconditions={"imageID": OTHER_ID}),
            TagArguments(
                source=IMAGE_ID,
                target=TARGET,
                if_exists=IfExists.REPLACE,
                preconditions=TagPreconditions(image_id=OTHER_ID),
            ),
        ),
    ],
)
def test_a_spec_is_turned_into_what_its_tool_is_asked_for(spec: OperationSpec, expected: Any) -> None:
    """References in canonical form."""
    assert arguments_of(spec) == expected


def test_drift_asks_the_registry_and_a_dry_run_assumes() -> None:
    """What the run was started by, and what earlier steps would have made."""
    drifted = arguments_of(pull_spec(), trigger="Interval")
    assert isinstance(drifted, PullArguments)
    assert drifted.policy is ImagePullPolicy.ALWAYS
    pushed = arguments_of(push_spec(dryRun=True), assumed={"x": None})
    assert isinstance(pushed, PushArguments)
    assert pushed.assumed == {"x": None}
    with pytest.raises(TypeError):
        arguments_of(OperationSpec(timeout_seconds=1))


class Waiting:
    """A tool that passes its checkpoint and then waits to be let go."""

    name = "waiting"

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.passed = asyncio.Event()
        self.let_go = asyncio.Event()

    async def run(self, _arguments: Any, context: Any) -> ImageResult:
        """Go through all that an attempt may meet."""
        self.called.set()
        context.learn(previous=PreviousImage(id=OTHER_ID))
        await context.checkpoint()
        self.passed.set()
        context.release_lookup_slot()
        await self.let_go.wait()
        return ImageResult(reason=Reason.TAGGED, message="Done.")


class Bench:
    """An attempt, and what it told."""

    def __init__(self) -> None:
        self.changes = 0
        self.outcomes: list[Outcome] = []
        self.tool: Any = Waiting()
        self.attempt = RunningAttempt(1, 2, Purpose.RUN, self.clock, self.changed, self.outcomes.append)

    def clock(self) -> datetime:
        """Stand still."""
        return NOW

    def changed(self) -> None:
        """Count."""
        self.changes += 1


async def turns(number: int = 5) -> None:
    """Let the loop turn a few times."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_an_attempt_shows_how_it_stands_at_each_moment() -> None:
    """Queued, begun, at its checkpoint, past it, ended."""
    mine, lookup_slots = Bench(), asyncio.Semaphore(1)
    await lookup_slots.acquire()
    assert mine.attempt.view(NOW).queued
    mine.attempt.start(mine.tool, None, lookup_slots=lookup_slots)
    await turns()
    assert (mine.attempt.view(NOW).queued, mine.changes) == (True, 0)
    lookup_slots.release()
    await mine.tool.called.wait()
    await turns()
    view = mine.attempt.view(NOW)
    assert (view.queued, view.checkpoint, view.started, view.run, view.number) == (False, True, NOW, 1, 2)
    assert view.facts.previous == PreviousImage(id=OTHER_ID)
    assert (mine.changes, lookup_slots.locked()) == (2, True)
    mine.attempt.pass_checkpoint()
    mine.attempt.pass_checkpoint()
    await mine.tool.passed.wait()
    await turns()
    assert (mine.attempt.view(NOW).checkpoint, lookup_slots.locked()) == (False, False)
    mine.tool.let_go.set()
    await mine.attempt.ended_task()
    await turns()
    assert [outcome.reason for outcome in mine.outcomes] == [Reason.TAGGED]
    assert mine.attempt.view(NOW).outcome is mine.outcomes[0]
    assert not lookup_slots.locked()


@pytest.mark.feature("tool.paired")
@pytest.mark.parametrize("moment", ["before-its-task", "in-the-queue", "at-the-checkpoint", "while-it-works"])
async def test_an_attempt_that_is_stopped_is_closed_once_whenever_that_is(moment: str) -> None:
    """With the reason it was stopped for, and its place among the lookups is free."""
    mine, lookup_slots = Bench(), asyncio.Semaphore(1)
    if moment == "in-the-queue":
        await lookup_slots.acquire()
    mine.attempt.start(mine.tool, None, lookup_slots=lookup_slots)
    if moment != "before-its-task":
        await turns()
    if moment == "while-it-works":
        mine.attempt.pass_checkpoint()
        await mine.tool.passed.wait()
    mine.attempt.stop(Reason.TIMED_OUT)
    mine.attempt.stop(Reason.CANCELLED)
    await mine.attempt.ended_task()
    await turns()
    assert [outcome.reason for outcome in mine.outcomes] == [Reason.TIMED_OUT]
    assert mine.tool.called.is_set() is (moment in {"at-the-checkpoint", "while-it-works"})
    if moment == "in-the-queue":
        lookup_slots.release()
    assert not lookup_slots.locked()


async def test_an_attempt_that_never_began_has_nothing_to_stop() -> None:
    """Nor to wait for."""
    mine = Bench()
    mine.attempt.stop(Reason.CANCELLED)
    mine.attempt.pass_checkpoint()
    await mine.attempt.ended_task()
    assert mine.outcomes == []


async def test_a_cancelled_process_closes_its_attempts_as_interrupted() -> None:
    """In the queue or at work."""
    for lookup_slots in (None, asyncio.Semaphore(0)):
        mine = Bench()
        mine.attempt.start(mine.tool, None, lookup_slots=lookup_slots)
        await turns()
        task = mine.attempt._task
        assert task is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await turns()
        assert [outcome.reason for outcome in mine.outcomes] == [Reason.INTERRUPTED]
