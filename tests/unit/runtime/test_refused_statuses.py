"""An object whose status the API server refuses holds nothing that others wait for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, SESSION, Kind
from imageops.cluster.api_server import ApiError
from imageops.core.run import UNWRITABLE
from imageops.tools.daemon import LOOKUP_SLOTS
from tests.support.builders import OTHER_DIGEST, OTHER_ID
from tests.support.operator_bench import OperatorBench, play, settle
from tests.support.recording_engine import RecordingEngine, local, remote
from tests.support.scripted_api import api_error

REF, TARGET = "registry.example/app:1", "registry.example/app:2"
MOVES = {"source": REF, "target": TARGET, "ifExists": "Replace"}
INVALID = api_error(422, "Invalid", caused=True, message="status.run: Invalid value")
WEBHOOK = api_error(403, "Forbidden", message='admission webhook "w.example" denied the request: no')
NO_RIGHT = api_error(
    403, "Forbidden", message='imagetags "x" is forbidden: User "me" cannot patch resource "imagetags"'
)
AMBIGUOUS = api_error(422, "Invalid")
refusals = pytest.mark.parametrize(
    "refusal", [INVALID, WEBHOOK, NO_RIGHT, AMBIGUOUS], ids=["invalid", "webhook", "no right", "unexplained"]
)


def bench() -> OperatorBench:
    """Make a bench whose daemon has an image and another under a second tag."""
    engine = RecordingEngine(images={REF: local(REF)}, registry={REF: remote(), TARGET: remote(OTHER_DIGEST)})
    engine.images[TARGET] = local(TARGET, digest=OTHER_DIGEST, image_id=OTHER_ID)
    return OperatorBench(engine=engine)


def holding(mine: OperatorBench) -> list[str]:
    """Return which objects hold an attempt that goes on."""
    return [entry.key.name for entry in mine.store if entry.attempt is not None and entry.attempt.outcome is None]


@pytest.mark.feature("fault.refused-status")
@refusals
def test_tags_whose_status_is_refused_keep_no_other_from_its_turn(refusal: ApiError) -> None:
    """More of them than the daemon has places, all at the same target; then one whose status is taken."""

    async def story(mine: OperatorBench) -> None:
        for number in range(2 * LOOKUP_SLOTS):
            mine.api.sealed[mine.path(IMAGE_TAG, f"bad-{number}")] = refusal
            mine.apply(IMAGE_TAG, f"bad-{number}", MOVES)
        await settle(2.0)
        mine.apply(IMAGE_TAG, "good", MOVES)
        await settle(2.0)
        assert mine.status(IMAGE_TAG, "good")["phase"] == "Succeeded"
        assert holding(mine) == []

    play(story, bench())


@pytest.mark.feature("fault.refused-status")
@refusals
@pytest.mark.parametrize("kind", [IMAGE_PULL, IMAGE_PUSH], ids=lambda kind: kind.kind)
def test_transfers_whose_progress_is_refused_are_stopped(refusal: ApiError, kind: Kind) -> None:
    """They give their places back, and the next ones end."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        for number in range(6):
            name = f"registry.example/bad:{number}"
            mine.engine.images[name] = local(name)
            mine.engine.registry[name] = remote(OTHER_DIGEST)
            mine.api.sealed[mine.path(kind, f"bad-{number}")] = refusal
            spec = {"image": name, **({"ifExists": "Replace"} if kind is IMAGE_PUSH else {"imagePullPolicy": "Always"})}
            mine.apply(kind, f"bad-{number}", spec)
        await settle(40.0)
        mine.engine.gate.set()
        mine.apply(IMAGE_PULL, "good", {"image": REF, "imagePullPolicy": "Always"})
        await settle(5.0)
        assert mine.status(IMAGE_PULL, "good")["phase"] == "Succeeded"
        assert holding(mine) == []

    play(story, bench())


@pytest.mark.feature("fault.refused-status")
@pytest.mark.parametrize("refusal", [INVALID, WEBHOOK], ids=["invalid", "webhook"])
def test_what_is_refused_for_good_is_asked_again_only_when_it_changes(refusal: ApiError) -> None:
    """An Event, the log and a metric tell of it; after a change the record comes before the call."""

    async def story(mine: OperatorBench) -> None:
        path = mine.path(IMAGE_TAG, "bad")
        mine.api.sealed[path] = refusal
        mine.apply(IMAGE_TAG, "bad", MOVES)
        await settle(600.0)
        calls, writes = len(mine.engine.calls), len(mine.writes(IMAGE_TAG, "bad"))
        assert (writes, mine.engine.seen("tag"), mine.status(IMAGE_TAG, "bad")) == (1, [], {})
        assert mine.events == [("bad", "AdmissionDenied")]
        assert mine.api.of("POST")[0].body["message"] == UNWRITABLE
        assert mine.count("imageops_status_patch_total", kind="ImageTag", result="refused") == 1
        assert mine.count("imageops_operations_running", kind="ImageTag") == 0
        assert sum(entry.unwritable for entry in mine.store) == 1
        mine.apply(IMAGE_TAG, "bad", MOVES, labels={"any": "change"})
        await settle(60.0)
        assert (len(mine.engine.calls), len(mine.writes(IMAGE_TAG, "bad"))) == (calls, writes + 1)
        del mine.api.sealed[path]
        mine.apply(IMAGE_TAG, "bad", MOVES, labels={"another": "change"})
        await settle(60.0)
        assert mine.status(IMAGE_TAG, "bad")["phase"] == "Succeeded"
        assert sum(entry.unwritable for entry in mine.store) == 0

    play(story, bench())


@pytest.mark.feature("fault.refused-status")
def test_a_restart_calls_no_daemon_for_an_object_whose_status_is_refused() -> None:
    """The record comes first for what is older than the process."""

    async def story(mine: OperatorBench) -> None:
        mine.api.sealed[""] = WEBHOOK
        mine.apply(IMAGE_TAG, "bad", MOVES)
        await settle(5.0)
        calls = len(mine.engine.calls)
        await mine.restart()
        await settle(60.0)
        assert (len(mine.engine.calls), holding(mine)) == (calls, [])

    play(story, bench())


@pytest.mark.feature("fault.refused-status")
def test_what_lacks_a_right_goes_on_by_itself_once_it_has_it() -> None:
    """It holds nothing meanwhile, and asks less and less often."""

    async def story(mine: OperatorBench) -> None:
        mine.api.sealed[""] = NO_RIGHT
        mine.apply(IMAGE_TAG, "late", MOVES)
        await settle(600.0)
        assert 25 <= len(mine.writes(IMAGE_TAG, "late")) <= 35
        assert (mine.engine.seen("tag"), holding(mine), mine.events) == ([], [], [])
        del mine.api.sealed[""]
        await settle(61.0)
        assert mine.status(IMAGE_TAG, "late")["phase"] == "Succeeded"

    play(story, bench())


@pytest.mark.feature("fault.refused-status")
def test_a_record_that_is_never_answered_lets_the_lock_go() -> None:
    """A webhook that is away makes every write fail for now: the attempt ends, and the next one has its turn."""

    async def story(mine: OperatorBench) -> None:
        mine.api.sealed[mine.path(IMAGE_TAG, "stuck")] = api_error(500, "InternalError")
        mine.apply(IMAGE_TAG, "stuck", MOVES)
        await settle(1.0)
        assert holding(mine) == ["stuck"]
        mine.apply(IMAGE_TAG, "good", MOVES)
        await settle(40.0)
        assert (mine.status(IMAGE_TAG, "good")["phase"], holding(mine)) == ("Succeeded", [])
        mine.api.sealed.clear()
        await settle(10.0)
        assert mine.status(IMAGE_TAG, "stuck")["phase"] == "Succeeded"

    play(story, bench())


@pytest.mark.feature("fault.refused-status")
def test_a_session_sees_that_a_step_cannot_be_recorded() -> None:
    """The step fails, so that the Session ends and says so."""

    async def story(mine: OperatorBench) -> None:
        mine.api.sealed[mine.path(IMAGE_TAG, "").rstrip("/")] = WEBHOOK
        mine.apply(SESSION, "release", {"steps": [{"name": "move", "tag": MOVES}]})
        await settle(30.0)
        status = mine.status(SESSION, "release")
        assert (status["phase"], status["steps"][0]["reason"]) == ("Failed", "AdmissionDenied")

    play(story, bench())


@pytest.mark.feature("fault.refused-status")
def test_a_session_whose_own_status_is_refused_starts_nothing_more() -> None:
    """It ends in memory, and one of another name goes on."""

    async def story(mine: OperatorBench) -> None:
        mine.api.sealed[mine.path(SESSION, "bad")] = WEBHOOK
        for name in ("bad", "good"):
            mine.apply(SESSION, name, {"steps": [{"name": "move", "tag": MOVES}]})
        await settle(60.0)
        assert (mine.status(SESSION, "bad"), mine.status(SESSION, "good")["phase"]) == ({}, "Succeeded")
        assert ("bad", "AdmissionDenied") in mine.events

    play(story, bench())


@pytest.mark.feature("fault.refused-status", "gitops.token")
@pytest.mark.parametrize("token", ["t" * 201, "t" * 200_000, "a\tb", "a\nb", "\x7f", "\u202e", "é" * 150])
@pytest.mark.parametrize("kind", [IMAGE_TAG, SESSION], ids=lambda kind: kind.kind)
def test_any_text_is_a_token(token: str, kind: Kind) -> None:
    """Exactly one more run for each, also across a restart, whatever its length and characters."""

    async def story(mine: OperatorBench) -> None:
        spec: dict[str, Any] = MOVES if kind is IMAGE_TAG else {"steps": [{"name": "move", "tag": MOVES}]}
        mine.apply(kind, "app", spec)
        await settle(5.0)
        mine.apply(kind, "app", spec, annotations={"imageops.dev/requestedAt": token})
        await settle(5.0)
        assert (mine.status(kind, "app")["run"], mine.status(kind, "app")["phase"]) == (2, "Succeeded")
        await mine.restart()
        await settle(5.0)
        assert mine.status(kind, "app")["run"] == 2
        assert len(mine.status(kind, "app")["lastHandledRequestedAt"]) <= 200

    play(story, bench())


def test_an_attempt_is_stopped_before_its_status_is_written() -> None:
    """A cancelled pull leaves the daemon although the API server takes no write for minutes."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        mine.apply(IMAGE_PULL, "app", {"image": "registry.example/slow:1", "imagePullPolicy": "Always"})
        mine.engine.registry["registry.example/slow:1"] = remote()
        await settle(5.0)
        assert holding(mine) == ["app"]
        mine.api.sealed[""] = api_error(503, "ServiceUnavailable")
        spec = {"image": "registry.example/slow:1", "imagePullPolicy": "Always", "cancel": True}
        mine.apply(IMAGE_PULL, "app", spec)
        await settle(1.0)
        assert holding(mine) == []

    play(story, bench())


@pytest.mark.feature("fault.refused-status")
def test_a_webhook_that_says_404_ends_nobody_for_good() -> None:
    """The object is there, so it is tried again, and holds nothing meanwhile."""

    async def story(mine: OperatorBench) -> None:
        mine.api.sealed[""] = api_error(404, "NotFound", message='admission webhook "w" denied the request')
        mine.apply(IMAGE_TAG, "app", MOVES)
        await settle(30.0)
        assert (holding(mine), [entry.gone for entry in mine.store]) == ([], [False])
        mine.api.sealed.clear()
        await settle(61.0)
        assert mine.status(IMAGE_TAG, "app")["phase"] == "Succeeded"

    play(story, bench())


@pytest.mark.feature("fault.refused-status")
def test_a_running_session_without_the_right_asks_less_and_less_often() -> None:
    """However often its members have news."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        steps = [{"name": "get", "pull": {"image": REF, "imagePullPolicy": "Always"}}]
        mine.api.sealed[mine.path(SESSION, "release")] = NO_RIGHT
        mine.apply(SESSION, "release", {"steps": steps})
        await settle(600.0)
        assert 25 <= len(mine.writes(SESSION, "release")) <= 35
        mine.api.sealed.clear()
        mine.engine.gate.set()
        await settle(61.0)
        assert mine.status(SESSION, "release")["phase"] in {"Succeeded", "Running"}

    play(story, bench())
