"""The edges of Sessions: who came too early or too late, what a former run used, and what is over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec
from imageops.api.status import HistoryEntry, Phase
from imageops.core.decide_operation import decide
from imageops.core.effects import StartAttempt
from imageops.core.session import child_names_of
from imageops.core.session_constraints import SessionConstraints, constraints_of
from imageops.core.session_summary import PULL, Member, history
from imageops.core.step_scheduler import names_of
from tests.support.builders import (
    at,
    child_status,
    decided,
    ended,
    operation,
    pull_step,
    running_status,
    session_spec,
)
from tests.support.session_life import SessionLife

S, F, C = Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED
CLOSED = SessionConstraints(closed=True)


@pytest.mark.feature("session.closed")
def test_who_waited_for_a_session_that_is_closed_when_it_comes_is_refused() -> None:
    """It never joined; one that waits for a Secret since the Session was open did."""
    waits = decided(operation(), constraints=SessionConstraints(missing=True))
    assert waits.conditions[0].reason == "SessionNotFound"
    arrived = frozenset({Reason.SESSION_NOT_FOUND})
    refused = decided(operation(None, waits, arrived=arrived), constraints=CLOSED, now=at(1))
    assert (refused.phase, refused.conditions[0].reason, refused.attempts) == (F, "SessionClosed", 0)
    let_in = decide(operation(None, waits, arrived=arrived), attempt=None, constraints=SessionConstraints(), now=at(1))
    assert any(isinstance(effect, StartAttempt) for effect in let_in.effects)
    for_secret = decided(operation(None, running_status()), running=ended(Reason.SECRET_NOT_FOUND), now=at(1))
    secret_there = decide(operation(None, for_secret), attempt=None, constraints=CLOSED, now=at(60))
    assert any(isinstance(effect, StartAttempt) for effect in secret_there.effects)


@pytest.mark.feature("session.closed")
def test_who_is_refused_by_a_closing_session_is_neither_counted_nor_its_failure() -> None:
    """The Session ends as those came to that it had taken in."""
    mine = SessionLife(SessionSpec())
    mine.join("member", Phase.RUNNING)
    mine.change(closed=True)
    mine.join("late", F, reason=Reason.SESSION_CLOSED)
    assert (mine.status.total, mine.status.failed, mine.status.completion_time) == (1, 0, None)
    mine.join("member", S)
    assert (mine.reason, mine.status.total, mine.status.succeeded) == ("Completed", 1, 1)


@pytest.mark.feature("session.closed")
def test_a_session_does_not_close_on_a_run_that_has_just_begun() -> None:
    """The API server may not know yet that a member was asked again."""
    mine = SessionLife(SessionSpec())
    mine.join("member", S)
    mine.members["member"] = replace(mine.members["member"], begun_again=True)
    mine.change(closed=True)
    mine.look()
    assert (mine.reason, mine.status.completion_time) == ("Running", None)
    mine.join("member", S)
    assert mine.reason == "Completed"


@pytest.mark.feature("session.limits")
def test_what_a_former_run_used_does_not_count() -> None:
    """Its operations may still be on their way out when the new run's are decided about."""
    mine = SessionLife(session_spec(pull_step("a"), limits={"operations": 1}))
    mine.look()
    mine.end("a")
    former = dict(mine.members)
    mine.change(steps=[{"name": "a", "pull": {"image": "registry.example/other:1"}}])
    mine.look()
    subject = replace(mine.subject, members=[*former.values(), *mine.members.values()])
    made = mine.made[-1].name
    assert not constraints_of(subject, owned=made, now=mine.now).over_limit
    mine.end("a")
    assert constraints_of(mine.subject, owned=None, now=mine.now).over_limit


@pytest.mark.feature("session.cancel")
def test_the_deadline_of_a_run_that_is_over_cancels_nothing() -> None:
    """What joins later is refused as too late, not cancelled."""
    mine = SessionLife(SessionSpec.model_validate({"activeDeadlineSeconds": 60, "closed": True}))
    mine.look()
    assert mine.reason == "Completed"
    later = constraints_of(mine.subject, owned=None, now=at(3600))
    assert (later.cancel, later.closed) == (False, True)


@pytest.mark.feature("session.history")
def test_within_one_second_what_is_gone_came_before_what_is_there() -> None:
    """So the ring of a quick Session keeps the newest run's executions, whatever its operations are called."""
    entry = HistoryEntry.model_validate(
        {
            "run": 1,
            "trigger": "Spec",
            "attempt": 1,
            "outcome": "Succeeded",
            "startTime": at(0),
            "completionTime": at(0),
        },
    )
    status = child_status(S).model_copy(update={"history": (entry,)})
    rows = history([Member(PULL, "z-first", "1", status, tool="pull")], (), limit=2)
    rows = history([Member(PULL, "m-second", "2", status, tool="pull")], rows, limit=2)
    rows = history([Member(PULL, "a-third", "3", status, tool="pull")], rows, limit=2)
    assert [row.operation_ref.name for row in rows] == ["m-second", "a-third"]


def test_a_step_that_was_never_started_has_the_names_of_its_first_try() -> None:
    """Rows are made as steps come to be looked at."""
    mine = SessionLife(session_spec(pull_step("a"), pull_step("b")))
    mine.look()
    naming = child_names_of(mine.subject, mine.status)
    board = names_of(mine.spec, naming, {row.name: row for row in mine.status.steps})
    assert board == names_of(mine.spec, naming, {})
    assert (mine.made[0].kind, mine.made[0].name) in board
