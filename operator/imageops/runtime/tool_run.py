"""Run a tool of one's own under the rules of an operation, without an object of its own on the API server.

What holds for a pull holds for it: attempts by `backoffLimit`, `timeoutSeconds` and `activeDeadlineSeconds`, waiting,
cancelling, the history with one entry an attempt, the last error with its hint, progress that never falls. `core`
decides; the status that comes out is an `OperationStatus`.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from imageops.api.operations import OperationSpec
from imageops.api.status import OperationStatus
from imageops.core.decide_operation import decide
from imageops.core.effects import Effect, PassCheckpoint, StartAttempt, StopAttempt
from imageops.core.operation import Operation
from imageops.core.run import finished
from imageops.core.spechash import SpecHash
from imageops.runtime.attempts import RunningAttempt
from imageops.tools.tool import Tool

DEFAULT_TIMEOUT_SECONDS = 600


class ToolRun:
    """One run of a tool."""

    def __init__(
        self,
        tool: Tool[Any, Any],
        arguments: Any,
        *,
        rules: OperationSpec | None = None,
        changed: Callable[[OperationStatus], None] = lambda _: None,
    ) -> None:
        """Prepare the run.

        Args:
            tool: The tool.
            arguments: What it is asked for.
            rules: Time limits and retries; those of a pull unless given.
            changed: Told of every new status.

        """
        self._tool = tool
        self._arguments = arguments
        self._rules = rules or OperationSpec(timeout_seconds=DEFAULT_TIMEOUT_SECONDS)
        self._changed = changed
        self._uid = str(uuid4())
        self._attempt: RunningAttempt | None = None
        self._woken = asyncio.Event()
        self.status = OperationStatus()

    def cancel(self) -> None:
        """Ask the run to end: the tool is stopped, and the run ends Cancelled."""
        self._rules = self._rules.model_copy(update={"cancel": True})
        self._woken.set()

    async def run(self) -> OperationStatus:
        """Run the tool to its end, whatever that is, and return the status."""
        while not finished(self.status):
            self._woken.clear()
            now = _clock()
            wake_at = self._decide(now)
            if finished(self.status):
                break
            try:
                async with asyncio.timeout((wake_at - now).total_seconds() if wake_at is not None else None):
                    await self._woken.wait()
            except TimeoutError:
                continue
        return self.status

    def _decide(self, now: datetime) -> datetime | None:
        attempt = self._attempt.view(now) if self._attempt is not None else None
        operation = Operation(
            uid=self._uid,
            generation=1,
            spec_hash=SpecHash.of(self._rules),
            status=self.status,
            kind=self._tool.name,
            spec=self._rules,
        )
        decision = decide(operation, attempt=attempt, constraints=None, now=now)
        if attempt is not None and attempt.outcome is not None:
            self._attempt = None
        if decision.status != self.status:
            self.status = decision.status
            self._changed(self.status)
        for effect in decision.effects:
            self._carry_out(effect)
        return decision.wake_at

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case StartAttempt():
                self._attempt = RunningAttempt(
                    effect.run,
                    effect.number,
                    effect.purpose,
                    _clock,
                    self._woken.set,
                    lambda _: self._woken.set(),
                )
                self._attempt.start(self._tool, self._arguments, lookup_slots=None)
            case StopAttempt(reason=reason) if self._attempt is not None:
                self._attempt.stop(reason)
            case PassCheckpoint() if self._attempt is not None:
                self._attempt.pass_checkpoint()
            case _:
                return


def _clock() -> datetime:
    return datetime.now(UTC)
