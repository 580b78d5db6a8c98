"""Judge what a change of a spec did: pure functions over the states of objects, and the log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from faults.schema import crd
from imageops.api.kinds import SESSION, Kind
from imageops.api.reasons import Reason, ReasonClass
from imageops.api.status import Phase

Body = dict[str, Any]

_ENDED = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})
_BY_EFFECT = {"AlreadyPresent": "Pulled", "AlreadyPushed": "Pushed", "AlreadyTagged": "Tagged"}
"""What was done before is found done; the end is the same."""
_WAITS = frozenset({Reason.SECRET_NOT_FOUND, Reason.SESSION_NOT_FOUND, Reason.DAEMON_UNAVAILABLE})
"""Reasons that something outside has to end."""


def reason(body: Body) -> str:
    """Return the reason of the Ready condition."""
    return next((one["reason"] for one in _conditions(body) if one["type"] == "Ready"), "")


def at_rest(body: Body, others: Iterable[Body]) -> bool:
    """Tell whether nothing will happen to an object by itself, or nothing but another attempt after a pause.

    Args:
        body: The object.
        others: All objects of its namespace: a Session rests with its operations.
    """
    status = body.get("status") or {}
    if status.get("observedGeneration") != body["metadata"]["generation"]:
        return False
    if status.get("phase") in _ENDED:
        return "completionTime" in status
    if status.get("phase") == Phase.SUSPENDED or reason(body) == Reason.OPEN or reason(body) in _WAITS:
        return True
    if body["kind"] != SESSION.kind:
        return "nextRetryTime" in status
    uid = body["metadata"]["uid"]
    children = [one for one in others if any(o["uid"] == uid for o in one["metadata"].get("ownerReferences") or ())]
    left = [child for child in children if (child.get("status") or {}).get("phase") not in _ENDED]
    return bool(left) and all(at_rest(child, ()) for child in left)


def of_end(body: Body) -> Iterator[str]:
    """Yield what is wrong with an end: the reason must be one of ours, and a failure says what to do."""
    status = body.get("status") or {}
    if status.get("phase") not in _ENDED:
        return
    word = reason(body)
    if word not in set(Reason):
        yield f"ends with the reason {word!r}"
        return
    if (Reason(word).reason_class is ReasonClass.SUCCESS) != (status["phase"] == Phase.SUCCEEDED):
        yield f"ends {status['phase']} with the reason {word}"
    stalled = any(one["type"] == "Stalled" and one["status"] == "True" for one in _conditions(body))
    if stalled == (status["phase"] == Phase.SUCCEEDED):
        yield f"ends {status['phase']} and is {'' if stalled else 'not '}stalled"
    error = status.get("error")
    if error is not None and not (error.get("hint") and error.get("message")):
        yield f"ends with the error {error.get('reason')} without words"
    if status["phase"] == Phase.FAILED and body["kind"] != SESSION.kind and error is None:
        yield "ends Failed without an error"


def end_state(body: Body) -> Body:
    """Return what must be the same again after a spec was changed and put back."""
    status = body.get("status") or {}
    return {
        "phase": status.get("phase"),
        "reason": _BY_EFFECT.get(reason(body), reason(body)),
        "conditions": {one["type"]: one["status"] for one in _conditions(body)},
        # At work this is the error of an attempt before.
        "error": (status.get("error") or {}).get("reason") if "completionTime" in status else None,
        "steps": [
            {key: _BY_EFFECT.get(row.get(key), row.get(key)) for key in ("name", "action", "phase", "reason", "digest")}
            for row in status.get("steps") or ()
        ],
        "daemon": (status.get("daemon") or {}).get("name"),
        **{key: status.get(key) for key in _KEPT},
    }


_KEPT = ("reference", "sourceReference", "image", "total", "pending", "running", "succeeded", "failed", "skipped")


def of_status(kind: Kind, status: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a written status by the CRD: the API server drops unknown fields without a word."""
    yield from (f"writes status{problem}" for problem in crd.problems(crd.schema(kind, "status"), dict(status)))


def of_refusal(path: crd.Path_, message: str) -> Iterator[str]:
    """Yield whether a refusal does not say which field is wrong: the one that was tried, or one that it stands in."""
    named = [name for name in path if name != "[]"]
    if not any(re.search(rf"\b{name}\b", message) for name in named):
        yield f"the refusal does not name {named[-1]}: {message}"


def of_log(log: str) -> Iterator[str]:
    """Yield the lines of a log that no change of a spec may cause."""
    for line in log.splitlines():
        try:
            level = json.loads(line).get("level")
        except ValueError:
            level = "traceback" if line.startswith("Traceback") else None
        if level in {"error", "critical", "traceback"}:
            yield f"the log says: {line[:300]}"


def _conditions(body: Body) -> list[Body]:
    return list((body.get("status") or {}).get("conditions") or ())
