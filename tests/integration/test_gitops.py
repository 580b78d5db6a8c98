"""The contract with tools that wait: Flux's kstatus library judges every kind in every state."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from devcluster.gate import RegistryGate
from imageops.api.kinds import Kind
from tests.support.clients import Kstatus
from tests.support.contract import assert_consistent
from tests.support.objects import Body, finished
from tests.support.operator_process import OperatorProcess
from tests.support.states import KINDS, Course, Stage, State

pytestmark = pytest.mark.integration

MATRIX: dict[State, tuple[str, str, str | None, str | None]] = {
    State.ACCEPTED: ("Unknown", "False", "True", None),
    State.RUNNING: ("Unknown", "False", "True", None),
    State.RETRYING: ("Unknown", "False", "True", None),
    State.SUCCEEDED: ("True", "True", None, None),
    State.FAILED: ("False", "False", None, "True"),
    State.SUSPENDED: ("Unknown", "False", None, None),
    State.CANCELLED: ("False", "False", None, "True"),
    State.UNSEEN: ("True", "True", None, None),
}
"""Succeeded, Ready, Reconciling, Stalled; None = absent. A change that nobody has seen leaves the old ones."""
CONDITIONS = ("Succeeded", "Ready", "Reconciling", "Stalled")
VERDICTS = dict.fromkeys(State, "InProgress") | {
    State.SUCCEEDED: "Current",
    State.FAILED: "Failed",
    State.CANCELLED: "Failed",
}
"""What Flux, and Helm 4 with it, make of each state."""


@dataclass(frozen=True, slots=True)
class Table:
    """Every kind in every state, as the API server served it at that moment, and before the first write."""

    rows: dict[tuple[Kind, State], Body]
    unwritten: dict[Kind, Body]
    afterwards: dict[Kind, Body]
    """The objects of the last state when the operator had come back."""


@pytest.fixture(scope="module")
def table(stage: Stage, operator: OperatorProcess, gates: dict[str, RegistryGate]) -> Table:
    """Lead one object of each kind through every state."""
    gates["graphdriver"].cut(path=r".*")
    stage.hold_up()
    operator.stop()
    try:
        unwritten = {kind: stage.create(kind, "done", Course.SUCCEEDS) for kind in KINDS}
    finally:
        operator.start()
    rows: dict[tuple[Kind, State], Body] = {}
    for kind in KINDS:
        stage.create(kind, "waiting", Course.WAITS)
        stage.create(kind, "running", Course.RUNS)
        stage.create(kind, "retrying", Course.RETRIES)
        stage.create(kind, "failed", Course.FAILS)
    for kind in KINDS:
        rows[kind, State.ACCEPTED] = stage.wait(kind, "waiting", State.ACCEPTED)
        rows[kind, State.RETRYING] = stage.wait(kind, "retrying", State.RETRYING)
        rows[kind, State.SUCCEEDED] = stage.wait(kind, "done", State.SUCCEEDED)
        rows[kind, State.FAILED] = stage.wait(kind, "failed", State.FAILED)
        rows[kind, State.RUNNING] = stage.wait(kind, "running", State.RUNNING)
        stage.objects.patch(kind, "running", {"spec": {"suspend": True}})
        rows[kind, State.SUSPENDED] = stage.wait(kind, "running", State.SUSPENDED)
        stage.objects.patch(kind, "running", {"spec": {"cancel": True}})
        rows[kind, State.CANCELLED] = stage.wait(kind, "running", State.CANCELLED)
    gates["graphdriver"].release()
    operator.stop()
    try:
        for kind in KINDS:
            stage.objects.patch(kind, "done", stage.edited(kind, rows[kind, State.SUCCEEDED]["spec"]))
            rows[kind, State.UNSEEN] = stage.objects.get(kind, "done")
    finally:
        operator.start()
    afterwards = {kind: stage.objects.wait(kind, "done", finished) for kind in KINDS}
    return Table(rows, unwritten, afterwards)


@pytest.mark.feature("status.truth-table")
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_kstatus_gives_the_designs_result(table: Table, kstatus: Kstatus, kind: Kind, state: State) -> None:
    """Each kind in each state has the conditions of the matrix, and Flux's library reads them as the design says."""
    body = table.rows[kind, state]
    shown = {one["type"]: one["status"] for one in body["status"]["conditions"]}
    assert tuple(shown.get(name) for name in CONDITIONS) == MATRIX[state]
    assert_consistent(body)
    (verdict,) = kstatus.judge([body])
    assert verdict.status == VERDICTS[state], verdict.message


@pytest.mark.feature("status.truth-table")
def test_an_object_is_in_progress_before_the_first_write(table: Table, kstatus: Kstatus) -> None:
    """What the API server answers to the create is not taken for finished, for any kind."""
    verdicts = kstatus.judge(table.unwritten.values())
    assert [verdict.status for verdict in verdicts] == ["InProgress"] * len(KINDS)
    assert all("latest observed generation is -1" in verdict.message for verdict in verdicts)


@pytest.mark.feature("status.truth-table")
def test_a_change_made_while_the_operator_is_away_is_current_when_it_is_back(table: Table, kstatus: Kstatus) -> None:
    """The change of the spec was one more run each."""
    assert {verdict.status for verdict in kstatus.judge(table.afterwards.values())} == {"Current"}
    assert [body["status"]["run"] for body in table.afterwards.values()] == [2] * len(KINDS)
