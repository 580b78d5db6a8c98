"""Read the workflows of the repository as data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
PINNED = re.compile(r"(?P<action>[\w.-]+(?:/[\w.-]+)+)@(?P<commit>[0-9a-f]{40}) # (?P<version>v\d+\.\d+\.\d+)")
"""An action by the full SHA of a commit, with the release that it is beside it for people."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a workflow."""

    workflow: str
    name: str
    body: dict[str, Any]

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Its steps; none where it calls another workflow."""
        return list(self.body.get("steps", ()))

    @property
    def commands(self) -> list[str]:
        """What its steps run, in their order."""
        return [step["run"] for step in self.steps if "run" in step]

    @property
    def script(self) -> str:
        """All that its steps run."""
        return "\n".join(self.commands)

    @property
    def permissions(self) -> dict[str, str]:
        """What its token may do."""
        return dict(self.body["permissions"])


def files() -> list[Path]:
    """Return the files of all workflows."""
    return sorted(FOLDER.glob("*.yaml"))


def workflow(name: str) -> dict[str, Any]:
    """Read a workflow; YAML 1.1 takes its key `on` for True."""
    found: dict[Any, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return {"on" if key is True else str(key): value for key, value in found.items()}


def jobs() -> list[Job]:
    """Return the jobs of all workflows."""
    return [Job(file.stem, name, body) for file in files() for name, body in workflow(file.stem)["jobs"].items()]


def job(workflow_name: str, name: str) -> Job:
    """Return one job."""
    return next(one for one in jobs() if (one.workflow, one.name) == (workflow_name, name))


def used() -> Iterator[str]:
    """Yield what follows each `uses:`, with the comment behind it."""
    for file in files():
        for line in file.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"\s*(?:- )?uses: (.+)", line):
                yield match[1]
