from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.core.outcome import Outcome
from imageops.core.progress import ProgressTracker
from imageops.tools.credential_fallback import CredentialFallback
from imageops.tools.execution import Execution
from imageops.tools.image_status import ImageResult
from tests.support.recorder import Recorder


@dataclass(slots=True)
class Scripted:
    """A tool that ends as it is told to, once for each run."""

    ends: list[Reason | None]
    name: str = "scripted"

    async def run(self, _arguments: Any, _context: Any) -> ImageResult:
        """End; None is success."""
        reason = self.ends.pop(0)
        if reason is not None:
            raise OperationError(reason)
        return ImageResult(reason=Reason.PULLED, message="Done.")


@dataclass(slots=True)
class Turns:
    """Credentials of which some are left."""

    left: int
    last: Reason | None = None
    """What the end of the last one comes down to, where it is something else."""
    seen: list[Reason] = field(default_factory=list)

    def after(self, error: OperationError) -> OperationError | None:
        """Give the next one, while there is one."""
        self.seen.append(error.reason)
        self.left -= 1
        if self.left:
            return None
        return OperationError(self.last) if self.last is not None else error


async def ended(tool: Scripted, turns: Turns) -> Outcome:
    """Run the tool in turn."""
    whole = CredentialFallback(tool, turns)
    assert whole.name == "scripted"
    arguments: Any = None
    return await Execution[Any, Any](whole, arguments, ProgressTracker(), Recorder()).run()


@pytest.mark.feature("cred.kubelet")
@pytest.mark.parametrize(
    ("ends", "left", "last", "reason", "asked"),
    [
        ([None], 1, None, Reason.PULLED, 0),
        ([Reason.AUTH_FAILED, None], 2, None, Reason.PULLED, 1),
        ([Reason.AUTH_FAILED, Reason.IMAGE_NOT_FOUND, None], 3, None, Reason.PULLED, 2),
        ([Reason.AUTH_FAILED, Reason.AUTH_FAILED], 2, None, Reason.AUTH_FAILED, 2),
        ([Reason.AUTH_FAILED, Reason.TIMED_OUT], 2, None, Reason.TIMED_OUT, 2),
        ([Reason.AUTH_FAILED, Reason.AUTH_FAILED], 2, Reason.SECRET_NOT_FOUND, Reason.SECRET_NOT_FOUND, 2),
        ([Reason.IMAGE_NOT_FOUND, Reason.AUTH_FAILED], 2, None, Reason.IMAGE_NOT_FOUND, 2),
        ([Reason.AUTH_FAILED, Reason.IMAGE_NOT_FOUND], 2, None, Reason.IMAGE_NOT_FOUND, 2),
    ],
)
async def test_a_tool_is_run_until_a_credential_is_taken(
    ends: list[Reason | None], left: int, last: Reason | None, reason: Reason, asked: int
) -> None:
    """An account that is told of no such image says more than one that is refused; all else ends it at once."""
    tool, turns = Scripted(list(ends)), Turns(left, last)
    outcome = await ended(tool, turns)
    assert (outcome.reason, tool.ends, len(turns.seen)) == (reason, [], asked)
