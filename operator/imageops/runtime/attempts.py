"""Carry an attempt out: the right tool for the object, its credentials, its progress, its checkpoint."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from imageops.access.credential_choice import ChosenCredential, Refusals, meaning, next_one
from imageops.access.resolution import CredentialSource, resolve
from imageops.api.errors import OperationError
from imageops.api.fields import PLATFORM_ALL
from imageops.api.operations import ImagePullSpec, ImagePushSpec, ImageTagSpec, OperationSpec, PullFields, PushFields
from imageops.api.platforms import normalise
from imageops.api.reasons import Reason
from imageops.api.references import Reference, parse_image_id
from imageops.api.status import Trigger
from imageops.cluster.secrets import NamespaceSecrets
from imageops.core.attempt import Attempt
from imageops.core.effects import Purpose
from imageops.core.outcome import Outcome
from imageops.core.preconditions import policy_of_run
from imageops.core.progress import ProgressTracker
from imageops.tools.daemon import Daemon
from imageops.tools.execution import Execution, execute_with_progress, execute_without_progress
from imageops.tools.limits import Requester
from imageops.tools.pull import PullArguments, PullTool
from imageops.tools.push import PushArguments, PushTool
from imageops.tools.tag import TagArguments, TagTool
from imageops.tools.tool import Tool

CHECKPOINT_SECONDS = 30.0
"""Longest wait of an attempt for its record to be written: as long as one request to the API server may take."""


@dataclass(slots=True)
class OperationCredentials:
    """The credentials one operation may use, each read anew, and tried in turn."""

    secrets: NamespaceSecrets
    own: CredentialSource
    session: CredentialSource
    writes: bool
    """Whether the operation writes to its registry."""
    refusals: Refusals
    """What the registry has refused in the run."""
    _chosen: ChosenCredential | None = None

    async def for_image(self, reference: Reference) -> ChosenCredential:
        """Return the credential whose turn it is."""
        candidates = await resolve(
            reference,
            own=self.own,
            session=self.session,
            reader=self.secrets,
            writes=self.writes,
        )
        self._chosen = next_one(candidates, self.refusals)
        return self._chosen

    def after(self, error: OperationError) -> OperationError | None:
        """Return what a failure comes down to; None = it is the next credential's turn."""
        chosen, self._chosen = self._chosen, None
        return meaning(error, chosen, self.refusals) if chosen is not None else error


def arguments_of(
    spec: OperationSpec,
    *,
    trigger: str = Trigger.SPEC,
    assumed: Mapping[str, str | None] = MappingProxyType({}),
) -> PullArguments | PushArguments | TagArguments:
    """Return what the tool of an operation is asked for.

    Args:
        spec: The spec, which has passed both gates.
        trigger: What started the run.
        assumed: In a dry run, references that earlier steps of the Session would have made, with digests where known.

    """
    match spec:
        case ImagePullSpec():
            return PullArguments(
                reference=Reference.parse(spec.image),
                platform=_platform(spec),
                policy=policy_of_run(spec.image_pull_policy, trigger),
                dry_run=spec.dry_run,
            )
        case ImagePushSpec():
            return PushArguments(
                reference=Reference.parse(spec.image),
                platform=_platform(spec),
                if_exists=spec.if_exists,
                required_digest=spec.preconditions.digest if spec.preconditions is not None else None,
                dry_run=spec.dry_run,
                assumed=assumed,
            )
        case ImageTagSpec():
            return TagArguments(
                source=parse_image_id(spec.source) or str(Reference.parse(spec.source)),
                target=Reference.parse(spec.target),
                if_exists=spec.if_exists,
                preconditions=spec.preconditions,
                dry_run=spec.dry_run,
                assumed=assumed,
            )
        case _:
            raise TypeError(type(spec).__name__)


def _platform(spec: PullFields | PushFields) -> str | None:
    """Return the one entry of `platforms`, in its shortest spelling."""
    [platform] = spec.platforms or (None,)
    return platform if platform in {None, PLATFORM_ALL} else normalise(str(platform))


def tool_of(
    arguments: PullArguments | PushArguments | TagArguments,
    daemon: Daemon,
    credentials: OperationCredentials,
    requester: Requester,
) -> Tool[Any, Any]:
    """Return the tool that does what is asked for."""
    match arguments:
        case PullArguments():
            return PullTool(daemon, credentials, requester)
        case PushArguments():
            return PushTool(daemon, credentials, requester)
        case TagArguments():
            return TagTool(daemon)


@dataclass(slots=True, eq=False)
class RunningAttempt:
    """An attempt in progress; the observer of its execution."""

    run: int
    number: int
    purpose: Purpose
    clock: Callable[[], datetime]
    changed: Callable[[], None]
    """Called when there is something new to decide on before the end."""
    finished: Callable[[Outcome], None]
    """Called once, with the outcome."""
    tracker: ProgressTracker = field(default_factory=ProgressTracker)
    outcome: Outcome | None = None
    _lookup_slots: asyncio.Semaphore | None = None
    _started_at: datetime | None = None
    """None while it waits for a lookup slot."""
    _execution: Execution[Any, Any] | None = None
    """None until the tool is run."""
    _stopping: Reason | None = None
    _task: "asyncio.Task[None] | None" = None
    _checkpoint: "asyncio.Future[None] | None" = None

    def start(self, tool: Tool[Any, Any], arguments: Any, *, lookup_slots: asyncio.Semaphore | None) -> None:
        """Run the tool as soon as a lookup slot is free, if lookups are limited."""
        self._task = asyncio.create_task(self._run(tool, arguments, lookup_slots), name=f"attempt {tool.name}")
        self._task.add_done_callback(lambda _: self._over())

    def stop(self, reason: Reason) -> None:
        """Tell the tool to stop; the outcome follows."""
        self._stopping = self._stopping or reason
        if self._execution is not None:
            self._execution.stop(reason)
        elif self._task is not None:
            self._task.cancel()

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
        if execution is None or self._started_at is None:
            return Attempt(
                run=self.run,
                number=self.number,
                started=now,
                purpose=self.purpose,
                queued=True,
                outcome=self.outcome,
            )
        return Attempt(
            run=self.run,
            number=self.number,
            started=self._started_at,
            purpose=self.purpose,
            outcome=self.outcome,
            facts=execution.facts,
            progress=execution.progress.snapshot(time.monotonic(), written_at=now.replace(microsecond=0)),
            checkpoint=self._checkpoint is not None,
            stopping=execution.stopping,
        )

    async def _run(self, tool: Tool[Any, Any], arguments: Any, lookup_slots: asyncio.Semaphore | None) -> None:
        try:
            if lookup_slots is not None:
                await lookup_slots.acquire()
                self._lookup_slots = lookup_slots
            self._started_at = self.clock()
            self.changed()
            if self.purpose is Purpose.RUN:
                await execute_with_progress(tool, arguments, observer=self, progress=self.tracker)
            else:
                await execute_without_progress(tool, arguments, observer=self)
        except asyncio.CancelledError:
            if self._stopping is None:
                raise
        finally:
            self._release_lookup_slot()

    def _over(self) -> None:
        """Close an attempt that was stopped before its turn came, or before its task had even begun."""
        if self.outcome is None:
            reason = self._stopping or Reason.INTERRUPTED
            self._end(Outcome(reason=reason, message=reason.sentence))

    # The observer of the execution.

    def started(self, execution: Execution[Any, Any]) -> None:
        """Keep it, to show how far it is."""
        self._execution = execution

    def ended(self, execution: Execution[Any, Any], outcome: Outcome) -> None:  # noqa: ARG002 - an observer's interface
        """Keep the outcome for the next decision."""
        self._end(outcome)

    def release_lookup_slot(self, execution: Execution[Any, Any]) -> None:  # noqa: ARG002 - an observer's interface
        """Give the lookup slot to the next one."""
        self._release_lookup_slot()

    def _end(self, outcome: Outcome) -> None:
        self._checkpoint = None
        self.outcome = outcome
        self.finished(outcome)

    def _release_lookup_slot(self) -> None:
        if self._lookup_slots is not None:
            self._lookup_slots.release()
            self._lookup_slots = None

    async def checkpoint(self, execution: Execution[Any, Any]) -> None:  # noqa: ARG002 - an observer's interface
        """Wait until a decision lets the tool pass.

        Raises:
            OperationError: Interrupted, where the record could not be written in time: the tool may hold a lock or a
                place that others wait for.

        """
        self._checkpoint = passed = asyncio.get_running_loop().create_future()
        self.changed()
        try:
            async with asyncio.timeout(CHECKPOINT_SECONDS):
                await passed
        except TimeoutError:
            raise OperationError(Reason.INTERRUPTED) from None
