"""Record every state that an object passes through, as the watch of the API server tells it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

import requests

from imageops.api.kinds import Kind
from tests.support.objects import WAIT_SECONDS, Objects

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """One state of one object."""

    at: float
    """When it was seen, on the monotonic clock."""
    name: str
    body: Body

    @property
    def status(self) -> Body:
        """The status, empty before the first write."""
        return dict(self.body.get("status") or {})


class StatusWatch:
    """Watches all objects of one kind in a namespace; a context manager."""

    def __init__(self, objects: Objects, kind: Kind) -> None:
        """Begin with what comes after this moment."""
        self._objects = objects
        self._path = objects.path(kind)
        self._version: str = objects.api.request("GET", self._path).body["metadata"]["resourceVersion"]
        self._response = self._opened()
        self._closing = False
        self._seen: list[Seen] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="status-watch", daemon=True)

    def __enter__(self) -> Self:
        """Start to record."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._closing = True
        connection = getattr(self._response.raw, "connection", None)
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                # A blocking read ends in no other way; the plain method, as TLS belongs to the reading thread.
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
        self._thread.join(5)
        self._response.close()

    def seen(self, name: str | None = None) -> list[Seen]:
        """Return the states so far of one object, or of all, in order."""
        with self._changed:
            return [one for one in self._seen if name in {None, one.name}]

    def wait_for(self, body: Body) -> list[Seen]:
        """Return the states of an object up to this one, which was read from the API server.

        Raises:
            AssertionError: The watch did not tell of it in time.
        """
        metadata = body["metadata"]
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while True:
                mine = [one for one in self._seen if one.name == metadata["name"]]
                if any(one.body["metadata"]["resourceVersion"] == metadata["resourceVersion"] for one in mine):
                    return mine
                assert self._changed.wait(max(0.0, deadline - time.monotonic())), f"no such state of {metadata['name']}"

    def _opened(self) -> requests.Response:
        return self._objects.api.stream(self._path, watch="true", resourceVersion=self._version)

    def _read(self) -> None:
        try:
            while not self._closing:
                for line in self._response.iter_lines():
                    self._take(json.loads(line))
                if not self._closing:
                    # The API server ends a watch that falls behind; it tells the rest from where that one ended.
                    self._response = self._opened()
        except (OSError, ValueError, AttributeError):  # what a response closed from another thread may raise
            if not self._closing:
                raise

    def _take(self, event: Body) -> None:
        assert event["type"] != "ERROR", event
        body = event["object"]
        self._version = body["metadata"]["resourceVersion"]
        if event["type"] == "DELETED":
            return
        with self._changed:
            self._seen.append(Seen(time.monotonic(), body["metadata"]["name"], body))
            self._changed.notify_all()
