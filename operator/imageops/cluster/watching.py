"""Keep lists and watches alive: whatever the API server answers, they are made anew after a pause.

kopf ends the whole process, and all transfers with it, at an ERROR in a stream, at half a line, or at a refusal that it
does not expect. This stands between kopf's client and the API server, and turns each of them into what kopf takes for a
normal end: of a request, so that it watches on from the last version it saw; or with 410, so that it lists anew.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from imageops.api.kinds import ALL_KINDS, GROUP, VERSION
from imageops.cluster.watch_backoff import WatchBackoff

logger = logging.getLogger("imageops.cluster")

RETRY_AFTER_LIMIT_SECONDS = 30.0
"""An API server that asks for a longer wait is asked before; a watch request itself lasts 60 s."""
QUICK_SECONDS = 1.0
"""A watch that ends sooner, with nothing said, is none; one that lives ends after 45 s."""
_PREFIX = f"/apis/{GROUP}/{VERSION}/"
_PLURALS = frozenset(kind.plural for kind in ALL_KINDS)
_BEGINNINGS = tuple(
    f'{{"type":"{event}","object":{{'.encode() for event in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
)
_GONE = b'{"type":"ERROR","object":{"kind":"Status","code":410}}\n'
"""What kopf takes as the order to list anew."""


class Listener(Protocol):
    """Is told how the API server answers lists and watches."""

    def answered(self, kind: str, namespace: str | None, status: int | None) -> None:
        """Take in that a list or watch of a kind (its plural) was answered; None: the connection was refused."""
        ...

    def failed(self, kind: str) -> None:
        """Take in that one was answered in a way that would have ended the process."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One list or watch."""

    kind: str
    namespace: str | None
    """None: in the whole cluster."""
    watch: bool

    @classmethod
    def of(cls, path: str, *, watch: bool) -> "Request | None":
        """Tell what a path asks for; None for anything but a list or watch of our kinds."""
        match path.removeprefix(_PREFIX).split("/") if path.startswith(_PREFIX) else ():
            case [kind] if kind in _PLURALS:
                return cls(kind, None, watch)
            case ["namespaces", namespace, kind] if kind in _PLURALS:
                return cls(kind, namespace, watch)
            case _:
                return None

    def __str__(self) -> str:
        """Name it in a sentence."""
        where = f"in namespace {self.namespace}" if self.namespace is not None else "in the cluster"
        return f"the {'watch' if self.watch else 'list'} of {self.kind} {where}"


class _Next(Enum):
    """How to go on after a line of a watch."""

    GO_ON = "go on"
    WATCH_AGAIN = "watch again"
    LIST_ANEW = "list anew"


class WatchKeeper:
    """A middleware of kopf's HTTP client."""

    def __init__(self, listener: Listener) -> None:
        """Tell a listener of every answer."""
        self._listener = listener
        self._pauses: dict[Request, Iterator[float]] = {}

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request on, and make its answer one that kopf survives."""
        asked = Request.of(request.url.path, watch="watch" in request.url.query)
        try:
            response = await handler(request)
        except aiohttp.ClientConnectionError as error:
            if asked is not None and not isinstance(error, TimeoutError):
                self._listener.answered(asked.kind, asked.namespace, None)
            raise
        except aiohttp.ClientResponseError as error:
            if asked is None:
                raise
            await self._pause(asked, "something that is no HTTP")
            raise aiohttp.ClientPayloadError(f"{asked} was answered by something that is no HTTP") from error
        if asked is None:
            return response
        status = response.status
        self._listener.answered(asked.kind, asked.namespace, status)
        if status == HTTPStatus.UNAUTHORIZED:  # kopf logs in anew
            return response
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            await self._refused(asked, response)
        elif asked.watch:
            _replace(response, _Content(response, lambda: self._lines(asked, response)))
        else:
            await self._check_list(asked, response)
        return response

    async def _refused(self, asked: Request, response: ClientResponse) -> None:
        status, wait = response.status, _retry_after(response)
        response.close()
        await self._pause(asked, f"HTTP {status}", wait)
        if not asked.watch:
            raise aiohttp.ClientPayloadError(f"{asked} was refused: HTTP {status}")
        again = status in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS} or (
            status >= HTTPStatus.INTERNAL_SERVER_ERROR
        )
        response.status = HTTPStatus.OK
        _replace(response, _Content(response, lambda: _told(() if again else (_GONE,))))

    async def _check_list(self, asked: Request, response: ClientResponse) -> None:
        """Read a list whole; one that is none is refused here, and made anew."""
        try:
            good = _is_list(json.loads(await response.read())) and response.content_type == "application/json"
        except ValueError:
            good = False
        if not good:
            response.close()
            await self._pause(asked, "an answer that is no list")
            raise aiohttp.ClientPayloadError(f"{asked} was no list")
        self._is_well(asked)

    async def _lines(self, asked: Request, response: ClientResponse) -> AsyncIterator[bytes]:
        """Give the whole lines of a watch until its end, or until one that says how to go on."""
        rest, empty, problem = b"", True, "an end before any event"
        loop = asyncio.get_running_loop()
        quick = loop.time() + QUICK_SECONDS
        try:
            async for data in response.content.iter_any():
                whole, newline, rest = (rest + data).rpartition(b"\n")
                for line in whole.split(b"\n") if newline else ():
                    onward, problem, wait = _judge(line)
                    if onward is not _Next.GO_ON:
                        response.close()
                        await self._pause(asked, problem, wait)
                        if onward is _Next.LIST_ANEW:
                            yield _GONE
                        return
                    if line:
                        empty = False
                        self._is_well(asked)
                        yield line + b"\n"
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            problem = "a broken connection"
        if rest or (empty and loop.time() < quick):
            await self._pause(asked, "half a line" if rest else problem)
        elif empty:
            self._is_well(asked)

    async def _pause(self, asked: Request, problem: str, wait: float = 0.0) -> None:
        """Wait, longer each time; log the first of a row of failures."""
        self._listener.failed(asked.kind)
        first = asked not in self._pauses
        pause = max(next(self._pauses.setdefault(asked, iter(WatchBackoff()))), wait)
        told = problem == f"HTTP {HTTPStatus.FORBIDDEN.value}"  # by the listener, once for all kinds of a namespace
        level = logging.WARNING if first and not told else logging.DEBUG
        logger.log(level, "%s was answered by %s; it is made anew until it goes well", asked, problem)
        await asyncio.sleep(pause)

    def _is_well(self, asked: Request) -> None:
        if self._pauses.pop(asked, None) is not None:
            logger.info("%s goes well again", asked)


class _Content:
    """Stands for the content of a response, of which kopf reads chunks; all else is the real one's."""

    def __init__(self, response: ClientResponse, lines: Any) -> None:
        self._real = response.content
        self._lines = lines

    def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        lines: AsyncIterator[bytes] = self._lines()
        return lines

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _replace(response: ClientResponse, content: _Content) -> None:
    response.content = content  # type: ignore[assignment] # it has all that the real one has


async def _told(lines: tuple[bytes, ...]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


def _judge(line: bytes) -> tuple[_Next, str, float]:
    """Say how to go on after a line of a watch, what is wrong with it, and how long it asks to wait."""
    if not line or _is_plainly_whole(line):
        return _Next.GO_ON, "", 0.0
    try:
        event = json.loads(line)
    except ValueError:
        return _Next.LIST_ANEW, "half a line", 0.0
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
        return _Next.LIST_ANEW, "a line that is no event", 0.0
    if event.get("type") == "ERROR":
        code, details = event["object"].get("code"), event["object"].get("details")
        seconds = details.get("retryAfterSeconds") if isinstance(details, dict) else None
        wait = min(float(seconds), RETRY_AFTER_LIMIT_SECONDS) if isinstance(seconds, int) else 0.0
        problem = f"an error of code {code}" if isinstance(code, int) else "an error"
        return _Next.WATCH_AGAIN if code == HTTPStatus.TOO_MANY_REQUESTS else _Next.LIST_ANEW, problem, wait
    if not _has_metadata(event["object"]):
        return _Next.LIST_ANEW, "a line that is no event", 0.0
    return _Next.GO_ON, "", 0.0


def _is_plainly_whole(line: bytes) -> bool:
    """Tell of most good lines, without parsing each of them twice, that they are good."""
    return (
        line.startswith(_BEGINNINGS)
        and line.endswith(b"}}")
        and b'"metadata":{' in line
        and line.count(b"{") == line.count(b"}")
    )


def _has_metadata(thing: Any) -> bool:
    return isinstance(thing, Mapping) and isinstance(thing.get("metadata"), Mapping)


def _is_list(answer: Any) -> bool:
    return (
        _has_metadata(answer)
        and isinstance(answer.get("items", []), list)
        and all(_has_metadata(item) for item in answer.get("items", []))
    )


def _retry_after(response: ClientResponse) -> float:
    """Return the seconds that a refusal asks to wait, held to a limit; 0 if it names none that can be read."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), RETRY_AFTER_LIMIT_SECONDS) if text.isascii() and text.isdecimal() else 0.0
