"""Fold the layer records of one attempt into a progress that never goes backwards.

The stream of a daemon is uneven: totals come late or never, currents start anew after a retry of the daemon's own,
states arrive out of order. The tracker keeps the highest value of each layer. It is fed by the thread that reads the
stream and read by the event loop; each number in it only grows, so a read in between is merely a moment old. Sums are
kept as records come in: a look at a running attempt costs the same for two layers and for two hundred.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from imageops.api.progress import LayerRecord, LayerState
from imageops.api.status import Progress

PROGRESS_PERIOD_SECONDS = 2.0
"""How often a running attempt is looked at, and least time between two progress writes of one object."""
RATE_WINDOW_SECONDS = 10.0
_SAMPLE_SECONDS = 0.5
_PERCENT_BEFORE_VERIFIED = 99
"""The highest percentage before the result was checked: a finished stream proves nothing yet."""


class Stage(StrEnum):
    """The stages of an operation, in order; each kind passes through a part of them."""

    RESOLVING = "Resolving"
    DOWNLOADING = "Downloading"
    EXTRACTING = "Extracting"
    UPLOADING = "Uploading"
    TAGGING = "Tagging"
    VERIFYING = "Verifying"
    COMPLETE = "Complete"


_ORDER = {stage: index for index, stage in enumerate(Stage)}
_FETCHED = frozenset({LayerState.DOWNLOADED, LayerState.EXTRACTING, LayerState.COMPLETE, LayerState.VERIFYING})
_DONE = frozenset({LayerState.COMPLETE, LayerState.EXISTS, LayerState.UPLOADED, LayerState.MOUNTED})
_MOVING = frozenset({LayerState.DOWNLOADING, LayerState.UPLOADING})
_UNMOVED = frozenset({LayerState.EXISTS, LayerState.MOUNTED})


@dataclass(slots=True)
class _Stream:
    """The sums of the layers one stream told of first."""

    layers: list["_Layer"] = field(default_factory=list)
    current: int = 0
    size: int = 0
    without_size: int = 0
    """Layers still under way that announced no size: as long as there are any, the sum of the sizes says nothing."""

    @property
    def total(self) -> int | None:
        """The bytes of all layers; None until every layer that is still under way announced its size."""
        return None if self.without_size else self.size or None


@dataclass(slots=True)
class _Layer:
    stream: _Stream
    current: int = 0
    total: int | None = None
    fetched: bool = False
    done: bool = False

    def announce(self, total: int) -> None:
        """Take the layer's size, which only grows."""
        under_way_without = self.total is None and not (self.done or self.fetched)
        former = self.total or 0
        if total > former:
            self.stream.size += total - former
            self.total = total
            self.stream.without_size -= under_way_without

    def arrive(self) -> None:
        """Note that the layer needs to announce nothing any more."""
        if self.total is None and not (self.done or self.fetched):
            self.stream.without_size -= 1


@dataclass(slots=True)
class ProgressTracker:
    """The progress of one attempt, which may read several streams one after another."""

    streams: int = 1
    """How many streams of equal weight the attempt reads in all."""
    _finished_streams: int = 0
    _stage: Stage = Stage.RESOLVING
    _layers: dict[str, _Layer] = field(default_factory=dict)
    _streams: list[_Stream] = field(default_factory=lambda: [_Stream()])
    """One for each stream begun."""
    _samples: deque[tuple[float, int]] = field(default_factory=deque)
    _bytes_done: int = 0
    _percent: int = 0
    _layers_done: int = 0

    def reached(self, stage: Stage) -> None:
        """Move to a stage; a move backwards is ignored."""
        if _ORDER[stage] > _ORDER[self._stage]:
            self._stage = stage

    def stream_finished(self) -> None:
        """Count one stream as read to its positive end."""
        self._finished_streams = min(self.streams, self._finished_streams + 1)
        self._streams.append(_Stream())

    def record(self, record: LayerRecord, now: float) -> None:
        """Take in one record; `now` is any monotonic clock in seconds."""
        layer = self._layers.get(record.id)
        if layer is None:
            stream = self._streams[-1]
            stream.without_size += 1
            layer = self._layers[record.id] = _Layer(stream)
            stream.layers.append(layer)
        if record.state in _MOVING:
            self.reached(Stage.UPLOADING if record.state is LayerState.UPLOADING else Stage.DOWNLOADING)
            self._moved(layer, record, now)
        elif record.state in _FETCHED:
            if record.state is LayerState.EXTRACTING:
                self.reached(Stage.EXTRACTING)
            if not layer.fetched and layer.total is not None:
                self._grow(layer, layer.total, now)
            layer.arrive()
            layer.fetched = True
        if record.state in _DONE and not layer.done:
            layer.arrive()
            layer.done = True
            self._layers_done += 1
            if layer.total is not None and record.state not in _UNMOVED:
                self._grow(layer, layer.total, now)

    def snapshot(self, now: float, *, written_at: datetime) -> Progress:
        """Return what is known at this moment, as it stands in `status.progress`."""
        done = self._bytes_done
        total = self._bytes_total()
        self._percent = max(self._percent, self._percent_now())
        return Progress(
            stage=self._stage.value,
            percent=self._percent,
            bytes_done=done or None,
            bytes_total=max(total, done) if total is not None else None,
            layers_done=self._layers_done_now() if self._layers else None,
            layers_total=len(self._layers) or None,
            bytes_per_second=self._rate(now),
            last_update_time=written_at,
        )

    @property
    def bytes_transferred(self) -> int:
        """Return the bytes moved so far, as the stream told them."""
        return self._bytes_done

    def _moved(self, layer: _Layer, record: LayerRecord, now: float) -> None:
        if record.total is not None and record.total > 0:
            layer.announce(record.total)
        if record.current is not None:
            ceiling = record.current if layer.total is None else min(record.current, layer.total)
            self._grow(layer, ceiling, now)

    def _grow(self, layer: _Layer, current: int, now: float) -> None:
        if current <= layer.current:
            return
        self._bytes_done += current - layer.current
        layer.stream.current += current - layer.current
        layer.current = current
        if self._samples and now // _SAMPLE_SECONDS == self._samples[-1][0] // _SAMPLE_SECONDS:
            # The containerd store tells of 1 MiB a layer at once, and of all layers at about the same time.
            self._samples[-1] = (now, self._bytes_done)
            return
        self._samples.append((now, self._bytes_done))
        while self._samples[0][0] < now - RATE_WINDOW_SECONDS:
            self._samples.popleft()

    def _rate(self, now: float) -> int | None:
        samples = tuple(self._samples)
        first = next((sample for sample in samples if sample[0] >= now - RATE_WINDOW_SECONDS), None)
        if first is None or samples[-1][0] - first[0] < _SAMPLE_SECONDS:
            return None  # two samples may lie a moment apart, on either side of a boundary
        return round((samples[-1][1] - first[1]) / (samples[-1][0] - first[0]))

    def _bytes_total(self) -> int | None:
        """Add all streams up; None before the last one has begun, or while one of them cannot tell."""
        totals = [stream.total for stream in self._streams if stream.layers]
        if self._finished_streams + 1 < self.streams or None in totals:
            return None
        return sum(filter(None, totals)) or None

    def _layers_done_now(self) -> int:
        """Count the layers at their end; after the check of the whole that is all.

        Engine 29 tells of an attestation's content that it was downloaded, and then no more: it is never unpacked.
        """
        return len(self._layers) if self._stage is Stage.COMPLETE else self._layers_done

    def _percent_now(self) -> int:
        if self._stage is Stage.COMPLETE:
            return 100
        within = 1.0 if self._finished_streams >= self.streams else _fraction(self._streams[-1])
        fraction = min(1.0, (min(self._finished_streams, self.streams - 1) + within) / self.streams)
        return min(_PERCENT_BEFORE_VERIFIED, int(fraction * 100))


def _fraction(stream: _Stream) -> float:
    """Tell how far a stream is: by bytes where they are known, else by layers, each counted by its own bytes."""
    total = stream.total
    if total is not None:
        return min(1.0, stream.current / total)
    return sum(map(_part, stream.layers)) / len(stream.layers) if stream.layers else 0.0


def _part(layer: _Layer) -> float:
    """Tell how far a layer is; a daemon fetches three at a time, so the sizes of the others come late."""
    if layer.done or not layer.total:
        return float(layer.done)
    return layer.current / layer.total
