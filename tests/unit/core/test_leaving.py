"""An image that arrives in the moment in which its object is deleted."""

from __future__ import annotations

import pytest

from imageops.api.reasons import Reason
from imageops.core.effects import Purpose, SetFinalizer, StartAttempt
from imageops.core.operation import decide
from imageops.core.outcome import Facts
from tests.support.builders import at, ended, image, operation, pull_spec, running_status

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
    decision = decide(gone, attempt=ended(reason, facts=facts), parent=None, now=at(1))
    assert decision.effects[-1] == expected
