from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.progress import LayerRecord, LayerState
from imageops.api.reasons import Reason
from imageops.api.status import AuthStatus, DaemonStatus, PreviousImage
from imageops.core.outcome import Outcome
from imageops.core.progress import ProgressTracker, Stage
from imageops.tools.execution import Execution, NoProgress, execute_with_progress, execute_without_progress
from imageops.tools.image_status import ImageResult
from imageops.tools.tool import ToolContext
from tests.support.builders import NOW, OTHER_ID, image
from tests.support.recorder import Recorder

SECRET = "hunter2-hunter2"
RUNS = 10_000
AT_A_TIME = 100
DONE = ImageResult(reason=Reason.PULLED, message="Done.")


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the tools of these tests are asked for."""

    plan: str = "succeed"

    def shown(self) -> Mapping[str, str]:
        """Return the arguments for the record."""
        return {"plan": self.plan}


@dataclass(slots=True)
class PlannedTool:
    """Does what its arguments say."""

    name: str = "planned"
    running: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0

    async def run(self, arguments: Arguments, context: ToolContext) -> Any:
        """Follow the plan."""
        context.progress.reached(Stage.DOWNLOADING)
        context.progress.record(LayerRecord("a", LayerState.DOWNLOADING, 70, 100), 0.0)
        context.learn(daemon=DaemonStatus(name="default"), image=image())
        self.running.set()
        await asyncio.sleep(0)
        match arguments.plan:
            case "succeed":
                context.progress.stream_finished()
                return DONE
            case "refuse":
                raise OperationError(Reason.RATE_LIMITED, "Too many.", hint="Wait.", retry_after=7.0)
            case "break":
                raise RuntimeError(SECRET)
            case "nothing":
                return None
            case "hang":
                await self._hang()
            case "checkpoint":
                context.learn(previous=PreviousImage(id=OTHER_ID))
                await context.checkpoint()
                return DONE
            case "late":
                try:
                    await self._hang()
                except asyncio.CancelledError:
                    return DONE
            case _:
                raise asyncio.CancelledError
        raise AssertionError(arguments)

    async def _hang(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def without_duration(outcome: Outcome) -> tuple[Any, ...]:
    """Return what of an outcome is the same in every execution."""
    assert outcome.duration_milliseconds >= 0
    return (outcome.reason, outcome.message, outcome.hint, outcome.retry_after, outcome.bytes_transferred)


@pytest.mark.feature("tool.one-path")
@pytest.mark.parametrize("plan", ["succeed", "refuse", "break", "nothing", "checkpoint"])
async def test_with_and_without_progress_end_alike(plan: str) -> None:
    """Outcome, facts, result and observations are equal; only the tracker of the former has something to show."""
    seen, blind, tracker = Recorder(), Recorder(), ProgressTracker()
    first = await execute_with_progress(PlannedTool(), Arguments(plan), observer=seen, progress=tracker)
    second = await execute_without_progress(PlannedTool(), Arguments(plan), observer=blind)
    assert without_duration(first) == without_duration(second)
    assert first.bytes_transferred == 70
    (one, outcome), (other, _) = seen.closed[0], blind.closed[0]
    assert outcome is first
    assert (one.facts, one.result) == (other.facts, other.result)
    assert (len(seen.begun), seen.checkpoints) == (len(blind.begun), blind.checkpoints)
    shown = one.progress.snapshot(1.0, written_at=NOW)
    assert shown is not None
    assert shown.bytes_done == 70
    assert shown.stage == ("Complete" if first.reason is Reason.PULLED else "Downloading")
    assert other.progress.snapshot(1.0, written_at=NOW) is None


@pytest.mark.feature("tool.one-path")
async def test_an_error_with_a_reason_is_the_outcome() -> None:
    """With all that it says."""
    outcome = await execute_without_progress(PlannedTool(), Arguments("refuse"), observer=Recorder())
    assert without_duration(outcome) == (Reason.RATE_LIMITED, "Too many.", "Wait.", 7.0, 70)


@pytest.mark.feature("tool.exception")
@pytest.mark.parametrize("plan", ["break", "nothing"])
async def test_whatever_a_tool_does_wrong_ends_its_attempt(plan: str, caplog: pytest.LogCaptureFixture) -> None:
    """As InternalError; the log says where, and never what the exception says."""
    recorder = Recorder()
    with caplog.at_level(logging.DEBUG):
        outcome = await execute_without_progress(PlannedTool(), Arguments(plan), observer=recorder)
    assert (outcome.reason, outcome.message) == (Reason.INTERNAL_ERROR, Reason.INTERNAL_ERROR.sentence)
    assert [end for _, end in recorder.closed] == [outcome]
    assert "tool planned failed with" in caplog.text
    assert SECRET not in caplog.text


async def test_stop_cancels_the_tool_and_gives_the_reason() -> None:
    """The first reason counts."""
    recorder, tool = Recorder(), PlannedTool()
    execution = Execution(tool, Arguments("hang"), NoProgress(), recorder)
    task = asyncio.create_task(execution.run())
    await tool.running.wait()
    await asyncio.sleep(0)
    execution.stop(Reason.TIMED_OUT)
    execution.stop(Reason.CANCELLED)
    outcome = await task
    assert (outcome.reason, execution.stopping, tool.cancelled) == (Reason.TIMED_OUT, Reason.TIMED_OUT, 1)
    assert len(recorder.closed) == 1


async def test_a_stop_before_the_start_calls_no_tool() -> None:
    """The outcome is the reason all the same."""
    recorder, tool = Recorder(), PlannedTool()
    execution = Execution(tool, Arguments(), NoProgress(), recorder)
    execution.stop(Reason.CANCELLED)
    assert (await execution.run()).reason is Reason.CANCELLED
    assert not tool.running.is_set()
    assert (len(recorder.begun), len(recorder.closed)) == (1, 1)


async def test_a_tool_that_ends_by_itself_in_spite_of_a_stop_has_ended_so() -> None:
    """What it did is done."""
    recorder, tool = Recorder(), PlannedTool()
    execution = Execution(tool, Arguments("late"), NoProgress(), recorder)
    task = asyncio.create_task(execution.run())
    await tool.running.wait()
    await asyncio.sleep(0)
    execution.stop(Reason.CANCELLED)
    assert (await task).reason is Reason.PULLED


@pytest.mark.parametrize("plan", ["hang", "cancel-itself"])
async def test_a_cancelled_process_closes_its_executions_as_interrupted(plan: str) -> None:
    """And the cancellation goes on its way."""
    recorder, tool = Recorder(), PlannedTool()
    task = asyncio.create_task(execute_without_progress(tool, Arguments(plan), observer=recorder))
    await tool.running.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [end.reason for _, end in recorder.closed] == [Reason.INTERRUPTED]


async def test_what_is_learned_is_kept_beside_what_was_known() -> None:
    """The newest of each kind."""
    execution = Execution(PlannedTool(), Arguments(), NoProgress(), Recorder())
    execution.learn(daemon=DaemonStatus(name="a"), auth=AuthStatus(method="Anonymous"))
    execution.learn(daemon=DaemonStatus(name="b"), image=image())
    facts = execution.facts
    assert facts.daemon is not None
    assert (facts.daemon.name, facts.auth, facts.image) == ("b", AuthStatus(method="Anonymous"), image())


async def test_one_that_follows_another_counts_no_bytes_of_its_own() -> None:
    """It shows the other's progress."""
    tracker = ProgressTracker()
    tracker.record(LayerRecord("a", LayerState.DOWNLOADING, 5, 10), 0.0)
    recorder = Recorder()
    execution = Execution(PlannedTool(), Arguments(), NoProgress(), recorder)
    execution.follow(tracker)
    assert (await execution.run()).bytes_transferred is None
    assert execution.progress is tracker


@pytest.mark.feature("tool.paired")
async def test_every_execution_that_was_started_is_closed_exactly_once() -> None:
    """In 10,000 random runs, 100 at a time, some stopped, some cancelled with their task, at any moment."""
    draw, recorder = random.Random(7), Recorder()  # noqa: S311 - repeatable, guards nothing
    plans = ("succeed", "refuse", "break", "nothing", "hang", "checkpoint", "late", "cancel-itself")

    async def one(plan: str, steps: int, *, kill: bool) -> None:
        sink = ProgressTracker() if draw.random() < 0.5 else NoProgress()
        execution = Execution(PlannedTool(), Arguments(plan), sink, recorder)
        task = asyncio.create_task(execution.run())
        for _ in range(steps):
            await asyncio.sleep(0)
        if kill:
            task.cancel()
        elif steps < 6 or plan in {"hang", "late"}:
            execution.stop(draw.choice((Reason.CANCELLED, Reason.TIMED_OUT, Reason.SUSPENDED)))
        await asyncio.gather(task, return_exceptions=True)

    for _ in range(RUNS // AT_A_TIME):
        await asyncio.gather(
            *(one(draw.choice(plans), draw.randint(1, 8), kill=draw.random() < 0.2) for _ in range(AT_A_TIME)),
        )
    assert len(recorder.begun) == len(set(recorder.begun)) == RUNS
    assert Counter(execution for execution, _ in recorder.closed) == Counter(recorder.begun)
    assert {outcome.reason for _, outcome in recorder.closed} >= {
        Reason.PULLED,
        Reason.RATE_LIMITED,
        Reason.INTERNAL_ERROR,
        Reason.CANCELLED,
        Reason.INTERRUPTED,
    }
