"""Plant a defect into the operator of this process, to show that the oracles see it. No other process has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imageops.cluster.api_server import ApiServer


@dataclass(frozen=True, slots=True)
class Defect:
    """One mistake that somebody could make."""

    name: str
    meaning: str
    make: Callable[[], None]


def plant(name: str) -> None:
    """Make the mistake in this process."""
    next(defect for defect in DEFECTS if defect.name == name).make()


def _forget_the_uid() -> None:
    async def patch(self: ApiServer, path: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
        return await original(self, path, [one for one in operations if one["path"] != "/metadata/uid"])

    original = ApiServer.patch
    ApiServer.patch = patch  # type: ignore[method-assign]


DEFECTS: tuple[Defect, ...] = (
    Defect("uid-not-tested", "A status is written without a test of the object's uid.", _forget_the_uid),
)
