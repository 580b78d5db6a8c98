"""Write down what happens to the executions of tools."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from imageops.core.outcome import Outcome
from imageops.tools.execution import Execution


@dataclass(slots=True)
class Recorder:
    """An observer that writes everything down and holds nothing up."""

    begun: list[Execution[Any, Any]] = field(default_factory=list)
    closed: list[tuple[Execution[Any, Any], Outcome]] = field(default_factory=list)
    checkpoints: int = 0
    transfers: int = 0

    def started(self, execution: Execution[Any, Any]) -> None:
        """Write a start down."""
        self.begun.append(execution)

    def ended(self, execution: Execution[Any, Any], outcome: Outcome) -> None:
        """Write an end down."""
        self.closed.append((execution, outcome))

    def release_lookup_slot(self, execution: Execution[Any, Any]) -> None:
        """Write a transfer down."""
        assert execution in self.begun
        self.transfers += 1

    async def checkpoint(self, execution: Execution[Any, Any]) -> None:
        """Let it pass."""
        assert execution.facts.previous is not None
        self.checkpoints += 1
