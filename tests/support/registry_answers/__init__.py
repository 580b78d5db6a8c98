"""Hold how registries, and what stands before them, really answer when they refuse: one file a product.

The words are those that documents and reports of the product show; where a product is not known to have a situation it
has no entry, and the table in docs/registries.md says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

OUTCOMES = Path(__file__).parents[1] / "registry_outcomes.yaml"
ENGINES = ("engine-20.10", "engine-29")


class At(StrEnum):
    """Which request the answer is given to."""

    PING = "ping"
    TOKEN = "token"
    SECOND_SCOPE = "second scope"
    PASSWORD = "password"
    MANIFEST = "manifest"
    BLOB = "blob"
    DAMAGED_BLOB = "damaged blob"
    STORAGE = "storage"
    MOUNT = "mount"
    START = "start"
    SEND = "send"
    FINISH = "finish"
    READ_BACK = "read back"


class Login(StrEnum):
    """How the registry asks who somebody is."""

    NONE = "none"
    BASIC = "basic"
    TOKEN = "token"


class Credential(StrEnum):
    """What the operation's Secret holds."""

    NONE = "none"
    RIGHT = "right"
    WRONG = "wrong"


SITUATIONS = (
    "wrong password",
    "no right",
    "no repository",
    "quota",
    "rate limit",
    "scan policy",
    "immutable tag",
    "too large layer",
)
"""What the table has a column for; any other situation is told in the list below it."""
_PUSHES = frozenset({At.SECOND_SCOPE, At.MOUNT, At.START, At.SEND, At.FINISH, At.READ_BACK})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt of an operation comes to here."""

    reason: str
    repeated: bool
    """Whether it is tried again, up to backoffLimit."""
    log_ins: int
    """Requests with a user name and password in one attempt, at most."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of one product, and what it has to be taken for."""

    product: str
    case: str
    situation: str
    at: At
    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    login: Login = Login.TOKEN
    credential: Credential = Credential.RIGHT
    operation: str = "pull"
    slow: bool = False
    """Whether Engine 20.10 repeats it for most of a minute by itself; what it says then is only recorded."""
    times: int | None = None
    """How often it is given before the registry behaves; None = for ever."""

    @property
    def name(self) -> str:
        """Name the answer among all."""
        return f"{self.product}: {self.case}"


def answers() -> list[Answer]:
    """Read all answers."""
    return [
        _answer(path.stem, case, entry)
        for path in sorted(Path(__file__).parent.glob("*.yaml"))
        for case, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items()
    ]


def outcomes() -> dict[tuple[str, str], Outcome]:
    """Read what each answer comes to, by engine and the answer's name."""
    table = yaml.safe_load(OUTCOMES.read_text(encoding="utf-8"))
    return {
        (engine, f"{product}: {case}"): Outcome(**columns)
        for product, cases in table.items()
        for case, engines in cases.items()
        for engine, columns in engines.items()
    }


def _answer(product: str, case: str, entry: dict[str, Any]) -> Answer:
    at = At(entry["at"])
    return Answer(
        product=product,
        case=case,
        situation=entry.get("situation", "other"),
        at=at,
        status=entry["status"],
        body=entry.get("body", ""),
        headers=entry.get("headers", {"Content-Type": "application/json"}),
        login=Login(entry.get("login", "basic" if at is At.PASSWORD else "token")),
        credential=Credential(entry.get("credential", "right")),
        operation=entry.get("operation", "push" if at in _PUSHES else "pull"),
        slow=entry.get("slow", False),
        times=entry.get("times"),
    )
