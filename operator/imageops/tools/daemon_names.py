"""Take away names on a daemon that a pull has left behind, unless another object counts on them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from imageops.tools.daemon import Daemon


class OtherObjects(Protocol):
    """What all other objects of the operator want of one daemon, as far as the operator has seen them."""

    def ask_for(self, name: str) -> bool:
        """Tell whether one of them is to give the daemon this name, whatever came of it so far."""
        ...

    def have(self, name: str) -> bool:
        """Tell whether one of them has given the daemon this name, with success."""
        ...


class NoOthers:
    """Stand for a tool that is alone on its daemon."""

    def ask_for(self, name: str) -> bool:  # noqa: ARG002 - the protocol
        """Tell that nobody does."""
        return False

    def have(self, name: str) -> bool:  # noqa: ARG002 - the protocol
        """Tell that nobody has."""
        return False


@dataclass(frozen=True, slots=True)
class DaemonNames:
    """The names on one daemon, as one operation may take them away.

    Others are asked under the lock of the name, right before the removal: whoever tags waits, and who came meanwhile
    counts. What remains: an object whose creation the operator has not heard of yet, and people and programs beside
    the operator, of whom it never hears. A name that they had given anew in the course of the pull is lost to them.
    """

    daemon: Daemon
    others: OtherObjects

    async def drop_part(self, name: str) -> None:
        """Take away the name by digest that the pull of a part has left, unless somebody asks for that very part."""
        await self._drop(name, kept=self.others.ask_for)

    async def drop_refused(self, name: str) -> None:
        """Take away the name of an image that the Engine refused, unless it names what another object brought.

        An object that only asks for it does not count: it would meet the same refusal, or find the image that no Engine
        could unpack and call it present.
        """
        await self._drop(name, kept=self.others.have)

    async def _drop(self, name: str, *, kept: Callable[[str], bool]) -> None:
        async with self.daemon.targets.holding(name):
            if not kept(name):
                await self.daemon.engine.remove(name)
