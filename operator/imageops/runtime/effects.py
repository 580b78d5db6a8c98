"""Carry out what a decision asks for, once its status holds: in this process, or by the API server.

What stops an attempt is not here: the Controller does that before the status is written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from imageops.api.kinds import Kind
from imageops.cluster.api_server import ApiServer
from imageops.cluster.events import EventRecorder
from imageops.core.effects import (
    CreateChild,
    DeleteChild,
    DeleteSelf,
    Effect,
    PassCheckpoint,
    RecordEvent,
    SetFinalizer,
    StartAttempt,
    WakeMembers,
)
from imageops.runtime.children import OPERATION_KINDS, create_child, delete_child, delete_self
from imageops.runtime.finalizer import set_finalizer
from imageops.runtime.objects import Entry, ObjectStore


class Start(Protocol):
    """Begins an attempt."""

    def __call__(self, entry: Entry, effect: StartAttempt, *, now: datetime, changed: Callable[[], None]) -> None:
        """Begin it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Carries effects out for all objects."""

    api: ApiServer
    store: ObjectStore
    events: EventRecorder
    start: Start
    clock: Callable[[], datetime]
    wake: Callable[[Entry], None]
    """Has an object looked at."""
    absorb: Callable[[Entry, Mapping[str, Any]], None]
    """Takes in an object as the API server stored it."""
    observe: Callable[[Kind, str | None, Mapping[str, Any]], None]
    """Takes in an object that may be new."""

    async def carry_out(self, entry: Entry, effect: Effect, *, now: datetime) -> None:
        """Do what one effect asks for.

        Raises:
            ApiError: The API server does not serve it.

        """
        match effect:
            case StartAttempt():
                self.start(entry, effect, now=now, changed=lambda: self.wake(entry))
            case PassCheckpoint() if entry.attempt is not None:
                entry.attempt.pass_checkpoint()
            case RecordEvent(warning=warning, reason=reason, message=message):
                self.events.record(entry.key, reason, message, warning=warning)
            case WakeMembers():
                for member in self.store.members(entry):
                    self.wake(member)
            case _:
                await self._call_api(entry, effect)

    async def _call_api(self, entry: Entry, effect: Effect) -> None:
        match effect:
            case SetFinalizer(present=present):
                stored = await set_finalizer(self.api, entry, present=present)
                if stored is not None:
                    self.absorb(entry, stored)
            case DeleteSelf() if not entry.dirty:
                if not await delete_self(self.api, entry, now=self.clock()):
                    self.wake(entry)
            case CreateChild():
                await self._create_child(entry, effect)
            case DeleteChild():
                if not await delete_child(self.api, entry, effect, now=self.clock()):
                    self.wake(entry)

    async def _create_child(self, session: Entry, child: CreateChild) -> None:
        stored = await create_child(self.api, session, child, now=self.clock())
        if stored is None:
            self.wake(session)
        else:
            self.observe(OPERATION_KINDS[child.kind], "ADDED", stored)
