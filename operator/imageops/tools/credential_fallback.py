"""Run a tool under one credential after the other, until the registry takes one."""

from dataclasses import dataclass
from typing import Any, Protocol

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.tools.tool import Tool, ToolContext


class CredentialTurns(Protocol):
    """Knows which credential the tool was given last, and whether there is another."""

    def after(self, error: OperationError) -> OperationError | None:
        """Return what a failure of the tool comes down to; None = it is to be run with the next credential."""
        ...


@dataclass(frozen=True, slots=True)
class CredentialFallback:
    """A tool that is run once for each credential; what ends it is the end of the last."""

    tool: Tool[Any, Any]
    turns: CredentialTurns

    @property
    def name(self) -> str:
        """The name of the tool."""
        return self.tool.name

    async def run(self, arguments: Any, context: ToolContext) -> Any:
        """Run the tool until it does not fail for its credential.

        Raises:
            OperationError: As the tool raised it. An account that may ask and is told that there is no such image says
                more than one that may not, whichever came last.

        """
        absent: OperationError | None = None
        while True:
            try:
                return await self.tool.run(arguments, context)
            except OperationError as error:
                absent = absent or (error if error.reason is Reason.IMAGE_NOT_FOUND else None)
                told = self.turns.after(error)
                if told is None:
                    continue
                if told.reason is Reason.AUTH_FAILED and absent is not None:
                    raise absent from error
                raise told from (error if told is not error else error.__cause__)
