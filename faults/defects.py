"""Plant a defect into the operator of this process, to show that the oracles see it. No other process has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imageops.cluster.status_writer import StatusWriter


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
    async def write(self: StatusWriter, key: object, status: object, resource_version: str | None) -> None:
        patch = self._api.patch

        async def without_test(path: str, operations: list[dict[str, object]]) -> dict[str, object]:
            return await patch(path, [one for one in operations if one["path"] != "/metadata/uid"])

        object.__setattr__(self._api, "patch", without_test)
        await original(self, key, status, resource_version)  # type: ignore[arg-type]

    original = StatusWriter._write
    StatusWriter._write = write  # type: ignore[method-assign]


DEFECTS: tuple[Defect, ...] = (
    Defect("uid-not-tested", "A status is written without a test of the object's uid.", _forget_the_uid),
)
