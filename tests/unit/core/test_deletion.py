"""An image that arrives in the moment in which its object is deleted."""

from __future__ import annotations

import pytest

from imageops.api.reasons import Reason
from imageops.core.decide_operation import decide
from imageops.core.deletion import farewell
from imageops.core.effects import Purpose, SetFinalizer, StartAttempt
from imageops.core.outcome import Facts
from tests.support.builders import at, ended, finished_status, image, operation, pull_spec, running_status

DELETING = pull_spec(deletionPolicy="Delete")


@pytest.mark.feature("pull.deletion-policy")
@pytest.mark.parametrize(
    ("reason", "facts", "expected"),
    [
        (Reason.PULLED, Facts(image=image()), StartAttempt(run=1, number=0, purpose=Purpose.REMOVAL)),
        (Reason.CANCELLED, Facts(), SetFinalizer(present=False)),
    ],
    ids=["arrived", "stopped"],
)
def test_an_image_that_came_just_before_the_deletion_goes_too(
    reason: Reason,
    facts: Facts,
    expected: StartAttempt | SetFinalizer,
) -> None:
    """What the last attempt brought is known by its outcome, though no status has told it yet."""
    before = running_status(DELETING, finalizer=True)
    gone = operation(DELETING, before, finalizer=True, deleting=True, deleted_at=at(1))
    decision = decide(gone, attempt=ended(reason, facts=facts), constraints=None, now=at(1))
    assert decision.effects[-1] == expected


@pytest.mark.feature("pull.deletion-policy")
def test_an_operator_for_chosen_namespaces_sets_no_finalizer_and_takes_away_the_one_it_finds() -> None:
    """Before the pull, at rest, and while the object is suspended."""
    suspended = pull_spec(deletionPolicy="Delete", suspend=True)
    cases = (
        (operation(DELETING, finalizes=False), False),
        (operation(DELETING, finished_status(), finalizes=False), False),
        (operation(DELETING, finished_status(), finalizes=False, finalizer=True), True),
        (operation(suspended, finalizes=False, finalizer=True), True),
    )
    for found, expected in cases:
        effects = decide(found, attempt=None, constraints=None, now=at(1)).effects
        assert SetFinalizer(present=True) not in effects
        assert (SetFinalizer(present=False) in effects) is expected
    starts = decide(operation(DELETING, finalizes=False), attempt=None, constraints=None, now=at(1)).effects
    assert any(isinstance(effect, StartAttempt) for effect in starts)


@pytest.mark.feature("pull.deletion-policy")
def test_without_a_finalizer_the_image_goes_after_its_object() -> None:
    """Only what was to go, came, is still there as far as is known, and is nobody else's."""
    done = finished_status()
    assert farewell(operation(DELETING, done)) == StartAttempt(run=1, number=0, purpose=Purpose.REMOVAL)
    for left in (
        operation(pull_spec(), done),
        operation(DELETING, done, held_by_others=True),
        operation(DELETING, done, finalizer=True),
        operation(DELETING, done.model_copy(update={"image": image(present=False)})),
        operation(DELETING, done.model_copy(update={"image": None})),
        operation(DELETING, running_status(DELETING).model_copy(update={"image": image()})),
    ):
        assert farewell(left) is None
