"""Keep what happened in one trial: every request of the operator, every state of every object, and what was left."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

Body = dict[str, Any]

GROUP_PATH = "/apis/imageops.dev/v1alpha1"
_CHILD = re.compile(r"-[0-9a-f]{10}\b")
"""What ends the name of a Session's child: it is derived from the Session's uid."""
_API_VERSION = re.compile(r"^/v\d+\.\d+")
_STATE = frozenset({"GET /_ping", "GET /info", "GET /version"})
_MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_STARTS_TRANSFER = re.compile(r"POST /images/(?:create\?|.*/push\?)")


@dataclass(frozen=True, slots=True)
class Names:
    """Give what differs from trial to trial (registries' ports, the trial's token, digests) names that do not."""

    replaced: Mapping[str, str]

    def plain(self, text: str) -> str:
        """Return the text with names in place of what differs."""
        for variable, name in self.replaced.items():
            text = text.replace(variable, name)
        return _CHILD.sub("-*", text)


@dataclass(slots=True)
class Call:
    """One request of the operator."""

    place: str
    """`api`, or the name of a daemon."""
    method: str
    target: str
    """Path and query as sent."""
    label: str
    """What it is about, the same in every trial: `PATCH imagepulls/absent/status`."""
    occurrence: int
    """Which of the calls with this label it is, from 1."""
    body: Any = None
    """Of a request to the API server, decoded."""
    status: int | None = None
    """Of the answer; None if none came."""
    done: bool = False
    """Whether the answer came from upstream whole, and reports no failure."""

    @property
    def name(self) -> str:
        """Label and occurrence: what a plan finds it by."""
        return f"{self.place} {self.label} #{self.occurrence}"

    @property
    def numbered(self) -> bool:
        """Whether plans are made for it: each write to the API server, each call of a daemon."""
        return self.place != "api" or self.method in _MUTATING

    @property
    def watches(self) -> bool:
        """Whether it is a watch that has begun."""
        return self.place == "api" and "watch=" in self.target and self.status is not None

    @property
    def asks_for_state(self) -> bool:
        """Whether it asks a daemon how it is, which is done at any time."""
        return self.label in _STATE

    @property
    def transfers(self) -> bool:
        """Whether it is a pull or a push."""
        return self.place != "api" and _STARTS_TRANSFER.match(self.label) is not None

    @property
    def writes_status(self) -> bool:
        """Whether it writes a status, or a part of one."""
        return self.label.startswith("PATCH ") and self.label.endswith("/status")

    @property
    def written_status(self) -> Body | None:
        """The status that this request writes, if it writes a whole one."""
        steps = self.body or () if self.writes_status else ()
        return next((step["value"] for step in steps if step.get("path") == "/status"), None)


@dataclass(frozen=True, slots=True)
class State:
    """One state of one object, as the API server's own watch told it."""

    type: str
    plural: str
    body: Body

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.body["metadata"]["name"])

    @property
    def uid(self) -> str:
        """The object's uid."""
        return str(self.body["metadata"]["uid"])

    @property
    def version(self) -> int:
        """The resourceVersion."""
        return int(self.body["metadata"]["resourceVersion"])

    @property
    def status(self) -> Body:
        """The status, empty before the first write."""
        return dict(self.body.get("status") or {})


@dataclass(frozen=True, slots=True)
class Left:
    """What a trial left behind when everything was at rest."""

    objects: tuple[Body, ...]
    events: tuple[Body, ...]
    tags: Mapping[str, frozenset[str]]
    """The trial's tags on each daemon."""
    served: Mapping[str, str | None]
    """What registries serve under the targets of the trial's pushes: reference to digest."""
    log: str
    metrics: str


@dataclass(slots=True)
class Record:
    """What happened in one trial."""

    names: Names
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must stand in no output."""
    calls: list[Call] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    crashes: int = 0
    """How often the operator was killed, or ended by itself."""
    struck: str | None = None
    """What the plan's fault met; None: it never came to it."""
    finished_before_crash: set[str] = field(default_factory=set)
    """Labels of transfers that the daemon had finished when the operator was killed."""
    unfinished: str | None = None
    """What the workload still waited for when its time was over."""
    left: Left | None = None
    last_numbered: float = field(default_factory=time.monotonic)
    """When the last request came that plans are made for, on the monotonic clock."""
    _counts: Counter[str] = field(default_factory=Counter)

    def call(self, place: str, method: str, target: str, body: Any = None) -> Call:
        """Note a request that came in."""
        label = f"{method} {self.label(place, target, body)}"
        self._counts[f"{place} {label}"] += 1
        call = Call(place, method, target, label, self._counts[f"{place} {label}"], body)
        self.calls.append(call)
        if call.numbered and not call.asks_for_state:
            self.last_numbered = time.monotonic()
        return call

    def label(self, place: str, target: str, body: Any) -> str:
        """Name what a request is about so that it has the same name in every trial."""
        path, question, query = unquote(target).partition("?")
        if place != "api":
            return self.names.plain(_API_VERSION.sub("", path) + question + query)
        path = re.sub(r"/namespaces/[^/]+", "", path.removeprefix(GROUP_PATH)).lstrip("/")
        if path.startswith("api/v1/events"):
            about = body.get("involvedObject", {}) if isinstance(body, dict) else {}
            return self.names.plain(f"events {about.get('name', '')}: {body.get('reason', '')}" if about else "events")
        if isinstance(body, dict) and "metadata" in body:
            path = f"{path}/{body['metadata'].get('name', '')}"
        return self.names.plain(path)

    def history(self) -> dict[str, list[State]]:
        """Return the states of each object, by uid."""
        found: dict[str, list[State]] = {}
        for state in self.states:
            found.setdefault(state.uid, []).append(state)
        return found

    def transfers(self) -> Counter[str]:
        """Count pulls and pushes by daemon and reference."""
        return Counter(f"{call.place} {call.label}" for call in self.calls if call.transfers)


def numbered(calls: Iterable[Call]) -> list[str]:
    """Return the names of the calls that plans are made for, in order; a daemon's own state is asked for once."""
    return [call.name for call in calls if call.numbered and not (call.asks_for_state and call.occurrence > 1)]
