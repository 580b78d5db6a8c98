"""Carry an attempt out: the right tool for the object, its credentials, its progress, its checkpoint."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from imageops.access.resolution import ChosenCredential, CredentialSource, resolve
from imageops.api.operations import ImagePullSpec, ImagePushSpec, ImageTagSpec, OperationSpec
from imageops.api.reasons import Reason
from imageops.api.references import Reference, parse_image_id
from imageops.cluster.secrets import NamespaceSecrets
from imageops.core.outcome import Attempt, Outcome
from imageops.core.progress import ProgressTracker
from imageops.tools.execution import Execution
from imageops.tools.pull import PullArguments, PullTool
from imageops.tools.push import PushArguments, PushTool
from imageops.tools.surroundings import Daemon
from imageops.tools.tag import TagArguments, TagTool
from imageops.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class OperationCredentials:
    """The credentials one operation may use, each read anew."""

    secrets: NamespaceSecrets
    own: CredentialSource
    session: CredentialSource

    async def for_host(self, host: str) -> ChosenCredential:
        """Return the credential for a registry host."""
        return await resolve(host, own=self.own, session=self.session, reader=self.secrets)


def tool_for(
    spec: OperationSpec, daemon: Daemon, credentials: OperationCredentials,
) -> tuple[Tool[Any, Any], Any]:
    """Return the tool that performs an operation, and its arguments."""
    match spec:
        case ImagePullSpec():
            return PullTool(daemon, credentials), PullArguments(
                reference=Reference.parse(spec.image),
                platform=next(iter(spec.platforms), None),
                policy=spec.image_pull_policy,
            )
        case ImagePushSpec():
            return PushTool(daemon, credentials), PushArguments(
                reference=Reference.parse(spec.image),
                platform=next(iter(spec.platforms), None),
                if_exists=spec.if_exists,
                required_digest=spec.preconditions.digest if spec.preconditions is not None else None,
            )
        case ImageTagSpec():
            return TagTool(daemon), TagArguments(
                source=parse_image_id(spec.source) or str(Reference.parse(spec.source)),
                target=Reference.parse(spec.target),
                if_exists=spec.if_exists,
                preconditions=spec.preconditions,
            )
        case _:
            raise TypeError(type(spec).__name__)


@dataclass(slots=True, eq=False)
class RunningAttempt:
    """An attempt in progress; the observer of its execution."""

    run: int
    number: int
    started_at: datetime
    changed: Callable[[], None]
    """Called when there is something new to decide on before the end."""
    finished: Callable[[Outcome], None]
    """Called once, with the outcome."""
    tracker: ProgressTracker = field(default_factory=ProgressTracker)
    outcome: Outcome | None = None
    _execution: Execution[Any, Any] | None = None
    _task: "asyncio.Task[Outcome] | None" = None
    _checkpoint: "asyncio.Future[None] | None" = None

    def start(self, tool: Tool[Any, Any], arguments: Any) -> None:
        """Begin to run the tool."""
        self._execution = Execution(tool, arguments, self.tracker, self)
        self._task = asyncio.create_task(self._execution.run(), name=f"attempt {tool.name}")

    def stop(self, reason: Reason) -> None:
        """Tell the tool to stop; the outcome follows."""
        if self._execution is not None:
            self._execution.stop(reason)

    def pass_checkpoint(self) -> None:
        """Let the tool replace what it was about to."""
        if self._checkpoint is not None and not self._checkpoint.done():
            self._checkpoint.set_result(None)
            self._checkpoint = None

    async def ended_task(self) -> None:
        """Return when the tool's task is over."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def view(self, now: datetime) -> Attempt:
        """Return the attempt as it stands, for a decision."""
        execution = self._execution
        if execution is None:
            return Attempt(run=self.run, number=self.number, started=self.started_at)
        return Attempt(
            run=self.run,
            number=self.number,
            started=self.started_at,
            facts=execution.facts,
            progress=self.tracker.snapshot(time.monotonic(), written_at=now.replace(microsecond=0)),
            checkpoint=self._checkpoint is not None,
            stopping=execution.stopping,
            outcome=self.outcome,
        )

    # The observer of the execution.

    def started(self, execution: Execution[Any, Any]) -> None:
        """Nothing is to be noted: the decision that started it did."""

    def ended(self, execution: Execution[Any, Any], outcome: Outcome) -> None:
        """Keep the outcome for the next decision."""
        self._checkpoint = None
        self.outcome = outcome
        self.finished(outcome)

    async def checkpoint(self, execution: Execution[Any, Any]) -> None:
        """Wait until a decision lets the tool pass."""
        self._checkpoint = asyncio.get_running_loop().create_future()
        self.changed()
        await self._checkpoint
