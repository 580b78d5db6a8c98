"""Say what values are tried on: objects that come to a good end within moments, and what they are made of."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from faults.schema.crd import Path_
from faults.schema.values import ABSENT
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, SESSION, Kind

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """One object, and which properties of its kind are tried on it."""

    name: str
    kind: Kind
    spec: Spec
    below: tuple[Path_, ...]
    """Where the properties are that are tried on it: those that begin so, and on no other Session."""
    ends: bool = True
    """Whether its run comes to an end by itself; else it stays at work until it is cancelled."""
    again: bool = False
    """Whether its properties are tried on another subject too, and there also with values that are refused."""


_PULL = {"image": "$present"}
_STEP = ("steps", "[]")

SUBJECTS = (
    Subject("pull", IMAGE_PULL, {**_PULL, "backoffLimit": 0}, ((),)),
    Subject("asking-pull", IMAGE_PULL, {**_PULL, "imagePullPolicy": "Always", "backoffLimit": 1}, ((),), again=True),
    Subject("stuck-pull", IMAGE_PULL, {"image": "$stuck"}, ((),), ends=False, again=True),
    Subject("push", IMAGE_PUSH, {"image": "$pushed", "backoffLimit": 0}, ((),)),
    Subject("tag", IMAGE_TAG, {"source": "$present", "target": "$target", "backoffLimit": 0}, ((),)),
    Subject(
        "promotion",
        SESSION,
        {"backoffLimit": 0, "steps": [{"name": "first", "promote": {"source": "$present", "target": "$remote"}}]},
        ((*_STEP, "promote"),),
    ),
    Subject(
        "tag-step",
        SESSION,
        {"backoffLimit": 0, "steps": [{"name": "first", "tag": {"source": "$present", "target": "$target"}}]},
        ((*_STEP, "tag"),),
    ),
    Subject(
        "push-step",
        SESSION,
        {"backoffLimit": 0, "steps": [{"name": "first", "push": {"image": "$pushed"}}]},
        ((*_STEP, "push"),),
    ),
    Subject(
        "two-steps",
        SESSION,
        {"backoffLimit": 0, "steps": [{"name": "first", "pull": _PULL}, {"name": "second", "pull": _PULL}]},
        ((*_STEP, "runAfter"),),
    ),
    Subject("open", SESSION, {}, (("closed",), ("idleTimeoutSeconds",))),
    Subject("session", SESSION, {"backoffLimit": 0, "steps": [{"name": "first", "pull": _PULL}]}, ((),)),
    Subject(
        "stuck-session",
        SESSION,
        {"steps": [{"name": "first", "pull": {"image": "$stuck"}}]},
        ((),),
        ends=False,
        again=True,
    ),
    Subject(
        "expiring-pull",
        IMAGE_PULL,
        {**_PULL, "ttlSecondsAfterFinished": 31_536_000},
        (("intervalSeconds",),),
        again=True,
    ),
)


def tried_on(subject: Subject, path: Path_) -> bool:
    """Tell whether a property of the subject's kind is tried on it."""
    if subject.again or subject.kind is not SESSION:
        return path[:1] != ("steps",) and any(path[: len(below)] == below for below in subject.below)
    first = next(one for one in SUBJECTS if one.kind is SESSION and any(path[: len(b)] == b for b in one.below))
    return first is subject


def with_value(spec: Mapping[str, Any], path: Path_, value: Any) -> Spec:
    """Return a spec with a value in place of a property; what is above it is made where it is not there."""
    changed = copy.deepcopy(dict(spec))
    if path[0] == "preconditions" and "target" in changed and len(path) > 1:
        changed["ifExists"] = "Replace"  # which they need
    if path[2:4] == ("tag", "preconditions") and len(path) > 4:
        changed["steps"][0]["tag"]["ifExists"] = "Replace"
    place: Any = changed
    for name, below in pairwise(path):
        if name == "[]":
            index = len(place) - 1 if "runAfter" in path else 0
            place = place[index] if place else _grown(place, below)
        else:
            place = place.setdefault(name, [] if below == "[]" else {})
    last: Any = path[-1]
    if last == "[]":
        place[:1] = [] if value is ABSENT else [value]
    elif value is ABSENT:
        place.pop(last, None)
    else:
        place[last] = value
    return changed


def _grown(place: list[Any], below: str) -> Any:
    place.append([] if below == "[]" else {})
    return place[0]


_IMAGES = ("present", "other", "absent", "target", "second", "remote", "pushed", "stuck")


@dataclass(frozen=True, slots=True)
class Site:
    """What the names that begin with `$` stand for in one trial."""

    names: Mapping[str, str]

    @classmethod
    def imagined(cls) -> Self:
        """Return one that has the form of a real one, and no more."""
        digest = f"sha256:{'1' * 64}"
        texts = dict.fromkeys(_IMAGES, "registry.test/team/app:1")
        return cls({**texts, "registry": "registry.test", "digest": digest, "id": digest})

    def real(self, value: Any) -> Any:
        """Return a value with the real names put in."""
        if isinstance(value, str):
            for name in sorted(self.names, key=len, reverse=True):
                value = value.replace(f"${name}", self.names[name])
            return value
        if isinstance(value, dict):
            return {key: self.real(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.real(inner) for inner in value]
        return value


def difference(before: Any, after: Any) -> Any:
    """Return the merge patch (RFC 7386) that makes one document of another."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    changed = {key: difference(before.get(key), value) for key, value in after.items() if before.get(key) != value}
    return {**changed, **{key: None for key in before if key not in after}}
