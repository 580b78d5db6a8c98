"""Compute the conditions and the phase of an object: the contract with kstatus, Flux, Argo CD, Helm and kubectl wait.

Reconciling and Stalled are absent, not False, when they do not hold, and never hold together: kstatus reads the first
of them that is True, whatever else stands there. A failure for good carries Stalled=True, or a waiting tool would wait
until its own timeout. Every condition carries the generation it was computed for, because `kubectl wait` ignores one
whose generation lags behind the object's.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from imageops.api.errors import MESSAGE_MAX_LENGTH
from imageops.api.reasons import Reason
from imageops.api.status import Condition, ConditionStatus, ConditionType, Phase

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


class State(StrEnum):
    """Where a run stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    OPEN = "Open"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def phase(self) -> Phase:
        """The phase that people see; an open Session shows as Running."""
        return Phase.RUNNING if self is State.OPEN else Phase(self.value)


# Succeeded, Ready, Reconciling, Stalled; None = absent
_MATRIX: dict[State, tuple[ConditionStatus, ConditionStatus, ConditionStatus | None, ConditionStatus | None]] = {
    State.PENDING: (UNKNOWN, FALSE, TRUE, None),
    State.RUNNING: (UNKNOWN, FALSE, TRUE, None),
    State.OPEN: (UNKNOWN, TRUE, None, None),
    State.SUSPENDED: (UNKNOWN, FALSE, None, None),
    State.SUCCEEDED: (TRUE, TRUE, None, None),
    State.FAILED: (FALSE, FALSE, None, TRUE),
    State.CANCELLED: (FALSE, FALSE, None, TRUE),
}


def conditions(
    state: State,
    *,
    reason: Reason,
    message: str,
    generation: int,
    now: datetime,
    previous: Sequence[Condition],
) -> tuple[Condition, ...]:
    """Return the conditions of a state; a transition time moves only when the status of its condition does."""
    before = {condition.type: condition for condition in previous}
    result = []
    for kind, value in zip(ConditionType, _MATRIX[state], strict=True):
        if value is None:
            continue
        old = before.get(kind)
        since = old.last_transition_time if old is not None and old.status == value else now
        result.append(
            Condition(
                type=kind.value,
                status=value.value,
                reason=reason.value,
                message=message[:MESSAGE_MAX_LENGTH],
                observed_generation=generation,
                last_transition_time=since,
            ),
        )
    return tuple(result)


def seen(present: Sequence[Condition], generation: int) -> tuple[Condition, ...]:
    """Return the same conditions, said of a newer generation."""
    return tuple(
        condition
        if condition.observed_generation == generation
        else condition.model_copy(update={"observed_generation": generation})
        for condition in present
    )
