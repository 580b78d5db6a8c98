"""Measure what it costs the operator to track one progress update, with neither network nor daemon.

The parts are the operator's own: the Engine's stream reader, the tracker, Controller, `core.decide`, StatusWriter, the
API client down to the encoded body, and kopf with our handlers for the echo. `bench.offline` takes the socket away.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from unittest.mock import patch

import uvloop

from bench.figures import Figure, Goal
from bench.offline import OfflineOperator, Stopwatch
from imageops.core.progress import ProgressTracker
from imageops.engine.stream import StreamRecord, read_records
from imageops.engine.transfers import PullReceiptReader
from imageops.runtime.app import calm_collector

LAYERS = 20
"""Layers of the image; more than most have."""
_LAYER_BYTES = 200_000_000
_RECORDS_BETWEEN = 40
"""Records merged into each written update: what a lively stream says in two seconds."""
_ECHO_FIRST = 5
"""Of so many updates one meets its echo before its answer; on the development cluster 7 of 38 did."""
_WARM_UP = 1_500
"""Updates before the first that counts: the first second of a process is slower, and an operator runs for weeks."""
_COALESCED_GOAL = Goal(percentile=95, limit=15)
_WRITTEN_GOAL = Goal(percentile=95, limit=300)


def coalesced(count: int) -> Figure:
    """Measure one record on its way from the stream's bytes into the tracker, merged with what is there."""
    tracker, outcome, watch = ProgressTracker(), PullReceiptReader(), Stopwatch()
    stream = read_records(_lines(_WARM_UP + count))
    samples = []
    for _ in range(_WARM_UP + count):
        watch.start()
        _take(next(stream), tracker, outcome)
        samples.append(watch.stop())
    return Figure(
        "coalesced update",
        "µs",
        samples[_WARM_UP:],
        "one line of the stream split off, decoded, reduced to a layer record, judged, and merged into the tracker",
        _COALESCED_GOAL,
    )


def written(count: int) -> list[Figure]:
    """Measure one update on its way from a record to the encoded patch, the answer, and the echo of that write."""
    return uvloop.run(_written(count))


async def _written(count: int) -> list[Figure]:
    calm_collector()
    # Both limits delay writes and cost nothing else; without them 5,000 updates of one object take seconds, not hours.
    patch.multiple("imageops.cluster.status_writer", PROGRESS_PERIOD_SECONDS=0.0, REPORTS_PER_SECOND=1e9).start()
    stream = read_records(_lines((_WARM_UP + count) * _RECORDS_BETWEEN))
    updates = []
    async with OfflineOperator.running() as operator:
        tracker, outcome = operator.attempt.tracker, PullReceiptReader()
        for number in range(_WARM_UP + count):
            for _ in range(_RECORDS_BETWEEN - 1):
                _take(next(stream), tracker, outcome)
            operator.watch.start()
            _take(next(stream), tracker, outcome)
            updates.append(await operator.write(echo_first=not number % _ECHO_FIRST))
    counted = updates[_WARM_UP:]
    parts = {
        "written update": (
            [each.patch + each.echo for each in counted],
            "the patch and the echo, as below; neither HTTP, TLS nor the wait for the API server",
        ),
        "  the patch": (
            [each.patch for each in counted],
            "one record as above, the Controller's turn with snapshot and decision, the encoded patch",
        ),
        "  the echo": (
            [each.echo for each in counted],
            "the watch event decoded, kopf's processing of it, our filter; every fifth comes before the answer",
        ),
        "  beside it, the answer": (
            [each.answer for each in counted],
            "what the API server stored, decoded and taken in; not in the first line",
        ),
    }
    goals = {"written update": _WRITTEN_GOAL}
    return [Figure(name, "µs", samples, clock, goals.get(name)) for name, (samples, clock) in parts.items()]


def _take(record: StreamRecord, tracker: ProgressTracker, outcome: PullReceiptReader) -> None:
    """Do with a record what a running pull does."""
    if record.layer is not None:
        tracker.record(record.layer, time.monotonic())
    outcome.take(record)


def _lines(count: int) -> Sequence[bytes]:
    """Return so many lines of a pull's stream as Engine 29 sends them: the layers in turn, each growing."""
    step = _LAYER_BYTES // (count // LAYERS + 2)
    return [
        json.dumps(
            {
                "status": "Downloading",
                "progressDetail": {"current": (number // LAYERS + 1) * step, "total": _LAYER_BYTES},
                "progress": "[=========>                                         ]  38.4MB/200MB",
                "id": f"{number % LAYERS:012x}",
            }
        ).encode()
        + b"\r\n"
        for number in range(count)
    ]
