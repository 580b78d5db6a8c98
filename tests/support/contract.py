"""State what holds for every status of ours at every moment, whatever the object is."""

from __future__ import annotations

import json
from typing import Any

CONDITIONS = {
    "Pending": {"Succeeded": "Unknown", "Ready": "False", "Reconciling": "True"},
    "Running": {"Succeeded": "Unknown", "Ready": "False", "Reconciling": "True"},
    "Open": {"Succeeded": "Unknown", "Ready": "True"},
    "Suspended": {"Succeeded": "Unknown", "Ready": "False"},
    "Succeeded": {"Succeeded": "True", "Ready": "True"},
    "Failed": {"Succeeded": "False", "Ready": "False", "Stalled": "True"},
    "Cancelled": {"Succeeded": "False", "Ready": "False", "Stalled": "True"},
}
"""What each phase, or an open Session, says in conditions; one that is not named is absent."""
_ENDED = {"Succeeded", "Failed", "Cancelled"}
_OPERATION_BYTES = 8 * 1024
_SESSION_BYTES = 96 * 1024


def assert_consistent(body: dict[str, Any]) -> None:
    """Check the conditions, the end and the size of an object's status."""
    status = body.get("status") or {}
    conditions = status.get("conditions") or ()
    phase = status.get("phase", "Pending")
    assert len(json.dumps(status)) < (_SESSION_BYTES if body["kind"] == "Session" else _OPERATION_BYTES)
    if not conditions:
        assert status.get("observedGeneration", -1) == -1, status
        return
    is_open = body["kind"] == "Session" and conditions[0]["reason"] == "Open"
    assert {one["type"]: one["status"] for one in conditions} == CONDITIONS["Open" if is_open else phase], status
    assert not is_open or phase == "Running", status
    assert {one["observedGeneration"] for one in conditions} == {status["observedGeneration"]}, status
    assert len({one["reason"] for one in conditions}) == 1, status
    assert ("completionTime" in status) == (phase in _ENDED), status
    assert ("error" in status) <= (phase != "Succeeded"), status
