from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from imageops.api.progress import LayerRecord, LayerState
from imageops.api.status import Progress
from imageops.core.progress import RATE_WINDOW_SECONDS, ProgressTracker, Stage
from tests.support.builders import NOW, layer

STREAMS = 10_000
MEGABYTE = 1_000_000


def snapshot(tracker: ProgressTracker, now: float = 0.0) -> Progress:
    """Take the progress of a moment."""
    return tracker.snapshot(now, written_at=NOW)


def fed(*records: LayerRecord, streams: int = 1) -> ProgressTracker:
    """Make a tracker that has seen some records."""
    tracker = ProgressTracker(streams=streams)
    for record in records:
        tracker.record(record, 0.0)
    return tracker


def odd_stream(draw: random.Random) -> Iterator[LayerRecord | None]:
    """Yield records in any order, with totals late, shrinking, wrong or never; None = one stream has ended."""
    states = list(LayerState)
    sizes = {f"layer-{number}": draw.choice((0, 1, 999, MEGABYTE)) for number in range(draw.randint(1, 6))}
    for _ in range(draw.randint(1, 40)):
        name, size = draw.choice(list(sizes.items()))
        current = draw.choice((None, -1, 0, size // 3, size, size + 1, 10 * MEGABYTE))
        total = draw.choice((None, None, -1, 0, 1, size, size, 2 * size))
        yield layer(name, draw.choice(states), current, total)
        if draw.random() < 0.04:
            yield None


@pytest.mark.feature("progress.monotone")
@pytest.mark.feature("progress.stages")
def test_nothing_falls_in_10000_odd_streams() -> None:
    """Percent, bytes, layers and stage only rise, and no part is larger than its whole."""
    order = {stage.value: index for index, stage in enumerate(Stage)}
    for seed in range(STREAMS):
        draw = random.Random(seed)  # noqa: S311 - repeatable, guards nothing
        tracker, now = ProgressTracker(streams=draw.choice((1, 1, 3))), 1000.0
        last = Progress(percent=0, stage=Stage.RESOLVING.value)
        for record in odd_stream(draw):
            now += draw.choice((0.0, 0.2, 3.0, -1.0))
            if record is None:
                tracker.stream_finished()
            else:
                tracker.record(record, now)
            if draw.random() < 0.3:
                last = checked(seed, last, snapshot(tracker, now), order)
        checked(seed, last, snapshot(tracker, now), order)


def checked(seed: int, last: Progress, progress: Progress, order: dict[str, int]) -> Progress:
    """Check one moment of a stream against the moment before."""
    assert (last.percent or 0) <= (progress.percent or 0) <= 99, seed
    assert (last.bytes_done or 0) <= (progress.bytes_done or 0), seed
    assert (last.layers_done or 0) <= (progress.layers_done or 0) <= (progress.layers_total or 0), seed
    assert progress.bytes_total is None or (progress.bytes_done or 0) <= progress.bytes_total, seed
    assert order[last.stage or ""] <= order[progress.stage or ""], seed
    return progress


def test_a_plain_pull_goes_from_0_to_100() -> None:
    """By bytes while they are known, 99 until the image was verified."""
    tracker = fed(layer("a", LayerState.WAITING), layer("b", LayerState.WAITING))
    assert snapshot(tracker) == Progress(
        stage="Resolving",
        percent=0,
        layers_done=0,
        layers_total=2,
        last_update_time=NOW,
    )
    tracker.record(layer("a", LayerState.DOWNLOADING, 50, 100), 0)
    assert snapshot(tracker).bytes_total is None
    tracker.record(layer("b", LayerState.DOWNLOADING, 100, 300), 1)
    half = snapshot(tracker, 1)
    assert (half.stage, half.percent, half.bytes_done, half.bytes_total) == ("Downloading", 37, 150, 400)
    for name in ("a", "b"):
        tracker.record(layer(name, LayerState.DOWNLOADED), 2)
        tracker.record(layer(name, LayerState.EXTRACTING), 2)
        tracker.record(layer(name, LayerState.COMPLETE), 2)
    tracker.stream_finished()
    full = snapshot(tracker, 3)
    assert (full.stage, full.percent, full.bytes_done, full.layers_done) == ("Extracting", 99, 400, 2)
    tracker.reached(Stage.VERIFYING)
    assert snapshot(tracker).percent == 99
    tracker.reached(Stage.COMPLETE)
    assert (snapshot(tracker).stage, snapshot(tracker).percent) == ("Complete", 100)
    assert tracker.bytes_transferred == 400


def test_what_is_downloaded_and_never_unpacked_is_done_when_the_whole_was_checked() -> None:
    """The content of an attestation; before the check nothing tells it from a layer that waits to be unpacked."""
    tracker = fed(layer("image", LayerState.COMPLETE), layer("attestation", LayerState.DOWNLOADED))
    tracker.stream_finished()
    tracker.reached(Stage.VERIFYING)
    assert (snapshot(tracker).layers_done, snapshot(tracker).layers_total) == (1, 2)
    tracker.reached(Stage.COMPLETE)
    assert (snapshot(tracker).layers_done, snapshot(tracker).layers_total) == (2, 2)


def test_layers_count_where_a_size_is_missing() -> None:
    """A total that is never announced is not guessed; a layer whose size is known counts by its own bytes."""
    tracker = fed(layer("a", LayerState.DOWNLOADING, 10, None), layer("b", LayerState.DOWNLOADING, 10, 100))
    assert snapshot(tracker).bytes_total is None
    assert snapshot(tracker).percent == 5
    tracker.record(layer("b", LayerState.COMPLETE), 1)
    assert snapshot(tracker).percent == 50
    tracker.record(layer("a", LayerState.DOWNLOADED), 1)
    assert (snapshot(tracker).bytes_total, snapshot(tracker).bytes_done) == (110, 110)


@pytest.mark.parametrize("state", [LayerState.EXISTS, LayerState.MOUNTED])
def test_layers_that_were_there_moved_no_byte(state: LayerState) -> None:
    """They count as done layers only."""
    tracker = fed(layer("a", state), layer("b", LayerState.UPLOADING, 5, 10))
    progress = snapshot(tracker)
    assert (progress.stage, progress.bytes_done, progress.bytes_total, progress.layers_done) == ("Uploading", 5, 10, 1)
    tracker.record(layer("b", state), 1)
    assert tracker.bytes_transferred == 5


def test_a_transfer_that_the_engine_begins_anew_is_not_counted_twice() -> None:
    """The highest value of each layer stays."""
    tracker = fed(layer("a", LayerState.DOWNLOADING, 80, 100), layer("a", LayerState.RETRYING))
    tracker.record(layer("a", LayerState.DOWNLOADING, 10, 100), 1)
    assert tracker.bytes_transferred == 80
    tracker.record(layer("a", LayerState.DOWNLOADED), 2)
    tracker.record(layer("a", LayerState.COMPLETE), 2)
    tracker.record(layer("a", LayerState.COMPLETE), 2)
    assert (tracker.bytes_transferred, snapshot(tracker).layers_done) == (100, 1)


@pytest.mark.feature("progress.stages")
def test_a_stage_is_never_left_backwards() -> None:
    """A layer that still downloads while another is unpacked takes nothing back."""
    tracker = fed(layer("a", LayerState.EXTRACTING), layer("b", LayerState.DOWNLOADING, 1, 2))
    assert snapshot(tracker).stage == "Extracting"
    tracker.reached(Stage.RESOLVING)
    assert snapshot(tracker).stage == "Extracting"


def test_streams_have_equal_weight() -> None:
    """The pull of three children of an index is at a third after the first, and knows its size in the last one."""
    tracker = fed(layer("a", LayerState.DOWNLOADING, 100, 100), streams=3)
    assert snapshot(tracker).percent == 33
    assert snapshot(tracker).bytes_total is None
    tracker.stream_finished()
    assert snapshot(tracker).percent == 33
    tracker.record(layer("b", LayerState.DOWNLOADING, 50, 100), 1)
    assert snapshot(tracker).percent == 50
    tracker.stream_finished()
    tracker.record(layer("c", LayerState.DOWNLOADING, 50, 100), 1)
    assert (snapshot(tracker).percent, snapshot(tracker).bytes_total) == (83, 300)
    for _ in range(5):
        tracker.stream_finished()
    assert snapshot(tracker).percent == 99


@pytest.mark.feature("progress.speed")
def test_the_speed_is_that_of_the_last_seconds() -> None:
    """A window of 10 seconds; after a silence longer than that nothing is claimed."""
    tracker = ProgressTracker()
    assert snapshot(tracker).bytes_per_second is None
    current = 0
    for second in range(31):
        current += MEGABYTE if second > 15 else 10 * MEGABYTE
        tracker.record(layer("a", LayerState.DOWNLOADING, current, 10**9), float(second))
    assert snapshot(tracker, 30.0).bytes_per_second == MEGABYTE
    assert snapshot(tracker, 30.0 + RATE_WINDOW_SECONDS + 1).bytes_per_second is None


@pytest.mark.feature("progress.speed")
def test_two_records_a_moment_apart_claim_no_speed() -> None:
    """A daemon that is read late tells of a second's bytes in a millisecond."""
    tracker = ProgressTracker()
    for moment, current in ((0.499, MEGABYTE), (0.501, 4 * MEGABYTE)):
        tracker.record(layer("a", LayerState.DOWNLOADING, current, 10**9), moment)
    assert snapshot(tracker, 0.501).bytes_per_second is None
    tracker.record(layer("a", LayerState.DOWNLOADING, 5 * MEGABYTE, 10**9), 1.499)
    assert snapshot(tracker, 1.5).bytes_per_second == 4 * MEGABYTE


def test_nothing_known_is_nothing_said() -> None:
    """An attempt that has seen no record states its stage and 0 percent."""
    assert snapshot(ProgressTracker()) == Progress(stage="Resolving", percent=0, last_update_time=NOW)
