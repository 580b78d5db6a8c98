"""The record that an object keeps of itself: bounded, found by kubectl, and free of contradictions at every moment."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from devcluster import parts
from imageops.api.kinds import CATEGORY, IMAGE_PULL, IMAGE_TAG, SESSION, SESSION_LABEL, Kind
from tests.support.clients import Client, MakeClient
from tests.support.contract import assert_consistent
from tests.support.objects import Body, finished, run_ended
from tests.support.operator_process import OperatorProcess
from tests.support.states import KINDS, Course, Stage, State
from tests.support.status_watch import Seen, StatusWatch

pytestmark = pytest.mark.integration

ATTEMPTS = 200
KEPT = 10
OPERATION_BYTES = 8 * 1024
OCCASIONS = 120
"""Things that happen to the objects of the last test."""
NARROW = {
    "ImagePull": ["NAME", "IMAGE", "PHASE", "REASON", "PERCENT", "AGE"],
    "ImagePush": ["NAME", "IMAGE", "PHASE", "REASON", "PERCENT", "AGE"],
    "ImageTag": ["NAME", "SOURCE", "TARGET", "PHASE", "REASON", "AGE"],
    "Session": ["NAME", "PHASE", "REASON", "TOTAL", "RUNNING", "SUCCEEDED", "FAILED", "AGE"],
}
WIDE = ["READY", "DIGEST", "DAEMON", "ATTEMPTS", "NEXT-RETRY", "SESSION", "MESSAGE"]
"""What `-o wide` adds for a pull and a push."""


@pytest.fixture
def kubectl(stage: Stage, make_client: MakeClient) -> Client:
    """Return kubectl in the stage's namespace."""
    return make_client(parts.KUBECTL, stage.objects.namespace)


@pytest.mark.feature("status.bounded")
def test_200_attempts_leave_ten_and_a_count(stage: Stage) -> None:
    """The newest ten in order, 190 dropped, and never more than 8 KiB."""
    stage.create(IMAGE_TAG, "many", Course.SUCCEEDS)
    stage.wait(IMAGE_TAG, "many", State.SUCCEEDED)
    with StatusWatch(stage.objects, IMAGE_TAG) as watch:
        for number in range(2, ATTEMPTS + 1):
            stage.objects.ask_again(IMAGE_TAG, "many", str(number))
            body = stage.objects.wait(IMAGE_TAG, "many", run_ended(number))
        statuses = [one.status for one in watch.wait_for(body)]
    status = body["status"]
    assert [entry["run"] for entry in status["history"]] == list(range(ATTEMPTS - KEPT + 1, ATTEMPTS + 1))
    assert status["historyDropped"] == ATTEMPTS - KEPT
    assert all(len(one.get("history", ())) <= KEPT for one in statuses)
    assert max(len(json.dumps(one)) for one in statuses) < OPERATION_BYTES


def words(kubectl: Client, *command: str) -> list[list[str]]:
    """Return the lines of `kubectl get` as columns."""
    return [line.split() for line in kubectl.run("get", *command).said.splitlines()]


def names(kubectl: Client, *command: str) -> set[str]:
    """Return the names that `kubectl get` lists."""
    return set(kubectl.run("get", *command, "-o", "name").said.split())


@pytest.mark.feature("status.find")
def test_kubectl_shows_and_finds_objects(stage: Stage, kubectl: Client) -> None:
    """Columns, short names, the category, the label of a Session, and selection by fields of spec and status."""
    for kind in KINDS:
        stage.create(kind, "good", Course.SUCCEEDS)
        stage.create(kind, "bad", Course.FAILS)
    for kind in KINDS:
        done = stage.wait(kind, "good", State.SUCCEEDED)
        stage.wait(kind, "bad", State.FAILED)
        (short,) = kind.short_names
        for word in (short, kind.singular, kind.plural, f"{kind.plural}.imageops.dev"):
            assert words(kubectl, word)[0] == NARROW[kind.kind]
            assert {f"{kind.singular}.imageops.dev/{name}" for name in ("good", "bad")} <= names(kubectl, word)
        header, row = words(kubectl, short, "good")
        shown = dict(zip(header, row, strict=True))
        assert shown["PHASE"] == "Succeeded"
        assert shown["REASON"] == done["status"]["conditions"][0]["reason"]
        for phase, found, lost in (("Succeeded", "good", "bad"), ("Failed", "bad", "good")):
            chosen = names(kubectl, short, f"--field-selector=status.phase={phase}")
            assert f"{kind.singular}.imageops.dev/{found}" in chosen
            assert f"{kind.singular}.imageops.dev/{lost}" not in chosen
        chosen = names(kubectl, short, f"--field-selector=spec.daemonName={stage.engine.name},status.phase=Failed")
        assert f"{kind.singular}.imageops.dev/bad" in chosen
        assert names(kubectl, short, "--field-selector=spec.daemonName=no-such-daemon") == set()
    everything = {f"{kind.singular}.imageops.dev/{name}" for kind in KINDS for name in ("good", "bad")}
    assert everything <= names(kubectl, CATEGORY)


@pytest.mark.feature("status.find")
def test_kubectl_shows_the_wide_columns_and_what_an_object_is_about(stage: Stage, kubectl: Client) -> None:
    """With -o wide; selection by image, target and Session; the label finds what a Session made."""
    stage.create(SESSION, "parent", Course.SUCCEEDS)
    stage.wait(SESSION, "parent", State.SUCCEEDED)
    pull = stage.create(IMAGE_PULL, "about", Course.SUCCEEDS)
    tag = stage.create(IMAGE_TAG, "about", Course.SUCCEEDS)
    done = stage.wait(IMAGE_PULL, "about", State.SUCCEEDED)
    stage.wait(IMAGE_TAG, "about", State.SUCCEEDED)
    header, row = words(kubectl, "imgpull", "about", "-o", "wide")
    assert header == NARROW["ImagePull"] + WIDE
    assert row[:5] == ["about", pull["spec"]["image"], "Succeeded", "Pulled", "100"]
    assert row[6:10] == ["True", done["status"]["image"]["digest"], stage.engine.name, "1"]
    image, target = pull["spec"]["image"], tag["spec"]["target"]
    assert names(kubectl, "imgpull", f"--field-selector=spec.image={image}") == {"imagepull.imageops.dev/about"}
    assert names(kubectl, "imgtag", f"--field-selector=spec.target={target}") == {"imagetag.imageops.dev/about"}
    by_label = names(kubectl, CATEGORY, "-l", f"{SESSION_LABEL}=parent")
    by_field = names(kubectl, "imgpull", "--field-selector=spec.sessionRef.name=parent")
    assert by_label == by_field
    assert len(by_label) == 1


@pytest.fixture
def held(stage: Stage) -> Iterator[Stage]:
    """Return the stage, with everything that runs held up until it is let go."""
    stage.hold_up()
    yield stage
    stage.let_go()


def changes(stage: Stage, draw: random.Random) -> list[Callable[[Kind, str], object]]:
    """Return what people do to an object while it lives."""
    patch = stage.objects.patch
    return [
        lambda kind, name: patch(kind, name, {"spec": {"suspend": draw.random() < 0.5}}),
        lambda kind, name: patch(kind, name, {"spec": {"cancel": draw.random() < 0.3}}),
        lambda kind, name: stage.objects.ask_again(kind, name, secrets.token_hex(4)),
        lambda kind, name: patch(kind, name, stage.edited(kind, stage.objects.get(kind, name)["spec"])),
        lambda kind, name: patch(kind, name, {"spec": {"backoffLimit": draw.randint(0, 3)}}),
        lambda kind, name: patch(kind, name, {"metadata": {"labels": {"example.com/touched": secrets.token_hex(4)}}}),
    ]


def assert_no_contradiction(states: list[Seen]) -> None:
    """Check all states of one object, in order: each keeps the contract, and what has ended stays as it ended."""
    ends: dict[int, tuple[str, str]] = {}
    closed: dict[tuple[int, int], Body] = {}
    run = 0
    for one in states:
        assert_consistent(one.body)
        status = one.status
        if "run" not in status:
            continue
        assert status["run"] >= run
        run = status["run"]
        if "completionTime" in status:
            end = (status["phase"], status["completionTime"])
            assert ends.setdefault(run, end) == end
        else:
            assert run not in ends, "a run that had ended goes on"
        if one.body["kind"] != "Session":
            for entry in status.get("history") or ():
                if "completionTime" in entry:
                    assert closed.setdefault((entry["run"], entry["attempt"]), entry) == entry


@pytest.mark.feature("status.consistent")
@pytest.mark.parametrize("seed", [1, 2])
def test_no_status_ever_written_contradicts_itself(held: Stage, operator: OperatorProcess, seed: int) -> None:
    """Every write is watched while objects of all kinds are edited, stopped, run again, and the operator killed."""
    draw = random.Random(seed)  # noqa: S311 - repeatable, guards nothing
    lives = [(kind, f"life-{seed}-{course}") for kind in KINDS for course in Course if course is not Course.WAITS]
    with ExitStack() as stack:
        watches = {kind: stack.enter_context(StatusWatch(held.objects, kind)) for kind in KINDS}
        for kind, name in lives:
            held.create(kind, name, Course(name.removeprefix(f"life-{seed}-")))
        for number in range(OCCASIONS):
            kind, name = draw.choice(lives)
            draw.choice(changes(held, draw))(kind, name)
            held.objects.get(kind, name)
            if number % 40 == 39:
                operator.kill()
                operator.start()
        for kind in KINDS:
            name = f"life-{seed}-{Course.FAILS}"
            change = held.edited(kind, held.objects.get(kind, name)["spec"])["spec"]
            held.objects.patch(kind, name, {"spec": {**change, "cancel": True}})
            held.wait(kind, name, State.CANCELLED)
        held.let_go()
        for kind, name in lives:
            held.objects.patch(kind, name, {"spec": {"suspend": None}})
        for kind, name in lives:
            body = held.objects.wait(kind, name, finished, seconds=90)
            states = watches[kind].wait_for(body)
            assert states[-1].body["metadata"]["uid"] == body["metadata"]["uid"]
        seen = [one for watch in watches.values() for one in watch.seen()]
    by_uid: dict[str, list[Seen]] = {}
    for one in seen:
        by_uid.setdefault(one.body["metadata"]["uid"], []).append(one)
    for states in by_uid.values():
        assert_no_contradiction(states)
    assert len(seen) > OCCASIONS
    phases = {one.status.get("phase") for one in seen}
    assert {"Pending", "Running", "Suspended", "Succeeded", "Failed", "Cancelled"} <= phases
