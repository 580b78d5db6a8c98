"""Build the steps of Sessions, and look at what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from imageops.api.kinds import OPERATION_KINDS, SESSION, SESSION_LABEL, Kind
from tests.support.objects import Body, Objects

COUNTS = ("pending", "running", "succeeded", "failed", "cancelled", "skipped")
ENDED = ("Succeeded", "Failed", "Cancelled")


def pull(name: str, image: str, **fields: Any) -> Body:
    """Make a step that pulls; `runAfter` and the like belong to the step, all else to the pull."""
    return _step(name, "pull", {"image": image}, fields)


def tag(name: str, source: str, target: str, **fields: Any) -> Body:
    """Make a step that tags."""
    return _step(name, "tag", {"source": source, "target": target}, fields)


def push(name: str, image: str, **fields: Any) -> Body:
    """Make a step that pushes."""
    return _step(name, "push", {"image": image}, fields)


def promote(name: str, source: str, target: str, **fields: Any) -> Body:
    """Make a step that promotes."""
    return _step(name, "promote", {"source": source, "target": target}, fields)


def _step(name: str, action: str, what: Body, fields: Body) -> Body:
    of_step = {key: value for key, value in fields.items() if key in {"runAfter", "timeoutSeconds", "backoffLimit"}}
    of_action = {key: value for key, value in fields.items() if key not in of_step}
    return {"name": name, action: {**what, **of_action}, **of_step}


def children(objects: Objects, session: str) -> dict[tuple[str, str], Body]:
    """Return the operations that a Session made and that are not on their way out, by kind and name."""
    found: dict[tuple[str, str], Body] = {}
    for kind in OPERATION_KINDS:
        for body in objects.all(kind):
            metadata = body["metadata"]
            mine = (metadata.get("labels") or {}).get(SESSION_LABEL) == session
            if mine and "deletionTimestamp" not in metadata:
                found[kind.kind, metadata["name"]] = body
    return found


def child_of(objects: Objects, session: str, step: str) -> tuple[Kind, str]:
    """Return kind and name of the operation that performs a step now."""
    rows = objects.get(SESSION, session)["status"]["steps"]
    reference = next(row["operationRef"] for row in rows if row["name"] == step)
    return next(kind for kind in OPERATION_KINDS if kind.kind == reference["kind"]), reference["name"]


def phases(body: Body) -> dict[str, str]:
    """Return the phase of each step."""
    return {row["name"]: row.get("phase", "Pending") for row in (body.get("status") or {}).get("steps") or ()}


def counts(body: Body) -> dict[str, int]:
    """Return the counts of a Session that are not 0; they must add up to its total."""
    status = body["status"]
    numbers = {name: status.get(name, 0) for name in COUNTS}
    assert sum(numbers.values()) == status.get("total", 0), status
    return {name: number for name, number in numbers.items() if number}


def step_is(name: str, phase: str) -> Callable[[Body], bool]:
    """Return a test whether a step is in a phase."""
    return lambda body: phases(body).get(name) == phase


def running(number: int) -> Callable[[Body], bool]:
    """Return a test whether so many operations of a Session are running and have begun to move bytes."""

    def holds(body: Body) -> bool:
        active = (body.get("status") or {}).get("active") or ()
        return len(active) == number and all("percent" in one for one in active)

    return holds
