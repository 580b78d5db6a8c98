"""Write whole statuses, in order for each object, and never onto another object.

Every write is a JSON patch that tests the uid, so a status meant for a deleted object cannot land on its successor of
the same name (a merge patch would). Two verbs: `commit` is awaited, tests the resourceVersion too and tries again until
the API server answers; `report` is for progress: one write in flight an object, the newest wins, at most one in
two seconds, all objects together within one budget.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from imageops.api.base import StatusModel
from imageops.cluster.api_server import ApiError, ApiServer
from imageops.cluster.objects import ObjectKey

logger = logging.getLogger("imageops.cluster")

REPORT_PERIOD_SECONDS = 2.0
"""Least time between two progress writes of one object."""
REPORTS_PER_SECOND = 50.0
"""Progress writes of all objects together; ends and refusals are not held back."""
_REPORT_BURST = 50.0
_RETRY_BASE_SECONDS = 0.1
_RETRY_LIMIT_SECONDS = 5.0

Written = Callable[[ObjectKey, StatusModel, dict[str, Any]], None]
"""Takes the status that was written and the object as the API server stored it."""


class StaleError(Exception):
    """The object has changed since it was read: read it again and decide again."""


class GoneError(Exception):
    """The object no longer exists."""


class RefusedError(Exception):
    """The API server takes no such status: a fault of ours."""


@dataclass(slots=True)
class _Budget:
    """A token bucket."""

    tokens: float = _REPORT_BURST
    filled: float = field(default_factory=time.monotonic)

    def wait(self) -> float:
        """Take a token and return the seconds until it may be used."""
        now = time.monotonic()
        self.tokens = min(_REPORT_BURST, self.tokens + (now - self.filled) * REPORTS_PER_SECOND) - 1.0
        self.filled = now
        return max(0.0, -self.tokens / REPORTS_PER_SECOND)


@dataclass(slots=True)
class _Lane:
    """The writes of one object."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    latest: StatusModel | None = None
    reporter: asyncio.Task[None] | None = None
    last_report: float = 0.0
    at_rest: bool = False
    """Whether the lane is to be dropped when its reporter ends."""

    def take(self) -> StatusModel | None:
        """Return the newest report, which a commit may have dropped meanwhile."""
        status, self.latest = self.latest, None
        return status

    def put_back(self, status: StatusModel) -> None:
        """Keep a report that was not stored, unless a newer one has come."""
        if self.latest is None:
            self.latest = status


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
        self._lanes: dict[str, _Lane] = {}
        self._budget = _Budget()

    async def commit(self, key: ObjectKey, status: StatusModel, *, basis: Callable[[], str | None]) -> None:
        """Write a status that later steps depend on; return when it is stored.

        Args:
            key: The object.
            status: The whole status.
            basis: Returns the resourceVersion that the status was decided on, or None if the decision is void by now;
                asked just before the write, as a report of our own may still be on its way.

        Raises:
            StaleError: The object is not what the decision was about.
            GoneError: The object does not exist any more.
            RefusedError: The status is not valid.

        """
        lane = self._lanes.setdefault(key.uid, _Lane())
        lane.latest = None
        async with lane.lock:
            failures = 0
            while True:
                resource_version = basis()
                if resource_version is None:
                    raise StaleError(str(key))
                try:
                    await self._write(key, status, resource_version)
                except ApiError as error:
                    if not error.transient:
                        raise self._final(key, error) from error
                    self._counted(key, "retried")
                    failures += 1
                    await asyncio.sleep(max(error.retry_after or 0.0, _retry_delay(failures)))
                else:
                    return

    def report(self, key: ObjectKey, status: StatusModel) -> None:
        """Write a status soon; a newer report takes its place, a commit drops it."""
        lane = self._lanes.setdefault(key.uid, _Lane())
        lane.latest, lane.at_rest = status, False
        if lane.reporter is None:
            lane.reporter = asyncio.create_task(self._report(key, lane), name=f"report {key}")

    def forget(self, uid: str) -> None:
        """Drop what is kept for an object that is gone or at rest."""
        lane = self._lanes.get(uid)
        if lane is not None:
            lane.at_rest = True
            self._drop(uid, lane)

    async def close(self) -> None:
        """Stop reporting."""
        reporters = [lane.reporter for lane in self._lanes.values() if lane.reporter is not None]
        for reporter in reporters:
            reporter.cancel()
        await asyncio.gather(*reporters, return_exceptions=True)

    async def _report(self, key: ObjectKey, lane: _Lane) -> None:
        failures = 0
        try:
            while lane.latest is not None:
                pause = lane.last_report + REPORT_PERIOD_SECONDS - time.monotonic()
                await _pause(max(pause, _retry_delay(failures)))
                await _pause(self._budget.wait())
                async with lane.lock:
                    status = lane.take()
                    if status is None:
                        return
                    try:
                        await self._write(key, status, None)
                        failures = 0
                    except ApiError as error:
                        if error.transient:
                            lane.put_back(status)
                        failures += 1
                        self._counted(key, "retried" if error.transient else "stale")
                    lane.last_report = time.monotonic()
        finally:
            lane.reporter = None
            self._drop(key.uid, lane)

    def _drop(self, uid: str, lane: _Lane) -> None:
        if lane.at_rest and lane.reporter is None and not lane.lock.locked() and self._lanes.get(uid) is lane:
            del self._lanes[uid]

    async def _write(self, key: ObjectKey, status: StatusModel, resource_version: str | None) -> None:
        operations: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": key.uid}]
        if resource_version is not None:
            operations.append({"op": "test", "path": "/metadata/resourceVersion", "value": resource_version})
        operations.append({"op": "add", "path": "/status", "value": status})
        stored = await self._api.patch(f"{key.path}/status", operations)
        self._counted(key, "ok")
        self._written(key, status, stored)

    def _final(self, key: ObjectKey, error: ApiError) -> Exception:
        if error.not_found:
            self._counted(key, "gone")
            return GoneError(str(key))
        if error.stale:
            self._counted(key, "stale")
            return StaleError(str(key))
        self._counted(key, "refused")
        logger.error("the API server refused a status of %s: %s", key, error)
        return RefusedError(str(key))


async def _pause(seconds: float) -> None:
    """Wait; where there is nothing to wait for, spare the event loop a turn."""
    if seconds > 0:
        await asyncio.sleep(seconds)


def _retry_delay(failures: int) -> float:
    """Return 0 without failures, else 0.1 s doubling to 5 s with full jitter over the upper half."""
    if not failures:
        return 0.0
    full = min(_RETRY_LIMIT_SECONDS, _RETRY_BASE_SECONDS * 2.0 ** min(failures - 1, 10))
    return full / 2 + random.random() * full / 2  # noqa: S311 - spreads retries, guards nothing
