from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec
from imageops.api.status import Phase
from imageops.core.api_refusal import ApiRefusal
from imageops.core.decide_operation import decide
from imageops.core.decide_session import decide_session
from imageops.core.effects import DeleteSelf, RecordEvent
from tests.support.builders import (
    at,
    child_status,
    finished_session,
    finished_status,
    image,
    operation,
    promote_step,
    pull_spec,
    pull_step,
    session,
    session_spec,
)
from tests.support.session_life import SessionLife


def expiry(seconds: int | None, now: float, **fields: Any) -> tuple[bool, bool, object]:
    """Tell whether a finished pull is deleted, whether an Event says that it is not, and when it is looked at again."""
    spec = pull_spec() if seconds is None else pull_spec(ttlSecondsAfterFinished=seconds)
    decision = decide(operation(spec, finished_status(), **fields), attempt=None, constraints=None, now=at(now))
    ignored = [one for one in decision.effects if isinstance(one, RecordEvent) and one.reason is Reason.TTL_IGNORED]
    return DeleteSelf() in decision.effects, bool(ignored), decision.wake_at


@pytest.mark.feature("gitops.ttl")
def test_an_object_is_deleted_at_its_time_and_not_before() -> None:
    """Which counts from its end, at the first second; 0 is at once, absent is never."""
    assert expiry(30, 30.9) == (False, False, at(31))
    assert expiry(30, 31) == (True, False, None)
    assert expiry(0, 1) == (True, False, None)
    assert expiry(None, 1_000_000) == (False, False, None)


@pytest.mark.feature("gitops.ttl")
def test_a_refused_deletion_is_tried_again_later_and_told_once() -> None:
    """After 5 s doubling to 60 s; the Event comes with the second try."""
    for times, delay, told in ((1, 5, True), (2, 10, False), (3, 20, False), (9, 60, False)):
        said = ApiRefusal(code=403, message="the policy says no", at=at(100), deletion=True, times=times)
        subject = operation(pull_spec(ttlSecondsAfterFinished=0), finished_status(), undeletable=said)
        waits = decide(subject, attempt=None, constraints=None, now=at(100 + delay - 1))
        assert (waits.effects, waits.wake_at) == ((), at(100 + delay))
        tries = decide(subject, attempt=None, constraints=None, now=at(100 + delay))
        events = [one for one in tries.effects if isinstance(one, RecordEvent)]
        assert [(one.reason, "the policy says no" in one.message) for one in events] == (
            [(Reason.FAILED_DELETE, True)] if told else []
        )
        assert tries.effects[-1] == DeleteSelf()


@pytest.mark.feature("gitops.ttl")
def test_what_git_keeps_is_never_deleted() -> None:
    """The one Event came with the end."""
    assert expiry(0, 1_000_000, managed=True) == (False, False, None)


@pytest.mark.feature("session.expiry")
def test_a_session_waits_for_its_last_operation() -> None:
    """A child that was asked again after the end holds it, also before the API server knows of the new run."""
    spec = SessionSpec.model_validate({"steps": [pull_step("a")], "ttlSecondsAfterFinished": 5})
    status, (child,) = finished_session(spec)
    assert status.expiration_time is not None
    busy = operation(None, child.status, requested_at="again")
    running = decide(busy, attempt=None, constraints=None, now=at(100)).status
    for held in (replace(child, status=running), replace(child, begun_again=True)):
        assert decide_session(session(spec, status, members=[held]), now=at(200)).effects == ()
    assert DeleteSelf() in decide_session(session(spec, status, members=[child]), now=at(200)).effects


@pytest.mark.feature("session.expiry")
def test_a_session_waits_for_the_removal_of_what_its_promotions_brought() -> None:
    """But not for an image that others hold, that has gone, or that was to stay."""
    pushed = child_status(Phase.SUCCEEDED, Reason.PUSHED, image=image(), reference="prod.example/ship:1")
    gone = pushed.model_copy(update={"image": image(present=False)})
    for local_images, status, held, expected in (
        ("Delete", pushed, False, False),
        ("Delete", pushed, True, True),
        ("Delete", gone, False, True),
        ("Retain", pushed, False, True),
    ):
        mine = SessionLife(session_spec(promote_step("ship", localImages=local_images), ttlSecondsAfterFinished=0))
        mine.look()
        for _ in range(3):
            mine.set("ship", Phase.SUCCEEDED, image=image())
            last = mine.look()
        assert mine.status.completion_time is not None, last
        members = [replace(one, status=status, held_by_others=held) for one in mine.members.values()]
        decision = decide_session(replace(mine.subject, members=members), now=at(9))
        assert (DeleteSelf() in decision.effects) is expected, (local_images, held)
