"""Reduce what a trial left to what must be the same in every trial, whatever was done to the operator."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from faults.record import Body, Names, Record

INTERRUPTED = "Interrupted"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SAME_EFFECT = {"AlreadyPresent": "Pulled", "AlreadyPushed": "Pushed", "AlreadyTagged": "Tagged"}
"""After a crash what was done already is recognised, and called so."""


@dataclass(frozen=True, slots=True)
class Clean:
    """What an undisturbed trial comes to."""

    objects: Mapping[str, Body]
    tags: Mapping[str, frozenset[str]]
    served: Mapping[str, str | None]
    transfers: Counter[str]

    @classmethod
    def of(cls, record: Record, *, recognises: bool = False) -> Clean:
        """Sum a record up; with `recognises` it does not matter whether something was done or found done."""
        left = record.left
        if left is None:
            raise ValueError("the trial has not ended")
        plain = record.names.plain
        return cls(
            objects={
                _label(body, record.names): _object(body, record.names, recognises=recognises) for body in left.objects
            },
            tags={daemon: frozenset(plain(tag) for tag in tags) for daemon, tags in left.tags.items()},
            served={plain(tag): _named(digest, record.names) for tag, digest in left.served.items()},
            transfers=record.transfers(),
        )

    def recognising(self) -> Clean:
        """Return the same with done and found done as one."""
        return Clean(
            {
                name: _recognised({key: value for key, value in body.items() if key != "auth"})
                for name, body in self.objects.items()
            },
            self.tags,
            self.served,
            self.transfers,
        )


def differences(expected: Any, found: Any, where: str = "") -> list[str]:
    """Say where two documents differ."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        keys = sorted({*expected, *found})
        return [line for key in keys for line in differences(expected.get(key), found.get(key), f"{where}.{key}")]
    return [] if expected == found else [f"{where.lstrip('.')}: {found!r} instead of {expected!r}"]


def _label(body: Body, names: Names) -> str:
    return f"{body['kind']} {names.plain(body['metadata']['name'])}"


def _object(body: Body, names: Names, *, recognises: bool) -> Body:
    status = body.get("status") or {}
    metadata = body["metadata"]
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    found = {
        "phase": status.get("phase"),
        "has failed": bool(status.get("failedAttempts")),
        "reason": (conditions.get("Ready") or {}).get("reason"),
        "conditions": {kind: one["status"] for kind, one in conditions.items()},
        "observed": status.get("observedGeneration") == metadata.get("generation"),
        "finalizers": metadata.get("finalizers") or [],
        "owners": sorted(owner["kind"] for owner in metadata.get("ownerReferences") or ()),
        "error": {key: (status.get("error") or {}).get(key) for key in ("reason", "class")},
        "history": _history(status.get("history") or ()),
        "steps": [
            {key: row.get(key) for key in ("name", "action", "phase", "reason", "digest")}
            for row in status.get("steps") or ()
        ],
        "runs": [{key: row.get(key) for key in ("run", "phase", "reason")} for row in status.get("runs") or ()],
        **{key: status[key] for key in _KEPT if key in status},
    }
    if "image" in found:
        found["image"] = {key: value for key, value in found["image"].items() if key != "sizeBytes"}  # of random bytes
    if found["phase"] == "Cancelled":  # an attempt may or may not be in progress at that moment
        del found["history"]
        found.pop("auth", None)
        found.pop("daemon", None)
    if recognises:  # what is found done asks no registry
        found.pop("auth", None)
    named: Body = _named(found, names)
    return _recognised(named) if recognises else named


_KEPT = (
    "run",
    "reference",
    "sourceReference",
    "image",
    "previous",
    "auth",
    "daemon",
    "evidence",
    "total",
    "pending",
    "running",
    "succeeded",
    "failed",
    "cancelled",
    "skipped",
)


def _history(entries: Iterable[Body]) -> list[list[Any]]:
    """Return the attempts that were counted; how often the same failure came depends on when the registry is mended."""
    counted = (entry for entry in entries if entry.get("outcome") != INTERRUPTED)
    told = ([entry.get(key) for key in ("run", "trigger", "outcome", "reason")] for entry in counted)
    return [entry for entry, _ in groupby(told)]


def _named(value: Any, names: Names) -> Any:
    if isinstance(value, str):
        return _DIGEST.sub("<digest>", names.plain(value))
    if isinstance(value, Mapping):
        return {key: _named(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return value


def _recognised(value: Any) -> Any:
    if isinstance(value, str):
        return _SAME_EFFECT.get(value, value)
    if isinstance(value, Mapping):
        return {key: _recognised(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_recognised(item) for item in value]
    return value
