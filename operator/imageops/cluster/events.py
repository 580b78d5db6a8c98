"""Publish Events: best effort, closed reasons, and a count instead of a second Event for what repeats.

An Event is never the record (the API server drops it after an hour); the status is. So a full queue or a refused Event
is counted in the log and forgotten.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from imageops.api.errors import MESSAGE_MAX_LENGTH
from imageops.api.reasons import Reason
from imageops.cluster.api_server import ApiError, ApiServer
from imageops.cluster.objects import ObjectKey, core_collection

logger = logging.getLogger("imageops.cluster")

COMPONENT = "imageops"
_QUEUE_LENGTH = 1_000
_REMEMBERED = 4_096
"""Events whose repetition is counted instead of published anew."""


@dataclass(frozen=True, slots=True)
class _Event:
    key: ObjectKey
    warning: bool
    reason: Reason
    message: str


class EventRecorder:
    """Publishes Events one after another, in the background."""

    def __init__(self, api: ApiServer) -> None:
        """Make a recorder; `run` publishes."""
        self._api = api
        self._queue: asyncio.Queue[_Event] = asyncio.Queue(_QUEUE_LENGTH)
        self._published: OrderedDict[tuple[str, Reason, str], tuple[str, int]] = OrderedDict()

    def record(self, key: ObjectKey, reason: Reason, message: str, *, warning: bool) -> None:
        """Publish an Event on an object, soon."""
        try:
            self._queue.put_nowait(_Event(key, warning, reason, message[:MESSAGE_MAX_LENGTH]))
        except asyncio.QueueFull:
            logger.warning("dropped an Event of %s: the API server takes them too slowly", key)

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._publish(event)
            except ApiError as error:
                logger.warning("an Event of %s was not published: %s", event.key, error)
            finally:
                self._queue.task_done()

    async def drain(self, seconds: float) -> None:
        """Return when all Events recorded so far are published or given up, or after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            logger.warning("%d Events were not published before the end", self._queue.qsize())

    async def _publish(self, event: _Event) -> None:
        identity = (event.key.uid, event.reason, event.message)
        collection = core_collection(event.key.namespace, "events")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if identity in self._published:
            name, count = self._published[identity]
            try:
                await self._api.patch(
                    collection / name,
                    [
                        {"op": "replace", "path": "/count", "value": count + 1},
                        {"op": "replace", "path": "/lastTimestamp", "value": now},
                    ],
                )
            except ApiError as error:
                if not error.not_found:
                    raise
            else:
                self._remember(identity, name, count + 1)
                return
        body = _body(event, now)
        await self._api.create(collection, body)
        self._remember(identity, body["metadata"]["name"], 1)

    def _remember(self, identity: tuple[str, Reason, str], name: str, count: int) -> None:
        self._published[identity] = (name, count)
        self._published.move_to_end(identity)
        if len(self._published) > _REMEMBERED:
            self._published.popitem(last=False)


def _body(event: _Event, now: str) -> dict[str, Any]:
    key = event.key
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{key.name[:220].rstrip('-.')}.{uuid4().hex[:16]}", "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": key.api_version,
            "kind": key.kind.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": key.uid,
        },
        "type": "Warning" if event.warning else "Normal",
        "reason": event.reason.value,
        "message": event.message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
