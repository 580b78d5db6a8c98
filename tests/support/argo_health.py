"""Judge objects as Argo CD does: run a health.lua in a Lua 5.1 that has no more libraries than Argo CD gives it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lupa.lua51 import LuaRuntime, lua_type

ROOT = Path(__file__).parents[2]
ARGOCD = ROOT / "examples" / "argocd"
CUSTOMIZATIONS = ARGOCD / "resource_customizations"
GROUP_FOLDER = CUSTOMIZATIONS / "imageops.dev"
SETTING = "resource.customizations.health.imageops.dev_"
"""Begins the key of argocd-cm that holds the script of a kind."""

_REMOVED = ("string", "math", "io", "debug", "coroutine", "python", "os")
"""What Lua has by itself, and scripts out of argocd-cm do not, unless an administrator opens the standard libraries."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a script says of an object."""

    status: str
    message: str


def script(kind: str) -> str:
    """Return the script of a kind."""
    return (GROUP_FOLDER / kind / "health.lua").read_text(encoding="utf-8")


def judge(script: str, body: dict[str, Any]) -> Health:
    """Run a script on an object."""
    lua = LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    names = lua.globals()
    for name in _REMOVED:
        names[name] = None
    names["obj"] = lua.table_from(body, recursive=True)
    answer = lua.execute(script)
    assert lua_type(answer) == "table", answer
    return Health(**dict(answer))


def settings() -> dict[str, str]:
    """Return the scripts as they stand in the example for argocd-cm."""
    config = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text(encoding="utf-8"))
    return dict(config["data"])
