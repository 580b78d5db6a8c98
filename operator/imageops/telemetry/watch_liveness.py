"""Know how the API server answers each watch: which is dead, which has not begun, and which it refuses.

A watch has begun when it was first answered with objects; before, nobody would hear of them. Each is of one kind, in
one namespace or in the cluster (None).

The API server ends a watch request after 45 s, so one that lives is answered at least that often. A refusal is an
answer too: whoever hears it asks again, and a restart would not change the API server's mind.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus

logger = logging.getLogger("imageops.telemetry")

SERVER_SECONDS = 45
"""After which the API server ends a watch request."""
CLIENT_SECONDS = 60.0
"""After which a watch request that nobody ended is given up, and made anew."""
DEAD_SECONDS = 80.0
"""Without an answer for this long a watch is dead: the one that was made anew was not answered either."""


class WatchLiveness:
    """When each watch was answered last, and how."""

    def __init__(self, broken: Callable[[str], None] = lambda _kind: None) -> None:
        """Know of no watch; tell of each that broke, by the plural of its kind."""
        self._broken = broken
        self._last: dict[tuple[str, str | None], float] = {}
        self._begun: set[tuple[str, str | None]] = set()
        self._refused: set[tuple[str, str | None]] = set()

    def expect(self, kinds: Iterable[str], namespaces: Sequence[str] = ()) -> None:
        """Expect answers to the watches of these kinds (their plurals) from now on, and to no others.

        Args:
            kinds: The plurals.
            namespaces: Where each is watched; none = in the whole cluster.

        """
        now = time.monotonic()
        self._last = {(kind, namespace): now for kind in kinds for namespace in namespaces or (None,)}
        self._begun, self._refused = set(), set()

    def answered(self, kind: str, namespace: str | None, status: int | None) -> None:
        """Note that a list or watch was answered; others are of no interest.

        Args:
            kind: The plural of its kind.
            namespace: Where it looks.
            status: The HTTP status; None: the connection was refused.

        """
        place = (kind, namespace)
        if place not in self._last:
            return
        self._last[place] = time.monotonic()
        before = self.refused()
        if status == HTTPStatus.OK:
            self._begun.add(place)
            self._refused.discard(place)
        elif status == HTTPStatus.FORBIDDEN:
            self._refused.add(place)
        self._tell(before, self.refused())

    def failed(self, kind: str) -> None:
        """Note that a list or watch of a kind was answered by something that is neither."""
        self._broken(kind)

    def awaited(self) -> list[str]:
        """Return the kinds whose watch has not begun. Where others have, one that is refused is not waited for."""
        lacking = [place for place in self._last if place not in self._begun]
        if self._begun:
            lacking = [place for place in lacking if place not in self._refused]
        return list(dict.fromkeys(kind for kind, _ in lacking))

    def dead(self) -> list[str]:
        """Return the kinds whose watch is dead."""
        now = time.monotonic()
        return list(dict.fromkeys(kind for (kind, _), last in self._last.items() if now - last >= DEAD_SECONDS))

    def refused(self) -> tuple[str, ...]:
        """Return where the operator has no right to list or watch: the namespaces, or the cluster."""
        where = {namespace for _, namespace in self._refused}
        return tuple(sorted("the cluster" if each is None else f"namespace {each}" for each in where))

    def _tell(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """Log each place once when the rights go, and once when they are back."""
        for each in after:
            if each not in before:
                logger.warning("no right to list and watch in %s; its objects wait until there is", each)
        for each in before:
            if each not in after:
                logger.info("the right to list and watch in %s is back", each)
