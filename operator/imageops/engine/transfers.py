"""Tell from a stream's records whether a pull or a push was done, and with which result.

A stream ends well only by its last word: "Digest:" and then "Status:" for a pull, the pushed tag with its digest for a
push. 100 percent in every layer is not it, nor is HTTP 200, nor a silent end.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Protocol

from imageops.api.reasons import Reason
from imageops.engine.protocol import Receipt
from imageops.engine.requests import CHUNK_BYTES, Request, exchange, refusal
from imageops.engine.stream import StreamRecord, read_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from requests import Response

    from imageops.engine.connection import DaemonClient
    from imageops.engine.protocol import RecordSink

_DIGEST_PATTERN = r"(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})"
_DIGEST = re.compile(_DIGEST_PATTERN)
_PULL_DIGEST = re.compile(rf"Digest: ({_DIGEST_PATTERN})")
_UP_TO_DATE = "Status: Image is up to date for "
_DOWNLOADED = "Status: Downloaded newer image for "
_WARNING = "WARNING: "
"""Begins what Engine 28.5 says after the end, with a graph driver, of an image that has another platform than asked."""


class ReceiptReader(Protocol):
    """Collects the records of one transfer and judges them at its end."""

    def take(self, record: StreamRecord) -> None:
        """Look at the next record, which is no error."""
        ...

    def receipt(self) -> Receipt | None:
        """Return the result, or None if the stream did not say that the work was done."""
        ...


class PullReceiptReader:
    """The reader of a pull."""

    def __init__(self) -> None:
        """Start with nothing said."""
        self._digest: str | None = None
        self._last: str | None = None

    def take(self, record: StreamRecord) -> None:
        """Remember the digest and the last words that are about the image, not about a layer of it."""
        if record.id is not None or record.status is None or record.status.startswith(_WARNING):
            return
        self._last = record.status
        if match := _PULL_DIGEST.fullmatch(record.status):
            self._digest = match[1]

    def receipt(self) -> Receipt | None:
        """Return the digest that was pulled, if the last words say that the image is there."""
        if self._digest is None or self._last is None or not self._last.startswith((_UP_TO_DATE, _DOWNLOADED)):
            return None
        return Receipt(self._digest)


class PushReceiptReader:
    """The reader of a push of one tag."""

    def __init__(self, tag: str) -> None:
        """Expect the words of a finished push of `tag`; another tag's do not count."""
        self._tag = tag
        self._done = re.compile(rf"{re.escape(tag)}: digest: ({_DIGEST_PATTERN}) size: [0-9]{{1,18}}")
        self._claims: set[str] = set()

    def take(self, record: StreamRecord) -> None:
        """Remember each digest that is claimed: Engine 20.10 says it twice, in `aux` too, Engine 29 once."""
        if record.aux:
            self._take_aux(record.aux)
        if record.id is None and record.status is not None and (match := self._done.fullmatch(record.status)):
            self._claims.add(match[1])

    def _take_aux(self, aux: Mapping[str, object]) -> None:
        digest, size = aux.get("Digest"), aux.get("Size")
        if aux.get("Tag") == self._tag and isinstance(digest, str) and _DIGEST.fullmatch(digest) and type(size) is int:
            self._claims.add(digest)

    def receipt(self) -> Receipt | None:
        """Return what was pushed, if the stream named exactly one digest for the tag."""
        return Receipt(*self._claims) if len(self._claims) == 1 else None


class Activity:
    """When a transfer last gave a sign of life. Written in the reading thread, read by whoever watches over it."""

    def __init__(self) -> None:
        """Count from now."""
        self._last = time.monotonic()

    def touch(self) -> None:
        """Note a sign of life."""
        self._last = time.monotonic()

    def quiet_seconds(self) -> float:
        """Return how long there was none."""
        return time.monotonic() - self._last


def transfer(
    client: DaemonClient, request: Request, reader: ReceiptReader, *, sink: RecordSink, activity: Activity
) -> Receipt:
    """Carry a pull or a push out, in a worker thread.

    Args:
        client: The thread's client.
        request: The pull or the push.
        reader: Judges the stream.
        sink: Takes what is said about layers.
        activity: Touched at every piece of the stream.

    Raises:
        OperationError: The reason of an error before or inside the stream; DAEMON_CONNECTION_LOST if the stream broke;
            DAEMON_ERROR if it ended whole and did not say that the work was done.
    """
    with exchange(client, request) as response:
        activity.touch()
        text = refusal(response)
        if text is not None:
            raise request.failure(response.status_code, text)
        for record in read_records(_watched(response, activity)):
            if record.error is not None:
                raise request.failure(None, record.error)
            if record.layer is not None:
                sink(record.layer)
            reader.take(record)
    receipt = reader.receipt()
    if receipt is None:
        raise request.error(Reason.DAEMON_ERROR)
    return receipt


def _watched(response: Response, activity: Activity) -> Iterator[bytes]:
    for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
        activity.touch()
        yield chunk
