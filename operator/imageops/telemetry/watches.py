"""Know how long each watch has been without an answer, which tells a dead watch from one with nothing to say.

A watch has begun when it was first answered with objects; before, nobody would hear of them.

The API server ends a watch request after 45 s, so one that lives is answered at least that often. A refusal is an
answer too: whoever hears it asks again, and a restart would not change the API server's mind.
"""

import time
from collections.abc import Callable, Iterable
from http import HTTPStatus

import aiohttp

SERVER_SECONDS = 45
"""After which the API server ends a watch request."""
CLIENT_SECONDS = 60.0
"""After which a watch request that nobody ended is given up, and made anew."""
DEAD_SECONDS = 80.0
"""Without an answer for this long a watch is dead: the one that was made anew was not answered either."""


class WatchAnswers:
    """When each watch was answered last."""

    def __init__(self) -> None:
        """Know of no watch."""
        self._last: dict[str, float] = {}
        self._begun: set[str] = set()

    def expect(self, kinds: Iterable[str]) -> None:
        """Expect answers to the watches of these kinds (their plurals) from now on, and to no others."""
        self._last = dict.fromkeys(kinds, time.monotonic())
        self._begun = set()

    def answered(self, kind: str, status: int | None) -> None:
        """Note that a kind's list or watch was answered; others are of no interest.

        Args:
            kind: Its plural.
            status: The HTTP status; None: the connection was refused.

        """
        if kind in self._last:
            self._last[kind] = time.monotonic()
            if status == HTTPStatus.OK:
                self._begun.add(kind)

    def awaited(self) -> list[str]:
        """Return the kinds whose watch has not begun."""
        return [kind for kind in self._last if kind not in self._begun]

    def dead(self) -> list[str]:
        """Return the kinds whose watch is dead."""
        now = time.monotonic()
        return [kind for kind, last in self._last.items() if now - last >= DEAD_SECONDS]


def trace(answered: Callable[[str, int | None], None]) -> aiohttp.TraceConfig:
    """Return the hooks by which a session tells of every request that was answered.

    It tells the last part of the path, and the status as `WatchAnswers.answered` takes it.
    """

    async def ended(_session: aiohttp.ClientSession, _context: object, request: aiohttp.TraceRequestEndParams) -> None:
        answered(request.url.name, request.response.status)

    async def failed(
        _session: aiohttp.ClientSession, _context: object, request: aiohttp.TraceRequestExceptionParams
    ) -> None:
        if isinstance(request.exception, aiohttp.ClientConnectionError) and not isinstance(
            request.exception, TimeoutError
        ):
            answered(request.url.name, None)

    hooks = aiohttp.TraceConfig()
    hooks.on_request_end.append(ended)
    hooks.on_request_exception.append(failed)
    return hooks
