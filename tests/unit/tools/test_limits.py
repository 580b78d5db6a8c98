from __future__ import annotations

import asyncio
from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.core.outcome import Outcome
from imageops.core.progress import ProgressTracker
from imageops.core.slots import FairSlots
from imageops.engine.protocol import RegistryAuth
from imageops.tools.daemon import Daemon
from imageops.tools.execution import Execution
from imageops.tools.limits import RegistryBudgets, Requester, TransferSlots
from imageops.tools.pull import PullArguments, PullTool
from tests.support.recorder import Recorder
from tests.support.recording_engine import FixedCredentials, RecordingEngine, daemon, remote

ONE, TWO = Requester("one", "team"), Requester("two", "team")
NAME = "registry.example/app:1"


def refused(error: pytest.ExceptionInfo[OperationError]) -> tuple[Reason, bool]:
    """Return the reason of an error, and whether it says when to come again."""
    return error.value.reason, (error.value.retry_after or 0) > 0


def test_who_finds_no_place_waits_and_is_told_when_there_is_one() -> None:
    """It is not asked for again before that."""
    told: list[str] = []
    slots = TransferSlots(FairSlots(1), told.append)
    place = slots.take(ONE)
    with pytest.raises(OperationError) as caught:
        slots.take(TWO)
    assert refused(caught) == (Reason.THROTTLED, True)
    with pytest.raises(OperationError):
        slots.refuse_the_waiting(TWO)
    slots.give_back(place)
    assert (told, slots.has_place("two")) == (["two"], True)
    slots.refuse_the_waiting(TWO)
    slots.withdraw("two")
    assert slots.take(ONE)


def test_a_429_pauses_all_who_use_the_registry_with_this_credential() -> None:
    """Those with another one, and other registries, go on; the attempt that met it says how long."""
    budgets = RegistryBudgets(rate=10.0, burst=10.0)
    mine, other = RegistryAuth(username="a", password="b"), RegistryAuth(username="c", password="d")
    limited = OperationError(Reason.RATE_LIMITED)
    with pytest.raises(OperationError) as caught, budgets.visit("registry.example", mine, ONE):
        raise limited
    assert caught.value is limited
    assert limited.retry_after is not None
    assert 59 < limited.retry_after <= 60
    with pytest.raises(OperationError) as waiting, budgets.visit("registry.example", mine, TWO):
        raise AssertionError
    assert refused(waiting) == (Reason.THROTTLED, True)
    for host, auth in (("registry.example", other), ("other.example", mine), ("registry.example", None)):
        with budgets.visit(host, auth, TWO) as visit:
            visit.served()


def test_another_error_pauses_nobody() -> None:
    """And a budget at rest is forgotten when a new one comes."""
    budgets = RegistryBudgets(rate=1e9, burst=10.0)
    with pytest.raises(OperationError), budgets.visit("a.example", None, ONE):
        raise OperationError(Reason.AUTH_FAILED)
    with budgets.visit("b.example", None, ONE):
        assert list(budgets._budgets) == [("b.example", None)]


def test_over_the_rate_is_a_wait() -> None:
    """Never an error of its own."""
    budgets = RegistryBudgets(rate=0.001, burst=1.0)
    with budgets.visit("a.example", None, ONE):
        pass
    with pytest.raises(OperationError) as caught, budgets.visit("a.example", None, TWO):
        raise AssertionError
    assert refused(caught) == (Reason.THROTTLED, True)


# --- equal pulls


class Pulls:
    """Several pulls on one daemon."""

    def __init__(self, *, transfers: int = 3) -> None:
        self.engine = RecordingEngine(registry={NAME: remote()}, gate=asyncio.Event())
        self.daemon: Daemon = daemon(self.engine, transfers=transfers)
        self.executions: list[Execution[Any, Any]] = []
        self.tasks: list[asyncio.Task[Outcome]] = []

    async def begin(self, number: int, *, auth: RegistryAuth | None = None, platform: str | None = None) -> None:
        """Begin a pull, and let it get as far as it can."""
        tool = PullTool(self.daemon, FixedCredentials(auth), Requester(f"uid-{number}", "team"))
        arguments = PullArguments(reference=Reference.parse(NAME), platform=platform)
        execution: Execution[Any, Any] = Execution(tool, arguments, ProgressTracker(), Recorder())
        self.executions.append(execution)
        self.tasks.append(asyncio.create_task(execution.run()))
        for _ in range(20):
            await asyncio.sleep(0)

    async def outcomes(self) -> list[Outcome]:
        """Let the daemon go on, and return how the pulls ended."""
        assert self.engine.gate is not None
        self.engine.gate.set()
        return await asyncio.gather(*self.tasks)


async def test_equal_pulls_share_one_stream_and_one_place() -> None:
    """All show its progress, one counts its bytes."""
    pulls = Pulls(transfers=1)
    for number in range(3):
        await pulls.begin(number)
    assert len(pulls.engine.seen("pull")) == 1
    assert {execution.progress.bytes_transferred for execution in pulls.executions} == {500}
    outcomes = await pulls.outcomes()
    assert [outcome.reason for outcome in outcomes] == [Reason.PULLED] * 3
    assert [outcome.bytes_transferred for outcome in outcomes] == [1000, None, None]
    assert len(pulls.engine.seen("pull")) == 1
    assert pulls.daemon.transfers.take(ONE)


async def test_another_credential_or_platform_is_another_pull() -> None:
    """A stream is shared only by those who asked for the same with the same right."""
    pulls = Pulls()
    await pulls.begin(0)
    await pulls.begin(1, auth=RegistryAuth(username="a", password="b"))
    await pulls.begin(2, platform="linux/amd64")
    assert len(pulls.engine.seen("pull")) == 3
    assert [outcome.reason for outcome in await pulls.outcomes()] == [Reason.PULLED] * 3


async def test_only_the_last_to_leave_stops_the_stream() -> None:
    """Whoever began it; then its place is free."""
    pulls = Pulls(transfers=1)
    for number in range(2):
        await pulls.begin(number)
    pulls.executions[0].stop(Reason.CANCELLED)
    await asyncio.wait([pulls.tasks[0]])
    assert not pulls.tasks[1].done()
    pulls.executions[1].stop(Reason.TIMED_OUT)
    outcomes = await asyncio.gather(*pulls.tasks)
    assert [outcome.reason for outcome in outcomes] == [Reason.CANCELLED, Reason.TIMED_OUT]
    assert pulls.daemon.transfers.take(ONE)
    await pulls.begin(2)
    assert pulls.tasks[2].done()
    assert pulls.tasks[2].result().reason is Reason.THROTTLED


async def test_a_failure_is_that_of_all_who_share_it() -> None:
    """And the next one begins anew."""
    pulls = Pulls(transfers=1)
    for number in range(2):
        await pulls.begin(number)
    lost = OperationError(Reason.DAEMON_CONNECTION_LOST)

    def fail() -> None:
        raise lost

    pulls.engine.during["pull"] = fail
    assert {outcome.reason for outcome in await pulls.outcomes()} == {Reason.DAEMON_CONNECTION_LOST}
    pulls.engine.during.clear()
    await pulls.begin(2)
    assert (await pulls.outcomes())[-1].reason is Reason.PULLED
