"""What a tool is, and what it is given to work with."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol, TypeVar

from imageops.api.progress import LayerRecord
from imageops.api.reasons import Reason
from imageops.api.status import AuthStatus, DaemonStatus, ImageStatus, PreviousImage, Progress
from imageops.core.progress import Stage


class ToolResult(Protocol):
    """What every tool's result says of itself."""

    @property
    def reason(self) -> Reason:
        """The success reason."""
        ...

    @property
    def message(self) -> str:
        """One sentence for people; no credential, no text of a daemon."""
        ...


class ToolArguments(Protocol):
    """What a tool is asked for."""

    def shown(self) -> Mapping[str, str]:
        """Return the arguments that may be put on record; never a credential."""
        ...


class ProgressSink(Protocol):
    """Where a tool tells how far it is. Called from any thread."""

    @property
    def streams(self) -> int:
        """How many streams of equal weight the tool reads in all."""
        ...

    @streams.setter
    def streams(self, value: int) -> None: ...

    def reached(self, stage: Stage) -> None:
        """Enter a stage."""
        ...

    def record(self, record: LayerRecord, now: float) -> None:
        """Take in what a layer does; `now` is a monotonic clock in seconds."""
        ...

    def stream_finished(self) -> None:
        """Count one stream as read to its positive end."""
        ...

    @property
    def bytes_transferred(self) -> int:
        """Return the bytes moved so far."""
        ...

    def snapshot(self, now: float, *, written_at: datetime) -> Progress | None:
        """Return what is to be shown; None where no progress is kept."""
        ...


class ToolContext(Protocol):
    """What a running tool may use of its surroundings."""

    @property
    def progress(self) -> ProgressSink:
        """Where to tell how far it is."""
        ...

    def learn(
        self,
        *,
        daemon: DaemonStatus | None = None,
        auth: AuthStatus | None = None,
        image: ImageStatus | None = None,
        previous: PreviousImage | None = None,
    ) -> None:
        """Put on record what was found out, whatever comes of the attempt."""
        ...

    def follow(self, progress: ProgressSink) -> None:
        """Show the progress of a stream that another execution began, and count none of its bytes."""
        ...

    def release_lookup_slot(self) -> None:
        """Let others have this execution's place among those that ask the daemon short questions."""
        ...

    async def checkpoint(self) -> None:
        """Return when all that was learned is on record; to be awaited before anything existing is replaced."""
        ...


ArgumentsT_contra = TypeVar("ArgumentsT_contra", bound=ToolArguments, contravariant=True)
ResultT_co = TypeVar("ResultT_co", bound=ToolResult, covariant=True)


class Tool(Protocol[ArgumentsT_contra, ResultT_co]):
    """One atomic step."""

    @property
    def name(self) -> str:
        """A short name, such as `pull`; stands in history and metrics."""
        ...

    async def run(self, arguments: ArgumentsT_contra, context: ToolContext) -> ResultT_co:
        """Do the step to its end, or leave by an exception.

        Cancellation of the task is the request to stop: close what is open and let `CancelledError` pass.

        Raises:
            OperationError: With the reason why it cannot be done, now or ever.

        """
        ...
