"""Run tools of one's own by the rules of operations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from imageops.api.errors import OperationError
from imageops.api.operations import OperationSpec
from imageops.api.reasons import Reason
from imageops.runtime.tool_run import ToolRun
from imageops.tools.tool import ToolContext


@dataclass(frozen=True)
class Nothing:
    """Arguments that say nothing."""

    def shown(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}


@dataclass(frozen=True)
class Done:
    """A result."""

    reason: Reason = Reason.COMPLETED
    message: str = "Done."


@dataclass
class Hanging:
    """A tool that never ends by itself."""

    name: str = "hanging"
    running: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False

    async def run(self, arguments: Nothing, context: ToolContext) -> Done:  # noqa: ARG002 - a tool's interface
        """Wait for ever, and close what is open when told to stop."""
        self.running.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.closed = True
        return Done()


@dataclass
class Failing:
    """A tool that fails as it is told, then succeeds."""

    failures: list[Exception]
    name: str = "failing"

    async def run(self, arguments: Nothing, context: ToolContext) -> Done:  # noqa: ARG002 - a tool's interface
        """Fail, or succeed."""
        if self.failures:
            raise self.failures.pop(0)
        return Done()


@pytest.mark.feature("tool.stoppable")
async def test_cancel_stops_a_tool_of_ones_own() -> None:
    """The tool is told to stop, and its run ends Cancelled with one closed attempt."""
    tool = Hanging()
    run = ToolRun(tool, Nothing())
    ended = asyncio.create_task(run.run())
    await tool.running.wait()
    run.cancel()
    status = await ended
    assert tool.closed
    assert status.phase == "Cancelled"
    assert [entry.outcome for entry in status.history] == ["Cancelled"]


@pytest.mark.feature("tool.stoppable")
async def test_timeout_seconds_stops_a_tool_of_ones_own() -> None:
    """The attempt ends TimedOut; with no retries left the run gives up and keeps the cause."""
    tool = Hanging()
    status = await ToolRun(tool, Nothing(), rules=OperationSpec(timeout_seconds=1, backoff_limit=0)).run()
    assert tool.closed
    assert status.conditions[0].reason == "BackoffLimitExceeded"
    assert status.error is not None
    assert status.error.reason == "TimedOut"


async def test_a_failure_for_good_is_told_as_it_happened() -> None:
    """A final reason makes one attempt."""
    seen: list[str] = []
    run = ToolRun(
        Failing([OperationError(Reason.AUTH_FAILED)]),
        Nothing(),
        changed=lambda status: seen.append(status.phase),
    )
    status = await run.run()
    assert (status.phase, status.attempts) == ("Failed", 1)
    assert seen == ["Running", "Failed"]


async def test_an_exception_of_the_tool_ends_the_attempt_and_hides_its_text() -> None:
    """What a tool does wrong is InternalError; the text of its exception, which may hold a secret, is nowhere."""
    rules = OperationSpec(timeout_seconds=30, backoff_limit=0)
    status = await ToolRun(Failing([ValueError("hunter2")]), Nothing(), rules=rules).run()
    assert status.error is not None
    assert status.error.reason == "InternalError"
    assert "hunter2" not in status.model_dump_json()
