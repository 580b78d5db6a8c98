from __future__ import annotations

from itertools import product

import pytest

from imageops.api.reasons import Reason
from imageops.api.status import Condition, Phase
from imageops.core.conditions import State, conditions, seen
from tests.support.builders import NOW, at

# facts/gitops.md, 1.2: Succeeded, Ready, Reconciling, Stalled; an absent one is missing from the map.
MATRIX = {
    State.PENDING: {"Succeeded": "Unknown", "Ready": "False", "Reconciling": "True"},
    State.RUNNING: {"Succeeded": "Unknown", "Ready": "False", "Reconciling": "True"},
    State.OPEN: {"Succeeded": "Unknown", "Ready": "True"},
    State.SUSPENDED: {"Succeeded": "Unknown", "Ready": "False"},
    State.SUCCEEDED: {"Succeeded": "True", "Ready": "True"},
    State.FAILED: {"Succeeded": "False", "Ready": "False", "Stalled": "True"},
    State.CANCELLED: {"Succeeded": "False", "Ready": "False", "Stalled": "True"},
}


def of(state: State, previous: tuple[Condition, ...] = (), *, later: float = 0) -> tuple[Condition, ...]:
    """Compute the conditions of a state."""
    return conditions(
        state,
        reason=Reason.PENDING,
        message="Why.",
        generation=7,
        now=at(later),
        previous=previous,
    )


@pytest.mark.feature("status.consistent")
@pytest.mark.parametrize("state", State)
def test_a_state_has_exactly_the_conditions_of_the_matrix(state: State) -> None:
    """Every condition carries the reason, the message and the generation it was computed for."""
    result = of(state)
    assert {condition.type: condition.status for condition in result} == MATRIX[state]
    assert {condition.observed_generation for condition in result} == {7}
    assert {(condition.reason, condition.message) for condition in result} == {("Pending", "Why.")}


@pytest.mark.feature("status.consistent")
@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_no_way_from_state_to_state_leaves_reconciling_with_stalled(before: State, after: State) -> None:
    """What the former state said is gone, not left beside the new one."""
    types = [condition.type for condition in of(after, of(before))]
    assert len(types) == len(set(types))
    assert not {"Reconciling", "Stalled"} <= set(types)


@pytest.mark.feature("status.consistent")
def test_a_transition_time_moves_only_with_the_status() -> None:
    """A changed reason is no transition; a condition that comes back is one."""
    pending = of(State.PENDING)
    running = of(State.RUNNING, pending, later=10)
    assert {condition.last_transition_time for condition in running} == {NOW}
    done = {condition.type: condition for condition in of(State.SUCCEEDED, running, later=20)}
    assert {condition.last_transition_time for condition in done.values()} == {at(20)}
    again = {condition.type: condition for condition in of(State.PENDING, tuple(done.values()), later=30)}
    assert again["Reconciling"].last_transition_time == at(30)


def test_a_newer_generation_is_seen_without_a_transition() -> None:
    """A wait of kubectl ignores a condition whose generation lags behind."""
    before = of(State.SUCCEEDED)
    after = seen(before, 8)
    assert {condition.observed_generation for condition in after} == {8}
    assert {condition.last_transition_time for condition in after} == {NOW}
    assert seen(after, 8) == after


def test_a_long_message_is_cut() -> None:
    """The API server refuses more than the schema allows."""
    long = conditions(State.FAILED, reason=Reason.PENDING, message="x" * 9000, generation=1, now=NOW, previous=())
    assert {len(condition.message) for condition in long} == {512}


@pytest.mark.parametrize("state", State)
def test_each_state_has_a_phase(state: State) -> None:
    """An open Session shows as Running."""
    assert state.phase == (Phase.RUNNING if state is State.OPEN else state.value)
