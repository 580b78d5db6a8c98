"""Hand what was found and made on the machine to the process that brings up the node.

Inside, folders of the system are hidden, so that nothing can be looked for or installed there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from e2e.images import NodeImage, NodeImages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devcluster.parts import Part

FILE = "plan.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """Say which programs and images the node is made of, and which command is run on it."""

    programs: Mapping[str, str]
    """Where each program is, by the name of its part."""
    images: NodeImages
    command: Sequence[str]

    def program(self, part: Part) -> Path:
        """Locate a program."""
        return Path(self.programs[part.name])

    @classmethod
    def read(cls, run: Path) -> Self:
        """Read what `write` wrote."""
        content = json.loads((run / FILE).read_text(encoding="utf-8"))
        images = {
            name: NodeImage(each["repository"], each["tag"], Path(each["archive"]))
            for name, each in content["images"].items()
        }
        return cls(content["programs"], NodeImages(**images), content["command"])

    def write(self, run: Path) -> None:
        """Write the plan into the folder of the run."""
        (run / FILE).write_text(json.dumps(asdict(self), default=str), encoding="utf-8")
