"""Fold the layer records of one attempt into a progress that never goes backwards.

The stream of a daemon is uneven: totals come late or never, currents start anew after a retry of the daemon's own,
states arrive out of order. The tracker keeps the highest value of each layer. It is fed by the thread that reads the
stream and read by the event loop; each number in it only grows, so a read in between is merely a moment old.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from imageops.api.progress import LayerRecord, LayerState
from imageops.api.status import Progress

RATE_WINDOW_SECONDS = 10.0
_SAMPLE_SECONDS = 0.5
_SAMPLES_FOR_A_RATE = 2
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
class _Layer:
    stream: int
    current: int = 0
    total: int | None = None
    fetched: bool = False
    done: bool = False


@dataclass(slots=True)
class ProgressTracker:
    """The progress of one attempt, which may read several streams one after another."""

    streams: int = 1
    """How many streams of equal weight the attempt reads in all."""
    _finished_streams: int = 0
    _stage: Stage = Stage.RESOLVING
    _layers: dict[str, _Layer] = field(default_factory=dict)
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

    def record(self, record: LayerRecord, now: float) -> None:
        """Take in one record; `now` is any monotonic clock in seconds."""
        layer = self._layers.get(record.id)
        if layer is None:
            layer = self._layers[record.id] = _Layer(self._finished_streams)
        if record.state in _MOVING:
            self.reached(Stage.UPLOADING if record.state is LayerState.UPLOADING else Stage.DOWNLOADING)
            self._moved(layer, record, now)
        elif record.state in _FETCHED:
            if record.state is LayerState.EXTRACTING:
                self.reached(Stage.EXTRACTING)
            if not layer.fetched and layer.total is not None:
                self._grow(layer, layer.total, now)
            layer.fetched = True
        if record.state in _DONE and not layer.done:
            layer.done = True
            self._layers_done += 1
            if layer.total is not None and record.state not in _UNMOVED:
                self._grow(layer, layer.total, now)

    def snapshot(self, now: float, *, written_at: datetime) -> Progress:
        """Return what is known at this moment, as it stands in `status.progress`."""
        layers = list(self._layers.values())
        done = self._bytes_done
        current = layers
        if self.streams > 1:
            current = [layer for layer in layers if layer.stream == self._finished_streams]
        size = _bytes_total(current)
        self._percent = max(self._percent, self._percent_now(current, size))
        total = None
        if self._finished_streams + 1 >= self.streams:
            total = size if current is layers else _bytes_total(layers)
        if total is not None:
            total = max(total, done)
        return Progress(
            stage=self._stage.value,
            percent=self._percent,
            bytes_done=done or None,
            bytes_total=total,
            layers_done=self._layers_done if layers else None,
            layers_total=len(layers) or None,
            bytes_per_second=self._rate(now),
            last_update_time=written_at,
        )

    @property
    def bytes_transferred(self) -> int:
        """Return the bytes moved so far, as the stream told them."""
        return self._bytes_done

    def _moved(self, layer: _Layer, record: LayerRecord, now: float) -> None:
        if record.total is not None and record.total > 0:
            layer.total = max(layer.total or 0, record.total)
        if record.current is not None:
            ceiling = record.current if layer.total is None else min(record.current, layer.total)
            self._grow(layer, ceiling, now)

    def _grow(self, layer: _Layer, current: int, now: float) -> None:
        if current <= layer.current:
            return
        self._bytes_done += current - layer.current
        layer.current = current
        if self._samples and now // _SAMPLE_SECONDS == self._samples[-1][0] // _SAMPLE_SECONDS:
            # The containerd store tells of 1 MiB a layer at once, and of all layers at about the same time.
            self._samples[-1] = (now, self._bytes_done)
            return
        self._samples.append((now, self._bytes_done))
        while self._samples[0][0] < now - RATE_WINDOW_SECONDS:
            self._samples.popleft()

    def _rate(self, now: float) -> int | None:
        samples = [sample for sample in tuple(self._samples) if sample[0] >= now - RATE_WINDOW_SECONDS]
        if len(samples) < _SAMPLES_FOR_A_RATE or samples[-1][0] <= samples[0][0]:
            return None
        return round((samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0]))

    def _percent_now(self, current: list[_Layer], size: int | None) -> int:
        if self._stage is Stage.COMPLETE:
            return 100
        within = 1.0 if self._finished_streams >= self.streams else _fraction(current, size)
        fraction = min(1.0, (min(self._finished_streams, self.streams - 1) + within) / self.streams)
        return min(_PERCENT_BEFORE_VERIFIED, int(fraction * 100))


def _fraction(layers: list[_Layer], size: int | None) -> float:
    """Tell how far a stream is: by bytes where they are known, else by layers, each counted by its own bytes."""
    if size:
        return min(1.0, sum([layer.current for layer in layers]) / size)
    return sum(map(_part, layers)) / len(layers) if layers else 0.0


def _part(layer: _Layer) -> float:
    """Tell how far a layer is; a daemon fetches three at a time, so the sizes of the others come late."""
    if layer.done or not layer.total:
        return float(layer.done)
    return layer.current / layer.total


def _bytes_total(layers: list[_Layer]) -> int | None:
    """Add the layers' sizes up; None until every layer that is still under way announced one."""
    total = 0
    for layer in layers:
        if layer.total is not None:
            total += layer.total
        elif not (layer.done or layer.fetched):
            return None
    return total or None
