"""Say what becomes of each request and each watch event on its way; a plan overrides what it disturbs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from faults.record import Body, Call, Record


class DropConnectionError(Exception):
    """The connection is to be reset without an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer to a request."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @classmethod
    def refusal(cls, status: int, reason: str, **headers: str) -> Answer:
        """Return a refusal as the API server writes it."""
        document = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status}
        return cls(status, json.dumps(document).encode(), {"Content-Type": "application/json", **headers})


class Hands(Protocol):
    """What a director can do besides."""

    record: Record
    namespace: str

    async def kill(self) -> None:
        """Kill the operator, as a crash would; return when it is gone."""
        ...

    async def ask(self, path: str, **query: str) -> Answer:
        """Read from the API server past the proxy."""
        ...


class Stream(Protocol):
    """One watch on its way to the operator."""

    plural: str

    async def send(self, event: Body) -> None:
        """Pass an event on."""
        ...

    async def write(self, content: bytes) -> None:
        """Pass bytes on, whatever they are."""
        ...

    def later(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do something on the same stream after a while, if it is open then."""
        ...

    def end(self) -> None:
        """End the stream in good order."""
        ...

    def silence(self) -> None:
        """Pass nothing more on, and do not end."""
        ...

    def reset(self) -> None:
        """Drop the connection."""
        ...


class Director:
    """Let everything pass."""

    hands: Hands
    play_seconds: float = 300.0
    """For the whole workload, on a busy machine; undisturbed and alone it takes 6 s."""

    def holds_end(self, call: Call) -> bool:  # noqa: ARG002 - what overrides it looks at the call
        """Say whether the end of a daemon's stream is kept back until `after` has been asked."""
        return False

    async def before(self, call: Call) -> Answer | None:  # noqa: ARG002
        """Answer in place of upstream, or return None to pass the request on.

        Raises:
            DropConnectionError: Neither; the connection goes.

        """
        return None

    async def during(self, call: Call) -> None:
        """Act when the first piece of a daemon's stream has been passed on."""

    async def after(self, call: Call) -> Answer | None:  # noqa: ARG002
        """Act when upstream has answered and the operator does not know it yet; None passes that answer on.

        Raises:
            DropConnectionError: It never gets there.

        """
        return None

    async def watch(self, plural: str) -> Answer | None:  # noqa: ARG002
        """Answer a watch request in place of the API server, or return None."""
        return None

    async def event(self, stream: Stream, event: Body) -> None:
        """Pass an event of a watch on, or not, or differently."""
        await stream.send(event)
