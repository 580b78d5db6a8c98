"""Open Sessions: what joins them, when they close, and their limits."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest

from imageops.api.kinds import IMAGE_PULL, IMAGE_TAG, SESSION
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.objects import Body, Objects, condition, reason
from tests.support.sessions import children, counts, pull, running
from tests.support.watched_engine import EngineUnderTest, WatchedEngine

pytestmark = pytest.mark.integration

MEMBER = {"sessionRef": {"name": "group"}}
SLOW = 300_000
BIG = 3_000_000


def is_open(body: Body) -> bool:
    """Tell whether a Session says that it is open."""
    return bool((body.get("status") or {}).get("conditions")) and reason(body) == "Open"


def opened(objects: Objects, **fields: object) -> Body:
    """Create an open Session and return it when it says so."""
    objects.create(SESSION, "group", fields)
    return objects.wait(SESSION, "group", is_open)


# --- open


@pytest.mark.feature("session.open")
def test_an_open_session_is_ready_at_once(objects: Objects) -> None:
    """Ready says True with reason Open, Succeeded is Unknown, and nothing makes a GitOps tool wait or fail."""
    body = opened(objects)
    found = {one["type"]: one["status"] for one in body["status"]["conditions"]}
    assert found == {"Ready": "True", "Succeeded": "Unknown"}
    assert body["status"]["phase"] == "Running"
    assert "completionTime" not in body["status"]


@pytest.mark.feature("session.open")
@pytest.mark.parametrize(("fails", "expected"), [(True, "MemberFailed"), (False, "Completed")])
def test_a_joined_failure_changes_counts_only_until_it_closes(
    objects: Objects,
    make_image: MakeImage,
    *,
    fails: bool,
    expected: str,
) -> None:
    """The Session stays open and Ready; the failure is told when it closes."""
    image = make_image()
    opened(objects)
    objects.run(IMAGE_PULL, "good", {"image": image.reference, **MEMBER})
    if fails:
        objects.run(IMAGE_PULL, "bad", {"image": f"{image.registry}/{objects.namespace}/nowhere:1", **MEMBER})
    total = 1 + fails
    body = objects.wait(SESSION, "group", lambda body: body["status"].get("total") == total and not counted(body))
    assert is_open(body)
    assert counts(body) == {"succeeded": 1, **({"failed": 1} if fails else {})}
    objects.patch(SESSION, "group", {"spec": {"closed": True}})
    closed = objects.wait_finished(SESSION, "group")
    assert (reason(closed), counts(closed)) == (expected, counts(body))
    assert closed["status"]["phase"] == ("Failed" if fails else "Succeeded")


def counted(body: Body) -> bool:
    """Tell whether a Session counts operations that have not ended."""
    return bool(body["status"].get("running") or body["status"].get("pending"))


# --- join


@pytest.mark.feature("session.join")
def test_joined_operations_enter_the_counts_and_running_ones_the_list(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """All twelve are counted; at most eight of the running ones are listed, with stage and percentage."""
    images = [make_image(layers=[BIG]) for _ in range(12)]
    gate = make_gate(images[0].registry, bytes_per_second=SLOW)
    opened(objects, daemonName=engine.name)
    for number, image in enumerate(images):
        objects.create(
            IMAGE_PULL,
            f"p{number}",
            {"image": through(gate, image), "daemonName": engine.name, **MEMBER},
        )
    body = objects.wait(SESSION, "group", running(6))
    assert body["status"]["total"] == 12
    assert counts(body) == {"running": 6, "pending": 6}
    assert all(one["operationRef"]["kind"] == "ImagePull" for one in body["status"]["active"])
    assert is_open(body)
    objects.patch(SESSION, "group", {"spec": {"cancel": True}})
    body = objects.wait_finished(SESSION, "group")
    assert (reason(body), counts(body)) == ("Cancelled", {"cancelled": 12})
    assert children(objects, "group") == {}


@pytest.mark.feature("session.join")
def test_at_most_eight_running_operations_are_listed(
    objects: Objects,
    watched: WatchedEngine,
) -> None:
    """Ten tags wait for their daemon's answer at once; the list has eight, the counts have ten."""
    made = watched.daemon.make(f"local.example/{objects.namespace}:0", objects.namespace.encode())
    watched.gate.stall(method="POST", path=r".*/tag")
    opened(objects)
    for number in range(10):
        target = f"local.example/{objects.namespace}:{number + 1}"
        objects.create(
            IMAGE_TAG, f"t{number}", {"source": made, "target": target, "daemonName": watched.name, **MEMBER}
        )
    body = objects.wait(SESSION, "group", lambda body: body["status"].get("running") == 10)
    assert len(body["status"]["active"]) == 8
    watched.gate.release()
    body = objects.wait(SESSION, "group", lambda body: counts(body) == {"succeeded": 10})
    assert not body["status"].get("active")


@pytest.mark.feature("session.join")
def test_an_operation_waits_for_a_session_that_does_not_exist_yet(objects: Objects, make_image: MakeImage) -> None:
    """It is Pending with SessionNotFound and uses no attempt; created, the Session lets it start at once."""
    image = make_image()
    objects.create(IMAGE_PULL, "early", {"image": image.reference, **MEMBER})
    body = objects.wait(IMAGE_PULL, "early", lambda body: bool(body["status"].get("error")))
    assert (body["status"]["phase"], reason(body)) == ("Pending", "SessionNotFound")
    assert body["status"].get("attempts", 0) == 0
    objects.create(SESSION, "group", {})
    body = objects.wait_finished(IMAGE_PULL, "early")
    assert (reason(body), body["status"]["attempts"]) == ("Pulled", 1)
    body = objects.wait(SESSION, "group", lambda body: counts(body) == {"succeeded": 1})
    assert is_open(body)


@pytest.mark.feature("session.join")
def test_an_operation_does_not_join_a_session_with_steps(objects: Objects, make_image: MakeImage) -> None:
    """Such a Session has what its steps say and nothing else."""
    image = make_image()
    objects.run(SESSION, "group", {"steps": [pull("app", image.reference)]})
    body = objects.run(IMAGE_PULL, "late", {"image": image.reference, **MEMBER})
    assert reason(body) == "SessionClosed"
    assert counts(objects.get(SESSION, "group")) == {"succeeded": 1}


# --- closed


@pytest.mark.feature("session.closed")
def test_what_joins_a_closed_session_is_refused(
    objects: Objects, watched: WatchedEngine, make_image: MakeImage
) -> None:
    """It ends Stalled with SessionClosed and no daemon call, and does not change what the Session came to."""
    image = make_image()
    opened(objects)
    objects.run(IMAGE_PULL, "member", {"image": image.reference, **MEMBER})
    objects.patch(SESSION, "group", {"spec": {"closed": True}})
    before = objects.wait_finished(SESSION, "group")
    other = make_image()
    late = objects.run(IMAGE_PULL, "late", {"image": other.reference, "daemonName": watched.name, **MEMBER})
    stalled = condition(late, "Stalled")
    assert stalled is not None
    assert stalled["reason"] == "SessionClosed"
    assert watched.calls(other.repository) == []
    objects.ask_again(IMAGE_PULL, "member", "again")
    again = objects.wait(IMAGE_PULL, "member", lambda body: body["status"]["run"] == 2)
    assert reason(again) == "SessionClosed"
    assert objects.get(SESSION, "group")["status"] == before["status"]


@pytest.mark.feature("session.closed")
def test_a_closing_session_waits_for_what_runs_and_takes_nothing_new(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The running member ends well; the one that comes too late is refused and is no failure of the Session."""
    image, other = make_image(layers=[1_500_000]), make_image()
    gate = make_gate(image.registry, bytes_per_second=SLOW)
    opened(objects)
    objects.create(IMAGE_PULL, "slow", {"image": through(gate, image), "daemonName": engine.name, **MEMBER})
    objects.wait(SESSION, "group", running(1))
    objects.patch(SESSION, "group", {"spec": {"closed": True}})
    objects.wait(SESSION, "group", lambda body: reason(body) == "Running")
    late = objects.run(IMAGE_PULL, "late", {"image": other.reference, "daemonName": engine.name, **MEMBER})
    assert reason(late) == "SessionClosed"
    body = objects.wait_finished(SESSION, "group")
    assert (reason(body), counts(body)) == ("Completed", {"succeeded": 1})
    assert objects.get(IMAGE_PULL, "slow")["status"]["phase"] == "Succeeded"


@pytest.mark.feature("session.closed")
def test_an_idle_session_closes_by_itself(objects: Objects, make_image: MakeImage) -> None:
    """The time counts from the end of the last operation."""
    image = make_image()
    opened(objects, idleTimeoutSeconds=8)
    began = time.monotonic()
    time_of_second = 2.0
    objects.run(IMAGE_PULL, "first", {"image": image.reference, **MEMBER})
    objects.wait(SESSION, "group", lambda _: time.monotonic() - began > time_of_second)
    second = objects.run(IMAGE_PULL, "second", {"image": image.reference, **MEMBER})
    body = objects.wait_finished(SESSION, "group")
    ends = [datetime.fromisoformat(one["status"]["completionTime"]) for one in (second, body)]
    assert ends[1] - ends[0] >= timedelta(seconds=8 - 1), "times of a status are whole seconds"
    assert (reason(body), counts(body)) == ("Completed", {"succeeded": 2})
    assert reason(objects.run(IMAGE_PULL, "third", {"image": image.reference, **MEMBER})) == "SessionClosed"


# --- limits


@pytest.mark.feature("session.limits")
def test_an_operation_over_the_limit_of_operations_is_refused(objects: Objects, make_image: MakeImage) -> None:
    """The third one of two ends SessionLimitExceeded without an attempt."""
    image = make_image()
    opened(objects, limits={"operations": 2})
    for name in ("first", "second"):
        assert objects.run(IMAGE_PULL, name, {"image": image.reference, **MEMBER})["status"]["phase"] == "Succeeded"
    third = objects.run(IMAGE_PULL, "third", {"image": image.reference, **MEMBER})
    assert reason(third) == "SessionLimitExceeded"
    assert third["status"].get("attempts", 0) == 0


@pytest.mark.feature("session.limits")
def test_what_runs_is_not_evicted_by_a_limit(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """A running pull goes on when another one has used the limit up; the next one is refused."""
    # Engine 29 counts in steps of 1 MiB, so the size of a smaller layer stays unknown.
    slow, quick = make_image(layers=[3_000_000]), make_image(layers=[1_500_000])
    gate, other = (make_gate(slow.registry, bytes_per_second=rate) for rate in (SLOW, 1_500_000))
    opened(objects, limits={"transferSize": "1Mi"})
    spec = {"daemonName": engine.name, **MEMBER}
    objects.create(IMAGE_PULL, "slow", {"image": through(gate, slow), **spec})
    objects.wait(SESSION, "group", running(1))
    done = objects.run(IMAGE_PULL, "quick", {"image": through(other, quick), **spec})
    assert (reason(done), done["status"]["history"][0]["bytesTransferred"]) == ("Pulled", quick.layer_bytes)
    third = make_image()
    assert reason(objects.run(IMAGE_PULL, "third", {"image": third.reference, **spec})) == "SessionLimitExceeded"
    assert "completionTime" not in objects.get(IMAGE_PULL, "slow")["status"]
    gate.bytes_per_second = None
    assert reason(objects.wait_finished(IMAGE_PULL, "slow")) == "Pulled"


@pytest.mark.feature("session.limits", "session.version-bump")
def test_the_limits_of_a_session_with_steps_are_those_of_one_run(objects: Objects, make_image: MakeImage) -> None:
    """What the former run's steps used does not count in the next one."""
    images = [make_image() for _ in range(3)]
    spec = {"limits": {"operations": 2}, "maxFailedSteps": 3}
    for number in range(3):
        steps = [pull(f"s{one}", image.reference) for one, image in enumerate(images[: 2 + (number == 2)])]
        if number == 0:
            objects.create(SESSION, "group", {**spec, "steps": steps})
        else:
            steps[0]["pull"]["imagePullPolicy"] = "Always" if number == 1 else "IfNotPresent"
            objects.patch(SESSION, "group", {"spec": {"steps": steps}})
        body = objects.wait_finished(SESSION, "group")
        assert body["status"]["run"] == number + 1
        assert counts(body) == ({"succeeded": 2} if number < 2 else {"succeeded": 2, "failed": 1})
    assert body["status"]["steps"][2]["reason"] == "SessionLimitExceeded"
