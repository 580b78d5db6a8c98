"""Read a daemon's stream of JSON records, trusting nothing about it.

docker-py's own reading is not used: it never raises an error that arrives inside the stream, and it takes a closed
socket for a normal end. Here the end of a stream means nothing by itself; `transfers` looks for the record that says
the work is done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from imageops.api.errors import OperationError
from imageops.api.progress import LayerRecord, LayerState
from imageops.api.reasons import Reason
from imageops.engine.protocol import MAX_BYTES

MAX_RECORD_BYTES = 64 * 1024
"""Longest record that is read whole. Ordinary ones are under 300 bytes; an error can carry a registry's whole page."""

_LAYER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_STATES = {
    "Pulling fs layer": LayerState.WAITING,
    "Waiting": LayerState.WAITING,
    "Downloading": LayerState.DOWNLOADING,
    "Verifying Checksum": LayerState.VERIFYING,
    "Download complete": LayerState.DOWNLOADED,
    "Extracting": LayerState.EXTRACTING,
    "Pull complete": LayerState.COMPLETE,
    "Already exists": LayerState.EXISTS,
    "Layer already exists": LayerState.EXISTS,
    "Preparing": LayerState.PREPARING,
    "Pushing": LayerState.UPLOADING,
    "Pushed": LayerState.UPLOADED,
    "Unavailable": LayerState.UNAVAILABLE,
    "Skipped foreign layer": LayerState.UNAVAILABLE,
}
"""The words of Engine 20.10 to 29, pull and push, both image stores."""
_STATES_BY_BEGINNING = {"Retrying in ": LayerState.RETRYING, "Mounted from ": LayerState.MOUNTED}

_ERROR_BEGINNING = re.compile(rb'\s*\{\s*"errorDetail"\s*:\s*\{[^"]*(?:"code"\s*:\s*\d+\s*,\s*)?"message"\s*:\s*"')


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One record, reduced to what the operator looks at."""

    id: str | None
    status: str | None
    layer: LayerRecord | None
    """What it says about one layer; None for the other records."""
    error: str | None
    """The text of an errorDetail, foreign and unredacted; None where there is none."""
    aux: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a stream, without its end."""

    data: bytes
    cut: bool
    """It was longer than `MAX_RECORD_BYTES`; `data` is its beginning."""


class LineSplitter:
    """Cut a byte stream into lines, holding never more than one record of the allowed length."""

    def __init__(self) -> None:
        """Start at the beginning of a line."""
        self._held = bytearray()
        self._cut = False

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """Take the next bytes, however the network cut them, and yield the lines they complete."""
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            self._hold(piece)
            yield Line(bytes(self._held), self._cut)
            self._held.clear()
            self._cut = False
        self._hold(rest)

    def _hold(self, piece: bytes) -> None:
        room = MAX_RECORD_BYTES - len(self._held)
        self._held += piece[:room]
        self._cut = self._cut or len(piece) > room

    @property
    def unfinished(self) -> bool:
        """Whether something other than white space stands after the last line end."""
        return bool(self._held.strip())


def read_records(chunks: Iterable[bytes]) -> Iterator[StreamRecord]:
    """Yield the records of a stream in order.

    Raises:
        OperationError: DAEMON_CONNECTION_LOST if the stream ends within a record, DAEMON_ERROR for a line that is no
            record. What `chunks` raises passes through.
    """
    splitter = LineSplitter()
    for chunk in chunks:
        for line in splitter.feed(chunk):
            if line.cut or line.data.strip():
                yield parse(line)
    if splitter.unfinished:
        raise OperationError(Reason.DAEMON_CONNECTION_LOST)


def parse(line: Line) -> StreamRecord:
    """Parse one line.

    Raises:
        OperationError: DAEMON_ERROR if it is not one JSON object, or too long and no error.
    """
    if line.cut:
        return _parse_long_error(line.data)
    try:
        record = json.loads(line.data)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise OperationError(Reason.DAEMON_ERROR)
    identity = _text(record.get("id"))
    status = _text(record.get("status"))
    aux = record.get("aux")
    return StreamRecord(
        id=identity,
        status=status,
        layer=_layer(identity, status, record.get("progressDetail")),
        error=_error(record),
        aux=aux if isinstance(aux, dict) else {},
    )


def _parse_long_error(data: bytes) -> StreamRecord:
    """Keep the beginning of an error that is longer than a record may be; it is enough to classify it."""
    beginning = _ERROR_BEGINNING.match(data)
    if beginning is None:
        raise OperationError(Reason.DAEMON_ERROR)
    text = data[beginning.end() :].decode(errors="replace")
    return StreamRecord(id=None, status=None, layer=None, error=text, aux={})


def _error(record: Mapping[str, object]) -> str | None:
    detail = record.get("errorDetail")
    if isinstance(detail, dict):
        return _text(detail.get("message")) or ""
    # Both engines send `error` beside `errorDetail`. Alone it is no engine's that is known, but still an error.
    return None if detail is None and record.get("error") is None else _text(record.get("error")) or ""


def _layer(identity: str | None, status: str | None, detail: object) -> LayerRecord | None:
    if identity is None or status is None or _LAYER_ID.fullmatch(identity) is None:
        return None
    state = _state(status)
    if state is None:
        return None
    if not isinstance(detail, dict) or detail.get("units"):
        # The containerd store counts the seconds of an extraction under the same keys as bytes.
        return LayerRecord(identity, state)
    # A total of 0 is how an engine says that it does not know.
    total = _count(detail.get("total")) or None
    return LayerRecord(identity, state, current=_count(detail.get("current")), total=total)


def _state(status: str) -> LayerState | None:
    beginnings = (state for beginning, state in _STATES_BY_BEGINNING.items() if status.startswith(beginning))
    return _STATES.get(status) or next(beginnings, None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_BYTES else None
