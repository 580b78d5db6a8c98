"""Many objects at once."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from devcluster.env import Environment
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, OPERATION_KINDS, Kind
from tests.integration.conftest import ENGINES, MakeImage, Measured
from tests.support.admission import ApiServer
from tests.support.local_daemon import LocalDaemon
from tests.support.objects import POLL_SECONDS, WAIT_SECONDS, Objects, finished, reason
from tests.support.operator_process import OperatorProcess
from tests.support.status_watch import Seen, StatusWatch

pytestmark = pytest.mark.integration

PER_KIND = {IMAGE_PULL: 80, IMAGE_TAG: 80, IMAGE_PUSH: 40}
WRITERS = 8
REPORT_SECONDS = 2.0
REST_SECONDS = 1.0
SHORT_MILLISECONDS = 200
"""A little less than what makes an attempt worth showing while it runs."""
TRIES = 5


@pytest.fixture
def burst(
    objects: Objects,
    make_image: MakeImage,
    addresses: dict[str, str],
    cluster: Environment,
) -> list[tuple[Kind, str, dict[str, Any]]]:
    """Prepare 200 specs of the three kinds, half of them for each Engine: new pulls, present ones, tags, pushes."""
    specs: list[tuple[Kind, str, dict[str, Any]]] = []
    for engine in ENGINES:
        daemon = LocalDaemon(addresses[engine])
        present = make_image()
        daemon.pull(present.reference)
        absent = [make_image().reference for _ in range(5)]
        here = {"daemonName": engine}
        for number in range(PER_KIND[IMAGE_PULL] // 2):
            image = absent[number] if number < len(absent) else present.reference
            specs.append((IMAGE_PULL, f"pull-{engine}-{number}", {"image": image, **here}))
        for number in range(PER_KIND[IMAGE_TAG] // 2):
            target = f"local.example/{objects.namespace}:{number}"
            specs.append((IMAGE_TAG, f"tag-{engine}-{number}", {"source": present.reference, "target": target, **here}))
        for number in range(PER_KIND[IMAGE_PUSH] // 2):
            target = f"{cluster.registry_target}/{present.repository}:{number}"
            daemon.tag(present.reference, target)
            specs.append((IMAGE_PUSH, f"push-{engine}-{number}", {"image": target, **here}))
    return specs


@pytest.fixture
def watches(objects: Objects) -> Iterator[dict[Kind, StatusWatch]]:
    """Watch the three kinds."""
    with (
        StatusWatch(objects, IMAGE_PULL) as pulls,
        StatusWatch(objects, IMAGE_PUSH) as pushes,
        StatusWatch(objects, IMAGE_TAG) as tags,
    ):
        yield {IMAGE_PULL: pulls, IMAGE_PUSH: pushes, IMAGE_TAG: tags}


def writes(operator: OperatorProcess) -> Counter[str]:
    """Count the status writes of the operator so far, by result."""
    counted: Counter[str] = Counter()
    pattern = r'imageops_status_patch_total\{.*result="(\w+)".*\} (\S+)'
    for result, value in re.findall(pattern, operator.read("metrics")):
        counted[result] += int(float(value))
    return counted


def settled(operator: OperatorProcess) -> Counter[str]:
    """Return the count when the operator has come to rest: what other tests left may still be on its way."""
    deadline = time.monotonic() + WAIT_SECONDS
    before, since = writes(operator), time.monotonic()
    while time.monotonic() - since < REST_SECONDS:
        assert time.monotonic() < deadline, "the operator writes on and on"
        time.sleep(POLL_SECONDS)
        if (now := writes(operator)) != before:
            before, since = now, time.monotonic()
    return before


def share(seen: list[Seen]) -> float:
    """Return how many writes an object may need: its end, its start if that takes long, each wait, the reports."""
    status = seen[-1].status
    began, ended = (datetime.fromisoformat(status[key]) for key in ("startTime", "completionTime"))
    waiting = [one.status for one in seen if one.status.get("error", {}).get("class") == "Waiting"]
    waits = {(one["error"]["reason"], one.get("nextRetryTime")) for one in waiting}
    return 2 + len(waits) + (ended - began).total_seconds() / REPORT_SECONDS


@pytest.mark.feature("status.consistent")
@pytest.mark.feature("tool.paired")
def test_two_hundred_objects_at_once_all_end_with_one_run_each(
    objects: Objects,
    cluster: Environment,
    operator: OperatorProcess,
    burst: list[tuple[Kind, str, dict[str, Any]]],
    watches: dict[Kind, StatusWatch],
    measured: Measured,
) -> None:
    """All succeed in one run with one attempt and one record of it, none with more than its share of writes."""
    assert len(burst) == 200
    before = settled(operator)
    apis = [ApiServer(cluster.kubeconfig) for _ in range(WRITERS)]

    def create(number: int) -> None:
        for kind, name, spec in burst[number::WRITERS]:
            Objects(apis[number], objects.namespace).create(kind, name, spec)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(create, range(WRITERS)))
    for one in apis:
        one.close()
    bodies = [objects.wait_finished(kind, name, seconds=60) for kind, name, _ in burst]
    assert len(bodies) == sum(PER_KIND.values())
    statuses = [body["status"] for body in bodies]
    assert {status["phase"] for status in statuses} == {"Succeeded"}
    assert {(status["run"], status["attempts"], len(status["history"])) for status in statuses} == {(1, 1, 1)}
    assert Counter(map(reason, bodies)) == {"AlreadyPresent": 70, "Pulled": 10, "Tagged": 80, "Pushed": 40}
    needed = Counter[int]()
    for body in bodies:
        kind = next(kind for kind in OPERATION_KINDS if kind.kind == body["kind"])
        seen = watches[kind].wait_for(body)
        ends = [one for one in seen if finished(one.body)]
        assert len(ends) == 1, "an end is written once"
        number = len(seen) - 1
        assert number <= share(seen), f"{body['metadata']['name']} needed {number} writes"
        needed[number] += 1
    after = writes(operator)
    seconds = (
        max(body["status"]["completionTime"] for body in bodies),
        min(body["metadata"]["creationTimestamp"] for body in bodies),
    )
    whole = datetime.fromisoformat(seconds[0]) - datetime.fromisoformat(seconds[1])
    writes_needed = ", ".join(f"{count} by {number}" for number, count in sorted(needed.items()))
    measured(f"200 objects of three kinds ended in {whole.seconds} s; by status writes: {writes_needed}")
    assert after["ok"] - before["ok"] == sum(number * count for number, count in needed.items())


@pytest.mark.feature("perf.short-operation")
def test_a_short_operation_is_one_write(
    objects: Objects,
    make_image: MakeImage,
    addresses: dict[str, str],
    watches: dict[Kind, StatusWatch],
) -> None:
    """A present image, a new tag and a tag that is there already each need one write in all, if they are short."""
    image = make_image()
    LocalDaemon(addresses["default"]).pull(image.reference)
    short = Counter[str]()
    for number in range(TRIES):  # a busy machine may make one of them long
        target = f"local.example/{objects.namespace}:{number}"
        wanted: list[tuple[Kind, str, dict[str, Any], str]] = [
            (IMAGE_PULL, "present", {"image": image.reference}, "AlreadyPresent"),
            (IMAGE_TAG, "new", {"source": image.reference, "target": target}, "Tagged"),
            (IMAGE_TAG, "again", {"source": image.reference, "target": target}, "AlreadyTagged"),
        ]
        for kind, name, spec, expected in wanted:
            body = objects.run(kind, f"{name}-{number}", {**spec, "daemonName": "default"})
            assert reason(body) == expected
            if body["status"]["history"][0]["durationMilliseconds"] < SHORT_MILLISECONDS:
                assert len(watches[kind].wait_for(body)) == 2, "the create, and one write"
                short[name] += 1
    assert len(short) == 3, f"short ones: {short}"
