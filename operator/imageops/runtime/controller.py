"""Run the loop of every object: look, decide, write, act.

Each object has one queue of length one: a flag that it has to be looked at. Whatever happens to it (a watch event, an
outcome, a time that has come, a child that changed) raises the flag; one worker takes it down, decides and acts until
nothing is left. So one object is strictly serial, objects are parallel, and an object at rest costs no task.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from imageops.api.kinds import SESSION, Kind
from imageops.api.reasons import Reason
from imageops.cluster.api_server import ApiError, ApiServer
from imageops.cluster.events import EventRecorder
from imageops.cluster.objects import ObjectKey
from imageops.cluster.status_writer import GoneError, StatusWriter
from imageops.core.effects import Decision, StopAttempt
from imageops.runtime.effects import Effects, Start
from imageops.runtime.objects import Entry, ObjectStore, absorb, is_newer, met
from imageops.runtime.status_writes import StatusWrites

logger = logging.getLogger("imageops.runtime")

FAULT_PAUSE_SECONDS = 5.0
"""Before an object is looked at again after a fault of the operator's own."""
DRAIN_LOOK_SECONDS = 0.02
"""Between looks at an attempt that has ended and that nobody works on, as the API server did not take its end."""


class Decider(Protocol):
    """Decides for one kind of object."""

    async def decide(self, entry: Entry, *, now: datetime, accepting: bool) -> "Decision[Any]":
        """Return the decision about an object."""
        ...


class Watcher(Protocol):
    """Counts what the Controller does."""

    def decided(self, kind: Kind, *, seconds: float, failed: bool) -> None:
        """One decision was taken and carried out."""
        ...

    def ended(self, entry: Entry, decision: "Decision[Any]") -> None:
        """A run ended."""
        ...


class Controller:
    """The loop of all objects."""

    def __init__(  # noqa: PLR0913 - the composition root hands in the parts
        self,
        *,
        api: ApiServer,
        store: ObjectStore,
        writer: StatusWriter,
        events: EventRecorder,
        deciders: Mapping[Kind, Decider],
        start: Start,
        watcher: Watcher,
        left: Callable[[str], None],
        gone: Callable[[Entry], None],
        clock: Callable[[], datetime],
    ) -> None:
        """Put the parts together; `left` is told of uids with no further work, `gone` of deleted objects."""
        self._left = left
        self._gone = gone
        self._store = store
        self._writer = writer
        self._deciders = deciders
        self._watcher = watcher
        self._clock = clock
        self._effects = Effects(
            api=api,
            store=store,
            events=events,
            start=start,
            clock=clock,
            wake=self.wake,
            absorb=self._absorb,
            observe=self.observe,
        )
        self._writes = StatusWrites(
            api=api,
            writer=writer,
            clock=clock,
            left=left,
            wake=self.wake,
            wake_in=self._wake_in,
            absorb=self._absorb,
            catch_up=self._catch_up,
        )
        self._began = clock()
        self._accepting = True
        self.last_event = time.monotonic()
        """When a watch event came in last, on the monotonic clock."""

    # --- what happens

    def observe(self, kind: Kind, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Take in a watch event; `event_type` is None for the first listing."""
        metadata = body["metadata"]
        entry = self._store.get(metadata["uid"])
        if event_type == "DELETED":
            if entry is not None:
                self._forget(entry)
            return
        if entry is None:
            self._meet(kind, body)
        else:
            self._take(entry, body)

    def is_news(self, event_type: str | None, body: Mapping[str, Any]) -> bool:
        """Note that a watch event came in, and tell whether it has to be observed.

        The echo of an own write has not. What may be one, while a write is on its way, is held back for its answer.
        """
        self.last_event = time.monotonic()
        metadata = body["metadata"]
        entry = self._store.get(metadata["uid"])
        if entry is None or event_type == "DELETED":
            return True
        if not is_newer(metadata["resourceVersion"], entry.resource_version):
            return False
        if entry.reading.covers(metadata) and self._writer.is_writing(entry.key.uid):
            entry.held_back = body
            return False
        return True

    def wake(self, entry: Entry) -> None:
        """Have an object looked at."""
        entry.dirty = True
        if entry.worker is None and not entry.gone:
            entry.worker = asyncio.create_task(self._work(entry), name=entry.key.uid)

    def wake_by_uid(self, uid: str) -> None:
        """Have an object looked at, if it is still there."""
        entry = self._store.get(uid)
        if entry is not None:
            self.wake(entry)

    def daemon_returned(self, name: str) -> None:
        """Look at everything that waits: a daemon answers again."""
        logger.debug("looking at all waiting objects: daemon %s is back", name)
        for entry in self._store:
            if entry.attempt is None and entry.status.completion_time is None:
                self.wake(entry)

    def written(self, key: ObjectKey, status: Any, stored: Mapping[str, Any]) -> None:
        """Take in what the API server stored after a write of ours."""
        entry = self._store.get(key.uid)
        if entry is None:
            return
        entry.written, entry.written_wire = status, stored.get("status") or {}
        entry.confirmed, entry.status_refused = True, None
        entry.exact = not is_newer(entry.resource_version, stored["metadata"]["resourceVersion"])
        self._absorb(entry, stored)
        self._catch_up(entry)
        if entry.reading.generation != status.observed_generation:
            self.wake(entry)
        self._wake_session(entry)

    async def drain(self, seconds: float) -> None:
        """Stop taking work, close the daemon calls, and write what they came to; give up after so many seconds."""
        self._accepting = False
        for entry in self._store:
            if entry.attempt is not None:
                entry.attempt.stop(Reason.INTERRUPTED)
        try:
            async with asyncio.timeout(seconds):
                while busy := [one for one in self._store if one.worker is not None or one.attempt is not None]:
                    workers = [entry.worker for entry in busy if entry.worker is not None]
                    if workers:
                        await asyncio.wait(workers)
                    elif busy[0].attempt is not None:
                        await busy[0].attempt.ended_task()
                        await asyncio.sleep(DRAIN_LOOK_SECONDS)
        except TimeoutError:
            logger.warning("not everything was written within %.0f s", seconds)

    # --- the store

    def _meet(self, kind: Kind, body: Mapping[str, Any]) -> Entry:
        entry = met(kind, body, began=self._began, now=self._clock())
        self._store.add(entry)
        self.wake(entry)
        self._wake_session(entry)
        if kind is SESSION:  # some may have come before it
            for member in self._store.members(entry):
                self.wake(member)
        return entry

    def _take(self, entry: Entry, body: Mapping[str, Any]) -> None:
        """Take over a version that is newer than the known one, and have the object looked at."""
        if is_newer(body["metadata"]["resourceVersion"], entry.resource_version):
            entry.try_anew()
            self._absorb(entry, body)
            self.wake(entry)

    def _catch_up(self, entry: Entry) -> None:
        """Take over what was held back."""
        body, entry.held_back = entry.held_back, None
        if body is not None:
            self._take(entry, body)

    def _absorb(self, entry: Entry, body: Mapping[str, Any]) -> None:
        if is_newer(entry.resource_version, body["metadata"]["resourceVersion"]):
            return
        before = entry.written
        if absorb(entry, body, is_own=lambda wire: self._writer.has_sent(entry.key.uid, wire)):
            self._writer.drop(entry.key.uid)
        if entry.written is not before:
            self._wake_session(entry)

    def _abandon(self, entry: Entry) -> None:
        """Stop all work for an object that is gone; the entry stays until the watch says so too.

        Without it an older event still on its way would look like a new object.
        """
        entry.gone = True
        if entry.timer is not None:
            entry.timer.cancel()
        if entry.attempt is not None:
            entry.attempt.stop(Reason.CANCELLED)
        self._left(entry.key.uid)

    def _forget(self, entry: Entry) -> None:
        self._abandon(entry)
        self._store.remove(entry)
        self._writer.forget(entry.key.uid)
        self._wake_session(entry)
        self._gone(entry)

    def _wake_session(self, entry: Entry) -> None:
        session = self._store.session_of(entry)
        if session is not None:
            self.wake(session)

    # --- the loop

    async def _work(self, entry: Entry) -> None:
        try:
            while entry.dirty and not entry.gone:
                entry.dirty = False
                began, failed = time.perf_counter(), True
                try:
                    await self._turn(entry)
                    failed = False
                finally:
                    self._watcher.decided(entry.key.kind, seconds=time.perf_counter() - began, failed=failed)
        except GoneError:
            self._abandon(entry)
        except ApiError as error:
            logger.warning("the API server did not serve %s: %s", entry.key, error)
            self._wake_in(entry, FAULT_PAUSE_SECONDS)
        except Exception:
            logger.exception("a decision about %s failed", entry.key)
            self._wake_in(entry, FAULT_PAUSE_SECONDS)
        finally:
            entry.worker = None
            if entry.dirty and not entry.gone and entry.timer is None:
                self.wake(entry)

    async def _turn(self, entry: Entry) -> None:
        if entry.needs_reread:
            await self._writes.read_again(entry)
        self._catch_up(entry)
        if not entry.is_rid_of_disowned():
            return
        now, adopted = self._clock(), entry.adopted
        decision = await self._deciders[entry.key.kind].decide(entry, now=now, accepting=self._accepting)
        if entry.adopted != adopted:
            entry.dirty = True
            return
        outcome_seen = entry.attempt is not None and entry.attempt.outcome is not None
        self._stop_attempt(entry, decision)
        if not await self._writes.take(entry, decision, now=now):
            return
        before = entry.status
        ended = before.completion_time is None and decision.status.completion_time is not None
        entry.status = decision.status
        if outcome_seen:
            entry.attempt = None
        if entry.unwritable and decision.status is not before:  # no write tells its Session
            self._wake_session(entry)
        if ended:
            self._watcher.ended(entry, decision)
            entry.refused.clear()
            self._writer.forget(entry.key.uid)
        self._set_timer(entry, decision.wake_at, now)
        for effect in decision.effects:
            await self._effects.carry_out(entry, effect, now=now)

    def _stop_attempt(self, entry: Entry, decision: "Decision[Any]") -> None:
        """Stop what a decision stops, before and whatever becomes of its write."""
        for effect in decision.effects:
            if isinstance(effect, StopAttempt) and entry.attempt is not None:
                entry.attempt.stop(effect.reason)

    def _set_timer(self, entry: Entry, wake_at: datetime | None, now: datetime) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        if wake_at is not None:
            self._wake_in(entry, max(0.0, (wake_at - now).total_seconds()))

    def _wake_in(self, entry: Entry, seconds: float) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        entry.timer = asyncio.get_running_loop().call_later(seconds, self._timer_fired, entry)

    def _timer_fired(self, entry: Entry) -> None:
        entry.timer = None
        self.wake(entry)
