"""Progress in the status while a daemon works, as a watcher of the API server sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

import pytest

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG
from imageops.core.progress import Stage
from tests.integration.conftest import ENGINES, LABELS, MakeGate, MakeImage, Measured, through
from tests.support.local_daemon import LocalDaemon
from tests.support.objects import Body, Objects, condition, reason
from tests.support.status_watch import Seen, StatusWatch
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

RATE = 1_000_000
"""Bytes per second of the slow registry."""
LARGE = 200_000_000
LARGE_RATE = 15_000_000
REPORT_SECONDS = 2.0
STAGES = [stage.value for stage in Stage]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer that has ended, and all that was seen of it."""

    image: PushedImage
    seen: list[Seen]

    @property
    def body(self) -> Body:
        """The object at its end."""
        return self.seen[-1].body

    @property
    def progress(self) -> list[Body]:
        """Every progress that was written, in order."""
        return [one.status["progress"] for one in self.seen if one.status.get("progress")]


def pulled_on_both(
    objects: Objects,
    make_image: MakeImage,
    addresses: Mapping[str, str],
    sizes: list[int],
    rate: int,
) -> dict[str, Transfer]:
    """Pull an image on both Engines at once, each through a registry held to a rate."""
    with ExitStack() as stack:
        watch = stack.enter_context(StatusWatch(objects, IMAGE_PULL))
        images, references = {}, {}
        for engine in ENGINES:
            images[engine] = make_image(layers=sizes)
            gate = stack.enter_context(RegistryGate(images[engine].registry, bytes_per_second=rate))
            references[engine] = through(gate, images[engine])
        for engine, reference in references.items():
            name = f"{engine}-{sum(sizes)}"
            objects.create(IMAGE_PULL, name, {"image": reference, "daemonName": engine})
        seen = {}
        for engine, reference in references.items():
            body = objects.wait_finished(IMAGE_PULL, f"{engine}-{sum(sizes)}", seconds=120)
            seen[engine] = Transfer(images[engine], watch.wait_for(body))
            LocalDaemon(addresses[engine]).remove(reference)
        return seen


@pytest.fixture(scope="module")
def slow_pulls(
    shared_objects: Objects,
    make_image: MakeImage,
    addresses: dict[str, str],
) -> dict[str, Transfer]:
    """Pull five layers through a registry of 1 MB/s."""
    return pulled_on_both(shared_objects, make_image, addresses, [3_000_000] * 5, RATE)


@pytest.fixture(scope="module")
def large_pulls(
    shared_objects: Objects,
    make_image: MakeImage,
    addresses: dict[str, str],
) -> dict[str, Transfer]:
    """Pull 200 MB."""
    return pulled_on_both(shared_objects, make_image, addresses, [LARGE // 4] * 4, LARGE_RATE)


both_engines = pytest.mark.parametrize("engine_name", ENGINES, ids=LABELS)


def assert_monotone(progress: list[Body]) -> None:
    """Check that no number of one attempt falls and no stage goes back."""
    for key in ("percent", "bytesDone", "layersDone", "layersTotal"):
        values = [one.get(key, 0) for one in progress]
        assert values == sorted(values), (key, values)
    stages = [STAGES.index(one["stage"]) for one in progress]
    assert stages == sorted(stages)
    assert all(one["percent"] <= 100 for one in progress)


@pytest.mark.feature("progress.layers")
@both_engines
def test_layers_and_bytes_add_up_to_the_image(slow_pulls: dict[str, Transfer], engine_name: str) -> None:
    """LayersDone rises to 5; bytesTotal is the layers' size within 2 %, and absent before all layers announced one."""
    pull = slow_pulls[engine_name]
    assert reason(pull.body) == "Pulled"
    assert_monotone(pull.progress)
    assert pull.progress[-1]["layersDone"] == pull.progress[-1]["layersTotal"] == 5
    assert pull.progress[0].get("layersDone", 0) == 0
    size = pull.image.layer_bytes
    totals = [one.get("bytesTotal") for one in pull.progress]
    assert totals[0] is None, "three of five layers download at a time: the others have announced nothing yet"
    assert totals[-1] == pytest.approx(size, rel=0.02)
    assert all(total is None or total == pytest.approx(size, rel=0.02) for total in totals)
    assert pull.progress[-1]["bytesDone"] == pytest.approx(size, rel=0.02)
    assert pull.body["status"]["history"][0]["bytesTransferred"] == pull.progress[-1]["bytesDone"]


@pytest.mark.feature("progress.speed")
@both_engines
def test_a_speed_is_told_while_bytes_move(
    slow_pulls: dict[str, Transfer],
    engine_name: str,
    measured: Measured,
) -> None:
    """`make bench` measures how near it comes to the registry's own."""
    pull = slow_pulls[engine_name]
    size = pull.image.layer_bytes
    speeds = [one["bytesPerSecond"] for one in pull.progress if "bytesPerSecond" in one]
    assert speeds, "nothing was told while it downloaded"
    assert all(0 < speed < size for speed in speeds)
    measured(f"registry of 1 MB/s, {engine_name}: bytesPerSecond {speeds}")


@pytest.mark.feature("progress.stages")
@both_engines
def test_the_stages_of_a_pull(slow_pulls: dict[str, Transfer], engine_name: str) -> None:
    """The stage moves forward along those of a pull and ends Complete."""
    pull = slow_pulls[engine_name]
    stages = list(dict.fromkeys(one["stage"] for one in pull.progress))
    assert set(stages) <= {"Resolving", "Downloading", "Extracting", "Verifying", "Complete"}
    assert stages == sorted(stages, key=STAGES.index)
    assert stages[-1] == "Complete"
    assert "Downloading" in stages
    assert pull.progress[-1]["percent"] == 100


@pytest.mark.feature("progress.throttled")
@both_engines
def test_a_large_pull_shows_its_way_and_spares_the_api_server(
    large_pulls: dict[str, Transfer],
    engine_name: str,
    measured: Measured,
) -> None:
    """200 MB show at least five rising percentages, add up, and are written at most once in two seconds."""
    pull = large_pulls[engine_name]
    assert reason(pull.body) == "Pulled"
    assert_monotone(pull.progress)
    running = [one for one in pull.seen if one.status["phase"] == "Running"]
    percentages = [one.status["progress"]["percent"] for one in running if one.status.get("progress")]
    assert len(set(percentages)) >= 5
    assert pull.progress[-1]["bytesTotal"] == pytest.approx(pull.image.layer_bytes, rel=0.02)
    assert pull.progress[-1]["bytesDone"] == pytest.approx(LARGE, rel=0.02)
    began, ended = (datetime.fromisoformat(pull.body["status"][key]) for key in ("startTime", "completionTime"))
    seconds = (ended - began).total_seconds()  # by the operator's own clock, which is what its pauses go by
    writes = len(pull.seen) - 1
    assert writes <= (seconds + 1) / REPORT_SECONDS + 2, "the create aside: the reports, and the end"
    way = f"{writes} writes in {seconds:.0f} s, percent {percentages}"
    measured(f"200 MB through a throttled registry, {engine_name}: {way}")


def _has_moved(body: Body) -> bool:
    return bool((body["status"].get("progress") or {}).get("bytesDone"))


@pytest.mark.feature("progress.kept")
def test_a_failed_attempt_keeps_its_progress_and_the_next_begins_anew(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """While a retry is waited for, status.progress is what the failed attempt reached; the next one begins at 0."""
    image = make_image(layers=[4_000_000] * 3)
    gate = make_gate(image.registry, bytes_per_second=RATE)
    spec = {"image": through(gate, image), "daemonName": engine.name, "timeoutSeconds": 8}
    with StatusWatch(objects, IMAGE_PULL) as watch:
        objects.create(IMAGE_PULL, "app", spec)
        waiting = objects.wait(IMAGE_PULL, "app", lambda body: bool(body["status"].get("failedAttempts")))
        gate.bytes_per_second = 4 * RATE  # fast enough to end, and slow enough for a daemon to tell of bytes
        body = objects.wait_finished(IMAGE_PULL, "app")
        seen = watch.wait_for(body)
    kept = waiting["status"]["progress"]
    assert waiting["status"]["error"]["reason"] == "TimedOut"
    assert 0 < kept["percent"] < 100
    before = [one.status["progress"] for one in seen if one.status.get("attempts") == 1 and one.status.get("progress")]
    assert_monotone(before)
    assert before[-1] == kept
    after = [one.status["progress"] for one in seen if one.status.get("attempts") == 2 and one.status.get("progress")]
    assert_monotone(after)
    assert reason(body) == "Pulled"
    assert after[-1]["percent"] == 100
    assert "error" not in body["status"]
    assert [entry["reason"] for entry in body["status"]["history"]] == ["TimedOut", "Pulled"]
    assert after[-1]["bytesDone"] <= image.layer_bytes * 1.02, "the bytes of the first attempt are not counted again"


@pytest.mark.feature("progress.kept")
@pytest.mark.feature("cancel.running")
def test_a_cancelled_attempt_keeps_its_progress(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """Cancel stops all blob requests at the registry in the middle, and what was reached stays in the status."""
    image = make_image(layers=[10_000_000] * 2)
    gate = make_gate(image.registry, bytes_per_second=RATE)
    objects.create(IMAGE_PULL, "app", {"image": through(gate, image), "daemonName": engine.name})
    objects.wait(IMAGE_PULL, "app", _has_moved)
    objects.patch(IMAGE_PULL, "app", {"spec": {"cancel": True}})
    seen = gate.wait(lambda requests: all(one.finished for one in requests))
    assert max(one.response_bytes for one in seen) < 10_000_000
    body = objects.wait_finished(IMAGE_PULL, "app")
    cancelled = condition(body, "Stalled")
    assert cancelled is not None
    assert cancelled["reason"] == "Cancelled"
    assert body["status"]["phase"] == "Cancelled"
    assert 0 < body["status"]["progress"]["bytesDone"] < image.layer_bytes


@pytest.fixture
def shown(objects: Objects) -> Iterator[Mapping[str, StatusWatch]]:
    """Watch pushes and tags."""
    with StatusWatch(objects, IMAGE_PUSH) as pushes, StatusWatch(objects, IMAGE_TAG) as tags:
        yield {"push": pushes, "tag": tags}


@pytest.mark.feature("progress.stages")
def test_the_stages_of_a_push_and_of_a_tag(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    cluster: Environment,
    shown: Mapping[str, StatusWatch],
) -> None:
    """A push shows its upload and ends Complete at 100 %; a tag ends Complete."""
    image = make_image(layers=[12_000_000, 12_000_000, 1_000])  # more than the buffers of a loopback connection
    gate = make_gate(cluster.registry_target, bytes_per_second=4 * RATE)
    engine.daemon.pull(image.reference)
    target = f"{gate.address}/{image.repository}:1"
    tag = objects.run(IMAGE_TAG, "app", {"source": image.reference, "target": target, "daemonName": engine.name})
    push = objects.run(IMAGE_PUSH, "app", {"image": target, "daemonName": engine.name})
    assert [reason(tag), reason(push)] == ["Tagged", "Pushed"]
    assert tag["status"]["progress"]["stage"] == "Complete"
    progress = Transfer(image, shown["push"].wait_for(push)).progress
    assert_monotone(progress)
    stages = list(dict.fromkeys(one["stage"] for one in progress))
    assert set(stages) <= {"Resolving", "Uploading", "Verifying", "Complete"}
    assert "Uploading" in stages
    assert stages[-1] == "Complete"
    assert progress[-1]["percent"] == 100
    assert progress[-1]["layersDone"] == 3
    assert len({one["percent"] for one in progress}) >= 3
