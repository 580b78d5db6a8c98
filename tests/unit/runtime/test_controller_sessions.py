from __future__ import annotations

import asyncio
from typing import Any

import pytest

from imageops.api.kinds import IMAGE_PULL, SESSION
from tests.support.builders import DIGEST, promote_step, pull_step
from tests.support.operator_bench import OperatorBench, play, settle
from tests.support.recording_engine import RecordingEngine, remote
from tests.support.scripted_api import api_error, unreachable

REF = "registry.example/app:1"
SPEC = {"image": REF}


def bench(**registry: str) -> OperatorBench:
    """Make a bench whose registry has the image, and further ones by name."""
    images = {REF: remote()} | {name: remote(digest) for name, digest in registry.items()}
    return OperatorBench(engine=RecordingEngine(registry=images))


def test_a_promotion_goes_through_to_its_end() -> None:
    """Its operations are owned by it, labelled, and made one after another."""
    source, target = "staging.example/ship:1", "prod.example/ship:1"

    async def story(mine: OperatorBench) -> None:
        mine.apply(SESSION, "release", {"steps": [promote_step("ship")]})
        await settle()

    mine = play(story, OperatorBench(engine=RecordingEngine(registry={source: remote()})))
    status = mine.status(SESSION, "release")
    assert (status["phase"], status["succeeded"]) == ("Succeeded", 1)
    assert status["evidence"][0]["digestPreserved"] is True
    made = [request.body for request in mine.api.of("POST") if "/events" not in request.path]
    assert [body["kind"] for body in made] == ["ImagePull", "ImageTag", "ImagePush"]
    for body in made:
        assert body["metadata"]["labels"] == {"imageops.dev/session": "release"}
        assert body["metadata"]["ownerReferences"][0]["name"] == "release"
        assert body["spec"]["sessionRef"] == {"name": "release"}
    assert mine.engine.registry[target].digest == DIGEST


def test_a_restart_in_the_middle_of_a_session_makes_no_second_operation() -> None:
    """What a former process made is found, whatever it had not written."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        mine.apply(SESSION, "release", {"steps": [pull_step("a"), pull_step("b")]})
        await settle(1.0)
        for _ in range(3):
            await mine.restart()
            await settle(3.0)
        mine.engine.gate.set()
        await settle()

    registry = {f"registry.example/{name}:1": remote() for name in "ab"}
    mine = play(story, OperatorBench(engine=RecordingEngine(registry=registry)))
    assert mine.status(SESSION, "release")["phase"] == "Succeeded"
    made = [request.path for request in mine.api.of("POST") if "/events" not in request.path]
    assert len(made) == 2


def test_a_suspended_session_goes_on_with_all_its_operations() -> None:
    """They are stopped with it and come back with it."""

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()
        spec: dict[str, Any] = {"steps": [pull_step("a"), pull_step("b")], "parallelism": 2}
        mine.apply(SESSION, "release", spec)
        await settle(5.0)
        mine.apply(SESSION, "release", spec | {"suspend": True})
        await settle(5.0)
        phases = {entry.status.phase for entry in mine.store}
        assert phases == {"Suspended"}
        mine.engine.gate.set()
        mine.apply(SESSION, "release", spec)
        await settle(5.0)
        assert mine.status(SESSION, "release")["phase"] == "Succeeded"

    registry = {f"registry.example/{name}:1": remote() for name in "ab"}
    play(story, OperatorBench(engine=RecordingEngine(registry=registry)))


def test_a_name_that_somebody_else_holds_is_not_adopted() -> None:
    """Another one is made; what the API server refuses is tried again."""

    async def story(mine: OperatorBench) -> None:
        mine.apply(SESSION, "first", {"steps": [pull_step("a")]})
        await settle(1.0)
        [made] = [request for request in mine.api.of("POST") if "/events" not in request.path]
        name, uid = made.body["metadata"]["name"], made.body["metadata"]["ownerReferences"][0]["uid"]
        for path in list(mine.api.objects):
            known = mine.api.objects[path]
            await mine.api.delete(path, uid=known["metadata"]["uid"])
        await settle(1.0)
        mine.apply(IMAGE_PULL, name, SPEC)
        mine.api.script = [None, api_error(403, "Forbidden")]
        mine.apply(SESSION, "first", {"steps": [pull_step("a")]}, uid=uid)
        await settle()
        assert mine.status(SESSION, "first")["phase"] == "Succeeded"
        operations = [path for path in mine.api.objects if "/imagepulls/" in path]
        assert len(operations) == 2

    play(story, bench(**{"registry.example/a:1": DIGEST}))


@pytest.mark.feature("session.refused")
def test_what_is_refused_for_now_is_tried_again_without_a_word() -> None:
    """Ever less often, by the same name; the status is written when there is news, which a restart is not."""
    pulls = "/apis/imageops.dev/v1alpha1/namespaces/team/imagepulls"
    said = 'imagepulls.imageops.dev "a" is forbidden: exceeded quota: q'

    async def story(mine: OperatorBench) -> None:
        mine.api.closed[pulls] = api_error(403, "Forbidden", message=said)
        mine.apply(SESSION, "release", {"steps": [pull_step("a")]})
        await settle(200.0)
        tried = [request for request in mine.api.of("POST") if request.path == pulls]
        assert [round(request.at - tried[0].at) for request in tried] == [0, 5, 15, 35, 75, 135, 195]
        assert mine.status(SESSION, "release")["conditions"][0]["reason"] == "FailedCreate"
        written = len(mine.api.of("PATCH"))
        await mine.restart()
        await settle(200.0)
        assert len(mine.api.of("PATCH")) == written
        assert len([request for request in mine.api.of("POST") if "/events" in request.path]) == 1
        mine.api.closed.clear()
        await settle(61.0)
        assert mine.status(SESSION, "release")["phase"] == "Succeeded"

    play(story, bench(**{"registry.example/a:1": DIGEST}))


@pytest.mark.feature("session.refused")
def test_no_answer_is_no_refusal() -> None:
    """Nothing is said of an API server that is away, as nobody could read it."""
    pulls = "/apis/imageops.dev/v1alpha1/namespaces/team/imagepulls"

    async def story(mine: OperatorBench) -> None:
        mine.api.closed[pulls] = unreachable()
        mine.apply(SESSION, "release", {"steps": [pull_step("a")]})
        await settle(20.0)
        assert mine.status(SESSION, "release")["conditions"][0]["reason"] == "Running"
        mine.api.closed.clear()
        await settle(6.0)
        assert mine.status(SESSION, "release")["phase"] == "Succeeded"

    play(story, bench(**{"registry.example/a:1": DIGEST}))


@pytest.mark.feature("session.refused")
def test_what_is_refused_for_good_is_not_tried_again() -> None:
    """Before a person asks for it; nothing of it is kept in memory."""
    pulls = "/apis/imageops.dev/v1alpha1/namespaces/team/imagepulls"

    async def story(mine: OperatorBench) -> None:
        mine.api.closed[pulls] = api_error(422, "Invalid", caused=True, message="denied")
        mine.apply(SESSION, "release", {"steps": [pull_step("a")]})
        await settle(200.0)
        status = mine.status(SESSION, "release")
        assert (status["phase"], status["steps"][0]["reason"]) == ("Failed", "AdmissionDenied")
        await mine.restart()
        await settle(200.0)
        assert len([request for request in mine.api.of("POST") if request.path == pulls]) == 1
        assert [entry.refused for entry in mine.store] == [{}]

    play(story, bench())


@pytest.mark.feature("session.refused")
def test_a_former_operation_that_may_not_be_deleted_holds_no_new_run_up() -> None:
    """It is tried again ever less often, counted anew from the run's end; an Event tells what was said."""
    pulls = "/apis/imageops.dev/v1alpha1/namespaces/team/imagepulls"
    said = 'imagepulls.imageops.dev "x" is forbidden: ValidatingAdmissionPolicy "keep" denied request: They stay.'

    async def story(mine: OperatorBench) -> None:
        mine.apply(SESSION, "release", {"steps": [pull_step("a")]})
        await settle(5.0)
        mine.api.kept[pulls] = api_error(403, "Forbidden", message=said)
        mine.apply(SESSION, "release", {"steps": [pull_step("b")]})
        await settle(100.0)
        status = mine.status(SESSION, "release")
        assert (status["run"], status["phase"]) == (2, "Succeeded")
        tried = mine.api.of("DELETE")
        assert [round(request.at - tried[0].at) for request in tried] == [0, 5, 10, 20, 40, 80]
        told = [request.body for request in mine.api.of("POST") if "/events" in request.path]
        [event] = [body for body in told if body["reason"] == "FailedDelete"]
        assert "They stay" in event["message"]
        mine.api.kept.clear()
        await settle(61.0)
        assert len([path for path in mine.api.objects if "/imagepulls/" in path]) == 1
        assert [entry.refused for entry in mine.store if entry.key.kind is SESSION] == [{}]

    play(story, bench(**{f"registry.example/{name}:1": DIGEST for name in "ab"}))


@pytest.mark.feature("gitops.ttl")
def test_an_object_whose_time_is_over_and_that_may_not_be_deleted_is_left_in_peace() -> None:
    """It is tried ever less often, one Event tells what was said, and it goes as soon as it may."""
    pulls = "/apis/imageops.dev/v1alpha1/namespaces/team/imagepulls"
    said = 'imagepulls.imageops.dev "x" is forbidden: ValidatingAdmissionPolicy "keep" denied request: It stays.'

    async def story(mine: OperatorBench) -> None:
        mine.api.kept[pulls] = api_error(403, "Forbidden", message=said)
        mine.apply(IMAGE_PULL, "app", {"image": "registry.example/a:1", "ttlSecondsAfterFinished": 0})
        await settle(200.0)
        tried = mine.api.of("DELETE")
        assert [round(request.at - tried[0].at) for request in tried] == [0, 5, 15, 35, 75, 135, 195]
        told = [request.body for request in mine.api.of("POST") if "/events" in request.path]
        [event] = [body for body in told if body["reason"] == "FailedDelete"]
        assert "It stays" in event["message"]
        mine.api.kept.clear()
        await settle(61.0)
        assert [path for path in mine.api.objects if "/imagepulls/" in path] == []

    play(story, bench(**{"registry.example/a:1": DIGEST}))


@pytest.mark.feature("session.refused")
def test_a_deletion_without_an_answer_is_no_refusal() -> None:
    """It is tried again as everything is that the API server does not answer."""
    pulls = "/apis/imageops.dev/v1alpha1/namespaces/team/imagepulls"

    async def story(mine: OperatorBench) -> None:
        mine.apply(SESSION, "release", {"steps": [pull_step("a")]})
        await settle(5.0)
        mine.api.kept[pulls] = unreachable()
        mine.apply(SESSION, "release", {"steps": [pull_step("b")]})
        await settle(12.0)
        assert [entry.refused for entry in mine.store if entry.key.kind is SESSION] == [{}]
        mine.api.kept.clear()
        await settle(6.0)
        assert mine.status(SESSION, "release")["phase"] == "Succeeded"
        assert len([path for path in mine.api.objects if "/imagepulls/" in path]) == 1

    play(story, bench(**{f"registry.example/{name}:1": DIGEST for name in "ab"}))


@pytest.mark.feature("session.refused")
def test_a_refused_creation_is_no_refused_deletion() -> None:
    """A creation may be answered as refused and have been made; the operation is removed later like any other."""
    pulls = "/apis/imageops.dev/v1alpha1/namespaces/team/imagepulls"

    async def story(mine: OperatorBench) -> None:
        mine.engine.gate = asyncio.Event()

        async def refuse(path: str, _: Any) -> None:
            if path == pulls and len(mine.api.of("POST")) == 1:
                await asyncio.sleep(0.05)
                raise api_error(504, "Timeout", message="timed out")

        mine.api.made = refuse
        mine.apply(SESSION, "release", {"steps": [pull_step("a")]})
        await settle(20.0)
        mine.apply(SESSION, "release", {"steps": [pull_step("b")]})
        await settle(20.0)
        assert [reason for _, reason in mine.events if reason == "FailedDelete"] == []
        assert len(mine.api.of("DELETE")) == 1

    play(story, bench(**{f"registry.example/{name}:1": DIGEST for name in "ab"}))


def test_an_operation_waits_for_its_session_and_joins_it() -> None:
    """By name, as soon as it is there."""

    async def story(mine: OperatorBench) -> None:
        mine.apply(IMAGE_PULL, "app", SPEC | {"sessionRef": {"name": "group"}})
        await settle(3.0)
        assert mine.status(IMAGE_PULL, "app")["conditions"][0]["reason"] == "SessionNotFound"
        mine.apply(SESSION, "group", {})
        await settle()
        status = mine.status(SESSION, "group")
        assert (status["total"], status["succeeded"], status["conditions"][0]["reason"]) == (1, 1, "Open")

    play(story, bench())


def test_finished_things_are_deleted_in_their_time() -> None:
    """With what they own, and an image only behind our finalizer."""

    async def story(mine: OperatorBench) -> None:
        mine.apply(IMAGE_PULL, "app", SPEC | {"ttlSecondsAfterFinished": 30})
        mine.apply(IMAGE_PULL, "kept", SPEC | {"deletionPolicy": "Delete"})
        await settle(20.0)
        body = mine.api.objects[mine.path(IMAGE_PULL, "kept")]
        assert body["metadata"]["finalizers"] == ["imageops.dev/image"]
        await settle(20.0)
        assert mine.path(IMAGE_PULL, "app") not in mine.api.objects
        mine.apply(IMAGE_PULL, "kept", body["spec"], deletionTimestamp="2026-01-02T03:05:00Z")
        await settle()
        assert mine.api.objects[mine.path(IMAGE_PULL, "kept")]["metadata"]["finalizers"] == []
        assert mine.engine.seen("remove") == [f"remove {REF}"]

    play(story, bench())
