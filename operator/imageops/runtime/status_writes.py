"""Store what was decided about an object, and say what becomes of one whose status the API server does not take."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from imageops.api.reasons import Reason
from imageops.cluster.api_server import ApiError, ApiServer
from imageops.cluster.status_writer import (
    Basis,
    GetBasis,
    GoneError,
    RefusedError,
    StaleError,
    StatusWriter,
    UnwrittenError,
)
from imageops.core.api_refusal import ApiRefusal
from imageops.core.effects import Decision, Write
from imageops.runtime.objects import Entry, Reading

ASK_AGAIN_SECONDS = 20.0
"""Longest wait for a right that lacks: what ended meanwhile is in status within 30 s of its return."""
_UNREAD_SECONDS = 1.0
"""Before an object is looked at again that the API server did not show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusWrites:
    """Writes the statuses of all objects."""

    api: ApiServer
    writer: StatusWriter
    clock: Callable[[], datetime]
    left: Callable[[str], None]
    """Told the uid of an object that gives up its places."""
    wake: Callable[[Entry], None]
    """Has an object looked at."""
    wake_in: Callable[[Entry, float], None]
    """Has an object looked at in so many seconds."""
    absorb: Callable[[Entry, Mapping[str, Any]], None]
    """Takes in an object as the API server holds it."""
    catch_up: Callable[[Entry], None]
    """Takes in what was held back while a write was on its way."""

    async def take(self, entry: Entry, decision: "Decision[Any]", *, now: datetime) -> bool:
        """Write a decision's status as the decision wants it; False = it does not hold, decide again.

        Raises:
            GoneError: The object does not exist any more.

        """
        if decision.write is Write.NOTHING:
            return True
        if self._is_held_up(entry, now):
            return False
        if decision.write is Write.COMMIT:
            return await self._commit(entry, decision)
        self.writer.report(
            entry.key,
            decision.status,
            basis=self._basis(entry),
            failed=lambda error: self._report_failed(entry, error),
        )
        return True

    async def read_again(self, entry: Entry) -> bool:
        """Take in the object as it is now; False if the API server did not say.

        Raises:
            GoneError: The object does not exist any more.

        """
        entry.needs_reread = False
        try:
            body = await self.api.get(entry.key.path)
        except ApiError as error:
            if error.not_found:
                raise GoneError(str(entry.key)) from error
            await asyncio.sleep(_UNREAD_SECONDS)
            return False
        if body["metadata"]["uid"] != entry.key.uid:
            raise GoneError(str(entry.key))
        self.absorb(entry, body)
        return True

    def _basis(self, entry: Entry, reading: Reading | None = None) -> GetBasis:
        """Return what gives the basis of a write, or None once the status, or this reading, is void."""
        adopted = entry.adopted

        def basis() -> Basis | None:
            self.catch_up(entry)
            same = entry.adopted == adopted and (reading is None or entry.reading is reading)
            return Basis(entry.resource_version, entry.written if entry.exact else None) if same else None

        return basis

    async def _commit(self, entry: Entry, decision: "Decision[Any]") -> bool:
        """Write before acting; False = the object is not what it was, decide again."""
        known = entry.resource_version, entry.adopted, entry.reading
        try:
            await self.writer.commit(entry.key, decision.status, basis=self._basis(entry, entry.reading))
        except StaleError:
            if not await self.read_again(entry):
                entry.dirty = True
                return False
            lost = bool(entry.written == decision.status)  # only the answer to this very write
            if not lost and known == (entry.resource_version, entry.adopted, entry.reading):
                self._refuse(entry, HTTPStatus.CONFLICT, "", waiting=True)  # and not for its age
                return False
            entry.dirty = True
            return lost
        except GoneError:
            await self.read_again(entry)  # which says so again, unless it was a webhook's word
            self._refuse(entry, HTTPStatus.NOT_FOUND, "", waiting=True)
            return False
        except RefusedError as error:
            self._refuse(entry, error.code, error.message, waiting=True)
            return False
        return True

    def _report_failed(self, entry: Entry, error: UnwrittenError) -> None:
        match error:
            case StaleError():
                entry.needs_reread = True
            case RefusedError(code=code, message=message):
                self._refuse(entry, code, message, waiting=False)
            case _:
                self._refuse(entry, HTTPStatus.NOT_FOUND, "", waiting=False)
        if entry.needs_reread or entry.unwritable:
            self.wake(entry)

    def _refuse(self, entry: Entry, code: int, message: str, *, waiting: bool) -> None:
        """Let an object whose status is refused keep nothing that others wait for.

        For good, its attempt is stopped, and it is decided on at once, to end in memory. For now, a transfer goes on to
        its end, as in an outage of the API server, and the next attempt is stored before the daemon is called.

        Args:
            entry: The object.
            code: The HTTP status of the refusal.
            message: Its words.
            waiting: Whether an attempt may be waiting for this very status, with a lock or a place in its hands.

        """
        before = entry.status_refused
        times = before.times + 1 if before is not None else 1
        refused = ApiRefusal(code=code, message=message, at=self.clock(), times=times)
        entry.status_refused, entry.confirmed = refused, False
        if entry.attempt is not None and (waiting or refused.for_good):
            entry.attempt.stop(Reason.INTERRUPTED)
        self.left(entry.key.uid)
        if refused.for_good:
            entry.dirty = True
        else:
            self.wake_in(entry, max(0.0, (_due(refused) - self.clock()).total_seconds()))

    def _is_held_up(self, entry: Entry, now: datetime) -> bool:
        """Tell whether a status that was refused for now is not to be sent yet; have it decided on when it is."""
        refused = entry.status_refused
        if refused is None or refused.for_good or now >= _due(refused):
            return False
        self.wake_in(entry, (_due(refused) - now).total_seconds())
        return True


def _due(refused: ApiRefusal) -> datetime:
    """Return when a status that was refused for now is sent again."""
    return min(refused.due, refused.at + timedelta(seconds=ASK_AGAIN_SECONDS))
