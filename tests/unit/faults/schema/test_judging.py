from __future__ import annotations

from typing import Any

import pytest

from faults.schema import judging
from imageops.api.kinds import IMAGE_PULL

Body = dict[str, Any]


def body(phase: str, word: str, *, kind: str = "ImagePull", **status: Any) -> Body:
    """Make an object whose status is of its present generation."""
    stalled = [{"type": "Stalled", "status": "True", "reason": word}] if phase in {"Failed", "Cancelled"} else []
    ready = {"type": "Ready", "status": "True" if phase == "Succeeded" else "False", "reason": word}
    if phase in {"Succeeded", "Failed", "Cancelled"}:
        status.setdefault("completionTime", "2026-01-02T03:04:05Z")
    return {
        "kind": kind,
        "metadata": {"name": "x", "uid": f"{kind}-uid", "generation": 2},
        "status": {"observedGeneration": 2, "phase": phase, "conditions": [ready, *stalled], **status},
    }


@pytest.mark.parametrize(
    ("one", "rests"),
    [
        (body("Succeeded", "Pulled"), True),
        (body("Suspended", "Suspended"), True),
        (body("Running", "Open", kind="Session"), True),
        (body("Pending", "SecretNotFound"), True),
        (body("Pending", "Retrying", nextRetryTime="2026-01-02T03:04:05Z"), True),
        (body("Pending", "Pending"), False),
        (body("Running", "Pulling"), False),
        (body("Running", "Running", kind="Session"), False),
        (body("Succeeded", "Pulled", observedGeneration=1), False),
    ],
)
def test_what_rests(one: Body, *, rests: bool) -> None:
    """An end, a documented wait, or a pause before another attempt, of the present generation."""
    assert judging.at_rest(one, []) is rests


def test_a_session_rests_with_its_operations() -> None:
    """If one is left that waits for something outside, and none that works."""
    session = body("Running", "Running", kind="Session")
    owner = {"ownerReferences": [{"uid": "Session-uid"}]}
    waits, works, over = body("Pending", "SecretNotFound"), body("Running", "Pulling"), body("Succeeded", "Pulled")
    for child in (waits, works, over):
        child["metadata"] |= owner
    assert judging.at_rest(session, [waits, over])
    assert not judging.at_rest(session, [waits, works])
    assert not judging.at_rest(session, [over])


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (body("Succeeded", "Pulled"), None),
        (body("Failed", "ImageNotFound", error={"reason": "ImageNotFound", "message": "m", "hint": "h"}), None),
        (body("Failed", "Nonsense", error={"message": "m", "hint": "h"}), "reason 'Nonsense'"),
        (body("Failed", "Pulled", error={"message": "m", "hint": "h"}), "ends Failed with the reason Pulled"),
        (body("Failed", "ImageNotFound", error={"message": "m", "hint": ""}), "without words"),
        (body("Failed", "ImageNotFound"), "without an error"),
        (body("Failed", "ImageNotFound", error={"message": "m", "hint": "h"}, conditions=[]), "reason ''"),
        (body("Running", "Nonsense"), None),
    ],
)
def test_an_end_has_a_reason_and_words(one: Body, found: str | None) -> None:
    """Of the closed set, of the class of its phase, and a failure says what to do."""
    findings = list(judging.of_end(one))
    assert findings == [] if found is None else any(found in finding for finding in findings)


def test_an_end_is_the_same_whether_something_was_done_or_found_done() -> None:
    """Times, counts and attempts do not matter; content does."""
    first = body("Succeeded", "Pulled", run=1, image={"id": "a"})
    again = body("Succeeded", "AlreadyPresent", run=3, image={"id": "a"})
    other = body("Succeeded", "AlreadyPresent", run=3, image={"id": "b"})
    assert judging.end_state(first) == judging.end_state(again)
    assert judging.end_state(first) != judging.end_state(other)


def test_a_refusal_names_the_field() -> None:
    """Or one that it stands in, as a whole word."""
    path = ("steps", "[]", "pull", "image")
    assert not list(judging.of_refusal(path, "spec.steps[0].pull.image: Invalid value"))
    assert not list(judging.of_refusal(path, "spec.steps[0].pull: a rule"))
    assert list(judging.of_refusal(path, "something is wrong with images"))


def test_errors_in_the_log_are_findings() -> None:
    """A line of level error, or a traceback that nobody caught."""
    log = '{"level": "info", "msg": "a"}\nplain\n{"level": "error", "msg": "b"}\nTraceback (most recent call last):\n'
    assert len(list(judging.of_log(log))) == 2


def test_an_unknown_field_of_a_status_is_a_finding() -> None:
    """Which the API server would drop without a word."""
    assert list(judging.of_status(IMAGE_PULL, {"phase": "Pending", "nonsense": 1}))
