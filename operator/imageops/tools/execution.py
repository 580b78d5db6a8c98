"""Run a tool: one path for every tool, with or without progress.

The same tracking, cancellation and exception capture holds for both; the only difference is where progress goes. Every
execution that was started is ended exactly once, whatever the tool does.
"""

import asyncio
import logging
import time
import traceback
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from imageops.api.errors import OperationError
from imageops.api.progress import LayerRecord
from imageops.api.reasons import Reason
from imageops.api.status import AuthStatus, DaemonStatus, ImageStatus, PreviousImage, Progress
from imageops.core.outcome import Facts, Outcome
from imageops.core.progress import ProgressTracker, Stage
from imageops.tools.tool import ProgressSink, Tool, ToolArguments, ToolResult

logger = logging.getLogger("imageops.tools")

ArgumentsT = TypeVar("ArgumentsT", bound=ToolArguments)
ResultT = TypeVar("ResultT", bound=ToolResult)


@dataclass(slots=True)
class NoProgress:
    """A sink that keeps no progress but the count of bytes, which belongs to the record of the attempt."""

    streams: int = 1
    _tracker: ProgressTracker = field(default_factory=ProgressTracker)

    def reached(self, stage: Stage) -> None:
        """Forget the stage."""

    def record(self, record: LayerRecord, now: float) -> None:
        """Count the bytes."""
        self._tracker.record(record, now)

    def stream_finished(self) -> None:
        """Forget the end of the stream."""

    @property
    def bytes_transferred(self) -> int:
        """Return the bytes moved so far."""
        return self._tracker.bytes_transferred

    def snapshot(self, now: float, *, written_at: datetime) -> Progress | None:  # noqa: ARG002 - a sink's interface
        """Return nothing to show."""
        return None


class Observer(Protocol):
    """Who keeps track of executions. Called in the event loop; must not block and must not raise."""

    def started(self, execution: "Execution[Any, Any]") -> None:
        """Take note that an execution begins."""
        ...

    def ended(self, execution: "Execution[Any, Any]", outcome: Outcome) -> None:
        """Take note that it ended; called exactly once for each that was started."""
        ...

    def release_lookup_slot(self, execution: "Execution[Any, Any]") -> None:
        """Take note that the execution begins a transfer, or waits for one."""
        ...

    async def checkpoint(self, execution: "Execution[Any, Any]") -> None:
        """Return when what the execution learned is on record."""
        ...


@dataclass(slots=True, eq=False)
class Execution(Generic[ArgumentsT, ResultT]):
    """One execution of a tool; what the tool sees as its context."""

    tool: Tool[ArgumentsT, ResultT]
    arguments: ArgumentsT
    progress: ProgressSink
    observer: Observer
    facts: Facts = field(default_factory=Facts)
    result: ResultT | None = None
    _stop_reason: Reason | None = None
    _follows: bool = False
    _task: "asyncio.Task[Any] | None" = None

    def learn(
        self,
        *,
        daemon: DaemonStatus | None = None,
        auth: AuthStatus | None = None,
        image: ImageStatus | None = None,
        previous: PreviousImage | None = None,
    ) -> None:
        """Put on record what was found out."""
        known = self.facts
        self.facts = Facts(
            daemon=daemon or known.daemon,
            auth=auth or known.auth,
            image=image or known.image,
            previous=previous or known.previous,
        )

    def follow(self, progress: ProgressSink) -> None:
        """Show the progress of a stream that another execution began, and count none of its bytes."""
        self.progress = progress
        self._follows = True

    def release_lookup_slot(self) -> None:
        """Say that a transfer begins, or a wait for one."""
        self.observer.release_lookup_slot(self)

    async def checkpoint(self) -> None:
        """Return when all that was learned is on record."""
        await self.observer.checkpoint(self)

    def stop(self, reason: Reason) -> None:
        """Cancel the tool; the outcome carries the reason, unless the tool had just ended by itself."""
        if self._stop_reason is None:
            self._stop_reason = reason
            if self._task is not None:
                self._task.cancel()

    @property
    def stopping(self) -> Reason | None:
        """Why it was told to stop, if it was."""
        return self._stop_reason

    async def run(self) -> Outcome:
        """Run the tool to its end and say how it ended."""
        self._task = asyncio.current_task()
        began = time.monotonic()
        self.observer.started(self)
        try:
            outcome = await self._attempt()
        except asyncio.CancelledError:
            reason = self._stop_reason or Reason.INTERRUPTED
            self._end(Outcome(reason=reason, message=reason.sentence), began)
            raise
        return self._end(outcome, began)

    def _end(self, outcome: Outcome, began: float) -> Outcome:
        milliseconds = round((time.monotonic() - began) * 1000)
        moved = None if self._follows else self.progress.bytes_transferred or None
        outcome = replace(outcome, duration_milliseconds=milliseconds, bytes_transferred=moved)
        self.observer.ended(self, outcome)
        return outcome

    async def _attempt(self) -> Outcome:
        if self._stop_reason is not None:
            return Outcome(reason=self._stop_reason, message=self._stop_reason.sentence)
        try:
            self.result = await self.tool.run(self.arguments, self)
            outcome = Outcome(reason=self.result.reason, message=self.result.message)
        except OperationError as error:
            return Outcome(
                reason=error.reason,
                message=error.message,
                hint=error.hint,
                retry_after=error.retry_after,
                repeated=error.repeated,
            )
        except asyncio.CancelledError:
            stopped = self.stopping
            if stopped is None:
                raise
            return Outcome(reason=stopped, message=stopped.sentence)
        except Exception as error:  # noqa: BLE001 - whatever a tool does wrong ends its attempt and nothing else
            logger.error(  # noqa: TRY400 - the text of a foreign exception may hold a secret; its place does not
                "tool %s failed with %s at %s",
                self.tool.name,
                type(error).__name__,
                _place(error),
            )
            return Outcome(reason=Reason.INTERNAL_ERROR, message=Reason.INTERNAL_ERROR.sentence)
        self.progress.reached(Stage.COMPLETE)
        return outcome


async def execute_with_progress(
    tool: Tool[ArgumentsT, ResultT],
    arguments: ArgumentsT,
    *,
    observer: Observer,
    progress: ProgressTracker,
) -> Outcome:
    """Run a tool and tell the tracker how far it is."""
    return await Execution(tool, arguments, progress, observer).run()


async def execute_without_progress(
    tool: Tool[ArgumentsT, ResultT],
    arguments: ArgumentsT,
    *,
    observer: Observer,
) -> Outcome:
    """Run a tool in the same way, without progress."""
    return await Execution(tool, arguments, NoProgress(), observer).run()


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-5:]))
