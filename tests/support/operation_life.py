"""Play the life of one operation by chance, and check the rules of life at every decision.

The world around `decide` is made up: attempts end when and how chance wants, people change the object, the process is
killed between any two steps and forgets all that it had not written. Time stands still unless the life moves it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from imageops.api.operations import ImagePullSpec
from imageops.api.reasons import Reason, ReasonClass
from imageops.api.status import HistoryEntry, OperationStatus, Phase, PreviousImage, Progress
from imageops.core.attempt import Attempt
from imageops.core.decide_operation import decide
from imageops.core.effects import Decision, PassCheckpoint, StartAttempt, StopAttempt, Write
from imageops.core.outcome import Facts, Outcome
from imageops.core.session_constraints import SessionConstraints
from imageops.core.spechash import SpecHash
from tests.support.builders import NOW, OTHER_ID, assert_good, image, operation, pull_spec

CHANCES = (Reason.PULLED, Reason.REGISTRY_UNAVAILABLE, Reason.TIMED_OUT, Reason.AUTH_FAILED)
WAITS = (Reason.SECRET_NOT_FOUND, Reason.DAEMON_UNAVAILABLE)
OUTCOMES = (*CHANCES, *WAITS)


class KilledError(Exception):
    """The process was killed here."""


@dataclass(slots=True)
class _Call:
    """An attempt in progress."""

    run: int
    number: int
    started: datetime
    ends: datetime
    reason: Reason
    checkpoint: bool
    stopping: Reason | None = None

    def view(self, now: datetime) -> Attempt:
        """Return what a decision sees of it."""
        queued = now < self.started and self.stopping is None
        over = not queued and now >= self.ends and (not self.checkpoint or self.stopping is not None)
        reason = self.stopping or self.reason
        good = reason.reason_class is ReasonClass.SUCCESS
        return Attempt(
            run=self.run,
            number=self.number,
            started=max(now, self.started) if queued else self.started,
            queued=queued,
            facts=Facts(image=image() if good else None, previous=PreviousImage(id=OTHER_ID)),
            progress=Progress(percent=max(0, min(99, int((now - self.started).total_seconds())))),
            checkpoint=self.checkpoint and not (over or queued),
            stopping=self.stopping,
            outcome=Outcome(reason=reason, message=reason.sentence) if over else None,
        )


@dataclass(slots=True)
class OperationLife:
    """One ImagePull from its creation to its last end."""

    seed: int
    now: datetime = NOW
    fields: dict[str, Any] = field(default_factory=dict)
    generation: int = 1
    token: str | None = None
    written: OperationStatus = field(default_factory=OperationStatus)
    known: OperationStatus = field(default_factory=OperationStatus)
    """What the process holds to be true, written or not."""
    call: _Call | None = None
    wake_at: datetime | None = NOW
    accepting: bool = True
    constraints: SessionConstraints | None = None
    peaceful: bool = False
    """Nothing is killed or changed any more, and what is waited for is there."""
    changes: int = 0
    starts: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    excused: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Attempts of a run that do not count: killed, stopped, or mere waits."""
    limits: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    ends: dict[int, tuple[Phase | str, datetime | None]] = field(default_factory=dict)
    closed: dict[tuple[int, int], HistoryEntry] = field(default_factory=dict)
    unwritten: list[int] = field(default_factory=list)
    """The runs of attempts whose end was seen and is not written yet."""
    draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Seed chance."""
        self.draw = random.Random(self.seed)  # noqa: S311 - repeatable, guards nothing
        self.fields = {"backoffLimit": self.draw.randint(0, 3), "timeoutSeconds": 20}

    @property
    def spec(self) -> ImagePullSpec:
        """The present spec."""
        return pull_spec(**self.fields)

    def live(self, occasions: int) -> None:
        """Let things happen, then leave the object in peace until it has ended."""
        for _ in range(occasions):
            self.happen()
            self.look()
        self.peaceful, self.accepting, self.constraints = True, True, None
        self.fields = {name: value for name, value in self.fields.items() if name not in {"cancel", "suspend"}}
        self.generation += 1
        for _ in range(200):
            self.look()
            if self.known.completion_time is not None and self.wake_at is None:
                break
            self.pass_time()
        self.check_end()

    # --- what happens

    def happen(self) -> None:
        """Do one thing to the object or to its process, or let time pass."""
        chance = self.draw.random()
        if chance < 0.06:
            self.kill()
        elif chance < 0.12:
            self.drain()
        elif chance < 0.3:
            self.change()
        elif chance < 0.35:
            self.now += timedelta(seconds=self.draw.choice((0, 0.1, 1)))
        else:
            self.pass_time()

    def pass_time(self) -> None:
        """Move to the next moment at which something is due."""
        moments = [self.wake_at, *((self.call.started, self.call.ends) if self.call is not None else ())]
        due = [moment for moment in moments if moment is not None and moment > self.now]
        if due:
            self.now = max(self.now, min(due))

    def change(self) -> None:
        """Change the object as a person would, or the Session it belongs to."""
        self.changes += 1
        self.generation += 1
        match self.draw.randrange(8):
            case 0:
                self.fields["image"] = f"registry.example/app:{self.draw.randint(1, 9)}"
            case 1:
                self.token = f"token-{self.changes}"
            case 2 | 3:
                self.fields["suspend"] = not self.fields.get("suspend", False)
            case 4:
                self.fields["cancel"] = not self.fields.get("cancel", False)
            case 5:
                self.fields["backoffLimit"] = self.draw.randint(0, 3)
            case 6:
                self.fields["activeDeadlineSeconds"] = self.draw.choice((5, 60, 3600))
            case _:
                self.constraints = self.draw.choice(
                    (
                        None,
                        SessionConstraints(),
                        SessionConstraints(missing=True),
                        SessionConstraints(suspend=True),
                        SessionConstraints(cancel=True),
                    ),
                )

    def kill(self) -> None:
        """Start another process, which knows only what is written."""
        for run in self.unwritten + ([self.call.run] if self.call is not None else []):
            self.excused[run] += 1
        self.unwritten.clear()
        self.call, self.known = None, self.written

    def drain(self) -> None:
        """End the process in order, and start another."""
        self.accepting = False
        if self.call is not None and self.call.stopping is None:
            self.stop(Reason.INTERRUPTED)
        self.look()
        self.accepting = True
        self.kill()

    def stop(self, reason: Reason) -> None:
        """Stop the daemon call."""
        assert self.call is not None
        assert self.call.stopping is None
        self.call.stopping, self.call.ends = reason, self.now

    # --- the loop of the Controller

    def look(self) -> None:
        """Decide and carry out until nothing is left to do at this moment."""
        for _ in range(10):
            attempt = self.call.view(self.now) if self.call is not None else None
            subject = operation(
                self.spec,
                self.known,
                written=self.written,
                generation=self.generation,
                requested_at=self.token,
            )
            decision = decide(
                subject,
                attempt=attempt,
                constraints=self.constraints,
                now=self.now,
                accepting=self.accepting,
            )
            self.check(decision, attempt)
            try:
                self.carry_out(decision, attempt)
            except KilledError:
                self.kill()
            over = self.call is not None and self.call.view(self.now).outcome is not None
            begun = any(isinstance(effect, StartAttempt) for effect in decision.effects)
            if not (over or begun or (self.wake_at is not None and self.wake_at <= self.now)):
                return
        raise AssertionError(self.seed, "never at rest")

    def carry_out(self, decision: Decision[OperationStatus], attempt: Attempt | None) -> None:
        """Write and act; the process may be killed between any two steps."""
        self.perhaps_killed()
        if attempt is not None and attempt.outcome is not None:
            self.unwritten.append(attempt.run)
        lands = decision.write is Write.COMMIT or (decision.write is Write.REPORT and self.draw.random() < 0.7)
        if lands:
            self.write(decision.status)
        self.perhaps_killed()
        self.known, self.wake_at = decision.status, decision.wake_at
        if attempt is not None and attempt.outcome is not None:
            self.excuse(attempt.outcome.reason, attempt.run)
            self.call = None
        for effect in decision.effects:
            match effect:
                case StartAttempt(run=run, number=number):
                    self.begin(run, number)
                case StopAttempt(reason=reason):
                    self.stop(reason)
                case PassCheckpoint():
                    assert self.call is not None
                    assert self.written == decision.status, self.seed
                    self.call.checkpoint = False
            self.perhaps_killed()

    def perhaps_killed(self) -> None:
        """Kill the process by chance."""
        if not self.peaceful and self.draw.random() < 0.02:
            raise KilledError

    def begin(self, run: int, number: int) -> None:
        """Begin a daemon call."""
        assert self.call is None, self.seed
        queue, seconds = self.draw.choice((0, 0, 0.4, 60)), self.draw.choice((0.01, 0.2, 3, 15, 90))
        self.call = _Call(
            run=run,
            number=number,
            started=self.now + timedelta(seconds=queue),
            ends=self.now + timedelta(seconds=queue + seconds),
            reason=self.draw.choice(CHANCES if self.peaceful else OUTCOMES),
            checkpoint=self.draw.random() < 0.3,
        )
        self.starts[run] += 1
        self.limits[run] = max(self.limits[run], self.spec.backoff_limit)

    def excuse(self, reason: Reason, run: int) -> None:
        """Note that an attempt does not count."""
        if reason.reason_class is ReasonClass.WAITING or reason is Reason.INTERRUPTED:
            self.excused[run] += 1

    # --- the rules

    def check(self, decision: Decision[OperationStatus], attempt: Attempt | None) -> None:
        """Check one decision against the rules of life."""
        status, spec, where = decision.status, self.spec, (self.seed, self.now)
        assert_good("ImagePull", status)
        begins = [effect for effect in decision.effects if isinstance(effect, StartAttempt)]
        goes_on = attempt is not None and attempt.outcome is None
        constraints = self.constraints or SessionConstraints()
        stopped = spec.cancel or spec.suspend or constraints.cancel or constraints.suspend
        assert len(begins) <= 1, where
        assert not (begins and (goes_on or stopped or not self.accepting)), where
        ended = status.completion_time is not None
        soon = self.now if ended else self.now + timedelta(milliseconds=1)  # at once only for the run that follows
        assert decision.wake_at is None or decision.wake_at >= soon, where
        held = status.phase == Phase.SUSPENDED or not self.accepting
        assert ended or held or goes_on or begins or decision.wake_at is not None, (where, status)
        opened = [entry for entry in status.history if entry.completion_time is None]
        assert opened in ([], [status.history[-1]] if status.history else []), where
        assert bool(opened) == (goes_on or bool(begins)), where
        places = [(entry.run, entry.attempt) for entry in status.history]
        assert places == sorted(set(places)), where

    def write(self, status: OperationStatus) -> None:
        """Store a status; what is stored as ended stays so."""
        assert status.run >= self.written.run, self.seed
        if status.completion_time is not None:
            end = (status.phase, status.completion_time)
            assert self.ends.setdefault(status.run, end) == end, self.seed
        else:
            assert status.run not in self.ends, self.seed
        for entry in status.history:
            if entry.completion_time is not None:
                place = (entry.run, entry.attempt)
                assert self.closed.setdefault(place, entry) == entry, self.seed
        self.written = status
        self.unwritten.clear()

    def check_end(self) -> None:
        """Check what came of it all."""
        status = self.written
        assert status == self.known, self.seed
        assert status.phase in {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED}, (self.seed, status)
        assert status.last_handled_requested_at == self.token, self.seed
        assert status.observed_generation == self.generation, self.seed
        assert status.observed_spec_hash == str(SpecHash.of(self.spec)), self.seed
        assert status.run <= 1 + self.changes, self.seed
        for run, starts in self.starts.items():
            assert starts <= self.limits[run] + 1 + self.excused[run], (self.seed, run)
        assert all(entry.completion_time is not None for entry in status.history), self.seed
