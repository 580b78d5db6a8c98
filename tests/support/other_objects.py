"""Stand for the other objects of an operator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FixedOthers:
    """Other objects that ask for some names, and have given some to the daemon."""

    asked: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()

    def ask_for(self, name: str) -> bool:
        """Tell whether one asks for a name."""
        return name in self.asked

    def have(self, name: str) -> bool:
        """Tell whether one has it."""
        return name in self.given
