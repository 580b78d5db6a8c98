"""Write statuses, in order for each object, and never onto another object.

Every write is a JSON patch that tests the uid, so a status meant for a deleted object cannot land on its successor of
the same name (a merge patch would), and the resourceVersion, so that none decided on a stale cache replaces a newer
one. It replaces the whole status, or its progress alone where the tested version is known to hold all the rest.
Two verbs: `commit` is awaited and tries again until the API server answers; `report` is for progress: one write in
flight an object, the newest wins, at most one in two seconds, all objects together within one budget.
"""

import asyncio
import hashlib
import json
import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imageops.api.base import StatusModel, to_wire
from imageops.cluster.api_server import ApiError, ApiServer
from imageops.cluster.objects import ObjectKey
from imageops.core.backoff import Backoff
from imageops.core.progress import PROGRESS_PERIOD_SECONDS
from imageops.core.token_bucket import TokenBucket

logger = logging.getLogger("imageops.cluster")

REPORTS_PER_SECOND = 50.0
"""Progress writes of all objects together; ends and refusals are not held back."""
_REPORT_BURST = 50.0
_UNANSWERED = 8
"""Statuses kept of those that were sent without an answer; of older ones a hash is kept."""
_UNANSWERED_HASHES = 1_000
"""As many as half an hour without an answer makes."""
_LOGGED_MAX_LENGTH = 300
"""Characters of the API server's words that go into the log; a webhook may say any number of them."""
_RETRY = Backoff(base=0.1, limit=5.0)
"""Between the tries of one write, in seconds."""

Written = Callable[[ObjectKey, StatusModel, dict[str, Any]], None]
"""Takes the status that was written and the object as the API server stored it."""


class UnwrittenError(Exception):
    """A status was not stored, and the same request would not store it later."""


class StaleError(UnwrittenError):
    """The object has changed since it was read: read it again and decide again."""


class GoneError(UnwrittenError):
    """The object no longer exists."""


class RefusedError(UnwrittenError):
    """The API server does not take this status: its definition, a policy or a webhook forbids it, or a right lacks."""

    def __init__(self, key: ObjectKey, code: int, message: str) -> None:
        """Keep what it said."""
        super().__init__(str(key))
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Basis:
    """What a status is decided on."""

    resource_version: str
    held: StatusModel | None = None
    """The status that this version holds, if that is known to the last field."""


GetBasis = Callable[[], Basis | None]
"""Gives what a status was decided on, as it is now, or None if the decision is void by now."""


@dataclass(frozen=True, slots=True)
class _Report:
    """A status that waits to be written."""

    status: StatusModel
    basis: GetBasis
    failed: Callable[[UnwrittenError], None]


@dataclass(slots=True)
class _WriteQueue:
    """The writes of one object."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    latest: _Report | None = None
    commits: int = 0
    """How many were begun: no report from before one is written after it."""
    unanswered: list[StatusModel] = field(default_factory=list)
    """Statuses that were sent, and may or may not have been stored; the newest last."""
    unanswered_hashes: deque[bytes] = field(default_factory=lambda: deque(maxlen=_UNANSWERED_HASHES))
    """Of those before them."""
    reporter: asyncio.Task[None] | None = None
    last_report: float = -math.inf
    at_rest: bool = False
    """Whether the queue is to be dropped when its reporter ends."""

    def send(self, status: StatusModel) -> None:
        """Note that a status is being sent."""
        self.unanswered.append(status)
        if len(self.unanswered) > _UNANSWERED:
            self.unanswered_hashes.append(_hash(to_wire(self.unanswered.pop(0))))

    def has_sent(self, wire: Mapping[str, Any]) -> bool:
        """Tell whether a status was sent and not answered."""
        if any(to_wire(status) == wire for status in self.unanswered):
            return True
        return bool(self.unanswered_hashes) and _hash(wire) in self.unanswered_hashes

    def take(self) -> _Report | None:
        """Return the newest report, which a commit may have dropped meanwhile."""
        report, self.latest = self.latest, None
        return report

    def put_back(self, report: _Report, *, commits: int) -> None:
        """Keep a report that was not stored, unless something newer has come since there were so many commits."""
        if self.latest is None and self.commits == commits:
            self.latest = report


class StatusWriter:
    """The one writer of statuses."""

    def __init__(self, api: ApiServer, *, written: Written, counted: Callable[[ObjectKey, str], None]) -> None:
        """Make a writer.

        Args:
            api: The API server.
            written: Told of every object as stored, after each write.
            counted: Told of every request and its result (`ok`, `stale`, `gone`, `refused` or `retried`).

        """
        self._api = api
        self._written = written
        self._counted = counted
        self._queues: dict[str, _WriteQueue] = {}
        self._budget = TokenBucket.full(REPORTS_PER_SECOND, _REPORT_BURST, time.monotonic())

    async def commit(self, key: ObjectKey, status: StatusModel, *, basis: GetBasis) -> None:
        """Write a status that later steps depend on; return when it is stored.

        Args:
            key: The object.
            status: The whole status.
            basis: Asked just before the write, as a report of our own may still be on its way.

        Raises:
            StaleError: The object is not what the decision was about.
            GoneError: The object does not exist any more.
            RefusedError: The status is not valid.

        """
        queue = self._queues.setdefault(key.uid, _WriteQueue())
        queue.latest = None
        queue.commits += 1
        try:
            async with queue.lock:
                await self._commit(key, queue, status, basis)
        finally:
            self._drop(key.uid, queue)

    def report(
        self, key: ObjectKey, status: StatusModel, *, basis: GetBasis, failed: Callable[[UnwrittenError], None]
    ) -> None:
        """Write a status soon; a newer report takes its place, a commit drops it.

        Args:
            key: The object.
            status: The whole status.
            basis: Asked just before the write.
            failed: Called if it was not stored and will not be.

        """
        queue = self._queues.setdefault(key.uid, _WriteQueue())
        queue.latest, queue.at_rest = _Report(status, basis, failed), False
        if queue.reporter is None:
            queue.reporter = asyncio.create_task(self._report(key, queue), name=key.uid)

    def drop(self, uid: str) -> None:
        """Drop what waits to be reported of an object."""
        queue = self._queues.get(uid)
        if queue is not None:
            queue.latest = None

    def has_sent(self, uid: str, wire: Mapping[str, Any]) -> bool:
        """Tell whether a status that an object was found with may be one that was sent and not answered."""
        queue = self._queues.get(uid)
        return queue is not None and queue.has_sent(wire)

    def is_writing(self, uid: str) -> bool:
        """Tell whether a status of an object is on its way, or about to be sent again."""
        queue = self._queues.get(uid)
        return queue is not None and queue.lock.locked()

    def forget(self, uid: str) -> None:
        """Drop what is kept for an object that is gone or at rest."""
        queue = self._queues.get(uid)
        if queue is not None:
            queue.at_rest = True
            self._drop(uid, queue)

    async def close(self) -> None:
        """Stop reporting."""
        reporters = [queue.reporter for queue in self._queues.values() if queue.reporter is not None]
        for reporter in reporters:
            reporter.cancel()
        await asyncio.gather(*reporters, return_exceptions=True)

    async def _commit(self, key: ObjectKey, queue: _WriteQueue, status: StatusModel, basis: GetBasis) -> None:
        failures = 0
        while True:
            now = basis()
            if now is None:
                raise StaleError(str(key))
            try:
                await self._write(key, queue, status, now)
            except ApiError as error:
                if not error.transient:
                    raise self._final(key, error) from error
                self._counted(key, "retried")
                failures += 1
                await asyncio.sleep(max(error.retry_after or 0.0, _retry_delay(failures)))
            else:
                return

    async def _report(self, key: ObjectKey, queue: _WriteQueue) -> None:
        failures = 0
        try:
            while queue.latest is not None:
                pause = queue.last_report + PROGRESS_PERIOD_SECONDS - time.monotonic()
                pause = max(pause, _retry_delay(failures))
                if pause > 0:  # else the event loop is spared a turn
                    await asyncio.sleep(pause)
                if (pause := self._budget.reserve(time.monotonic())) > 0:
                    await asyncio.sleep(pause)
                async with queue.lock:
                    report, commits = queue.take(), queue.commits
                    basis = report.basis() if report is not None else None
                    if report is None or basis is None:
                        continue
                    try:
                        await self._write(key, queue, report.status, basis)
                        failures = 0
                    except ApiError as error:
                        failures += 1
                        if error.transient:
                            queue.put_back(report, commits=commits)
                            self._counted(key, "retried")
                        else:
                            report.failed(self._final(key, error))
                    queue.last_report = time.monotonic()
        finally:
            queue.reporter = None
            self._drop(key.uid, queue)

    def _drop(self, uid: str, queue: _WriteQueue) -> None:
        if queue.at_rest and queue.reporter is None and not queue.lock.locked() and self._queues.get(uid) is queue:
            del self._queues[uid]

    async def _write(self, key: ObjectKey, queue: _WriteQueue, status: StatusModel, basis: Basis) -> None:
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": key.uid},
            {"op": "test", "path": "/metadata/resourceVersion", "value": basis.resource_version},
            _change(status, basis.held),
        ]
        anew = not queue.unanswered or queue.unanswered[-1] is not status
        if anew:
            queue.send(status)
        try:
            stored = await self._api.patch(key.status_path, operations)
        except ApiError as error:
            if anew and not error.transient:
                queue.unanswered.pop()
            raise
        queue.unanswered.clear()
        queue.unanswered_hashes.clear()
        self._counted(key, "ok")
        self._written(key, status, stored)

    def _final(self, key: ObjectKey, error: ApiError) -> UnwrittenError:
        if error.not_found:
            self._counted(key, "gone")
            return GoneError(str(key))
        if error.stale:
            self._counted(key, "stale")
            return StaleError(str(key))
        self._counted(key, "refused")
        logger.error("the API server refused a status of %s: %s: %s", key, error, error.message[:_LOGGED_MAX_LENGTH])
        return RefusedError(key, error.code, error.message)


def _change(status: StatusModel, held: StatusModel | None) -> dict[str, Any]:
    """Return the operation that makes the held status this one."""
    progress = vars(status).get("progress")
    if held is not None and progress is not None and {**vars(held), "progress": progress} == vars(status):
        return {"op": "add", "path": "/status/progress", "value": progress}
    return {"op": "add", "path": "/status", "value": status}


def _hash(wire: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(wire, sort_keys=True).encode()).digest()


def _retry_delay(failures: int) -> float:
    """Return 0 without failures, else the seconds before the next try, the upper half of them by chance."""
    if not failures:
        return 0.0
    full = _RETRY.after_failures(failures)
    return full / 2 + random.random() * full / 2  # noqa: S311 - spreads retries, guards nothing
