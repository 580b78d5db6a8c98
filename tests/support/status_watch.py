"""Record every state that an object passes through, as the watch of the API server tells it."""

from __future__ import annotations

import json
import threading
from typing import Any, Self

from imageops.api.kinds import Kind
from tests.support.objects import Objects

Body = dict[str, Any]


class StatusWatch:
    """Watches all objects of one kind in a namespace; a context manager."""

    def __init__(self, objects: Objects, kind: Kind) -> None:
        """Begin with the next event."""
        self._response = objects.api.stream(objects.path(kind), watch="true", sendInitialEvents="false")
        self._bodies: list[Body] = []
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        """Start to record."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._response.close()
        self._thread.join(5)

    def bodies(self, name: str) -> list[Body]:
        """Return the states of one object so far, in order."""
        return [body for body in self._bodies if body["metadata"]["name"] == name]

    def _read(self) -> None:
        try:
            for line in self._response.iter_lines():
                event = json.loads(line)
                if event["type"] in {"ADDED", "MODIFIED"}:
                    self._bodies.append(event["object"])
        except (OSError, ValueError, AttributeError):
            return  # closed by __exit__
