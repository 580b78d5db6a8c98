"""What the operator writes, and onto which object: status and nothing else, and never onto a successor."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from devcluster import parts
from devcluster.env import Environment
from imageops.api.kinds import IMAGE_PULL, IMAGE_TAG, SESSION, SESSION_LABEL, Kind
from imageops.api.status import OperationStatus, Progress
from imageops.cluster.api_server import ApiServer
from imageops.cluster.objects import ObjectKey
from imageops.cluster.status_writer import Basis, GoneError, StaleError, StatusWriter
from imageops.runtime.objects import FINALIZER
from tests.support.clients import Client, MakeClient, manifest
from tests.support.objects import Body, Objects, finished
from tests.support.operator_process import OperatorProcess
from tests.support.states import KINDS, Course, Stage, State
from tests.support.status_watch import StatusWatch

pytestmark = pytest.mark.integration

SUCCESSORS = 100
"""How often an object is deleted and made anew under its name, at whatever moment of its life."""


@pytest.fixture
def kubectl(stage: Stage, make_client: MakeClient) -> Client:
    """Return kubectl in the stage's namespace."""
    return make_client(parts.KUBECTL, stage.objects.namespace)


@pytest.fixture
def held(stage: Stage) -> Iterator[Stage]:
    """Return the stage, with everything that runs held up until it is let go."""
    stage.hold_up()
    yield stage
    stage.let_go()


def people(body: Body) -> dict[str, Any]:
    """Return what people own of an object: all but its status and what the API server counts."""
    counted = {"resourceVersion", "managedFields"}
    metadata = {key: value for key, value in body["metadata"].items() if key not in counted}
    return {**{key: value for key, value in body.items() if key != "status"}, "metadata": metadata}


def by_operator(body: Body) -> list[Body]:
    """Return the managed fields of whoever writes the status of an object."""
    managed = body["metadata"]["managedFields"]
    (writer,) = {entry["manager"] for entry in managed if entry.get("subresource") == "status"}
    return [entry for entry in managed if entry["manager"] == writer]


@pytest.mark.feature("status.only-status")
@pytest.mark.parametrize("course", [Course.SUCCEEDS, Course.FAILS])
def test_the_operator_writes_nothing_but_status(
    stage: Stage,
    kubectl: Client,
    operator: OperatorProcess,
    course: Course,
) -> None:
    """After the end the rest is what was applied, only status is managed by the operator, and a diff is empty."""
    operator.stop()
    try:
        texts = {}
        for kind in KINDS:
            body = {"apiVersion": "imageops.dev/v1alpha1", "kind": kind.kind, "metadata": {"name": course.value}}
            texts[kind] = manifest({**body, "spec": stage.spec(kind, course)})
            kubectl.run("apply", "--server-side", "-f", "-", stdin=texts[kind])
        before = {kind: people(stage.objects.get(kind, course)) for kind in KINDS}
    finally:
        operator.start()
    for kind in KINDS:
        body = stage.objects.wait(kind, course, finished)
        assert people(body) == before[kind]
        (entry,) = by_operator(body)
        assert set(entry["fieldsV1"]) == {"f:status"}
        assert kubectl.run("diff", "--server-side", "-f", "-", stdin=texts[kind]).said == ""


@pytest.mark.feature("status.only-status")
def test_the_operators_finalizer_is_the_one_other_thing_it_writes(stage: Stage, kubectl: Client) -> None:
    """Beside a finalizer of somebody else, which stays; the diff is empty with it too."""
    spec = stage.spec(IMAGE_PULL, Course.SUCCEEDS) | {"deletionPolicy": "Delete"}
    body = stage.objects.create(IMAGE_PULL, "finalized", spec)
    text = manifest(body)
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
    stage.objects.patch(IMAGE_PULL, "finalized", {"metadata": {"finalizers": [FINALIZER, "example.com/kept"]}})
    stage.objects.wait(IMAGE_PULL, "finalized", finished)
    stage.objects.ask_again(IMAGE_PULL, "finalized", "with both")
    body = stage.objects.wait(IMAGE_PULL, "finalized", lambda body: body["status"].get("run") == 2 and finished(body))
    assert set(body["metadata"]["finalizers"]) == {FINALIZER, "example.com/kept"}
    rest = [entry["fieldsV1"] for entry in by_operator(body) if entry.get("subresource") != "status"]
    assert all(set(fields) == {"f:metadata"} and set(fields["f:metadata"]) == {"f:finalizers"} for fields in rest)
    assert kubectl.run("diff", "--server-side", "-f", "-", stdin=text).said == ""
    stage.objects.delete(IMAGE_PULL, "finalized")
    body = stage.objects.wait(
        IMAGE_PULL,
        "finalized",
        lambda body: body["metadata"]["finalizers"] == ["example.com/kept"],
    )
    stage.objects.patch(IMAGE_PULL, "finalized", {"metadata": {"finalizers": None}})
    stage.objects.wait_gone(IMAGE_PULL, "finalized")


@pytest.mark.feature("status.only-status")
def test_a_sessions_children_are_its_own(stage: Stage) -> None:
    """Made whole by the operator, and after that only their status is written."""
    stage.create(SESSION, "parent", Course.SUCCEEDS)
    session = stage.wait(SESSION, "parent", State.SUCCEEDED)
    labelled = {"labelSelector": f"{SESSION_LABEL}=parent"}
    (child,) = stage.objects.api.request("GET", stage.objects.path(IMAGE_PULL), **labelled).body["items"]
    assert child["metadata"]["generation"] == 1
    assert child["metadata"]["labels"] == {SESSION_LABEL: "parent"}
    assert [owner["uid"] for owner in child["metadata"]["ownerReferences"]] == [session["metadata"]["uid"]]
    assert len({entry["manager"] for entry in child["metadata"]["managedFields"]}) == 1


@pytest_asyncio.fixture
async def writer(cluster: Environment) -> AsyncIterator[StatusWriter]:
    """Return the operator's own writer, with the operator's rights."""

    def ignore(*_: object) -> None:
        """Take in what was written."""

    api = await ApiServer.connect(cluster.kubeconfig_operator)
    made = StatusWriter(api, written=ignore, counted=ignore)
    yield made
    await made.close()
    await api.close()


def key_of(kind: Kind, body: Body) -> ObjectKey:
    """Return how the operator knows an object."""
    metadata = body["metadata"]
    return ObjectKey(kind, metadata["namespace"], metadata["name"], metadata["uid"])


async def reported(writer: StatusWriter, key: ObjectKey, status: OperationStatus, version: str) -> None:
    """Report progress on a version that is taken to hold a status; return when that has come to its end."""
    moved = status.model_copy(update={"progress": Progress(percent=99)})
    writer.report(key, moved, basis=partial(Basis, version, status), failed=lambda _: None)
    reporter = writer._queues[key.uid].reporter
    assert reporter is not None
    await reporter


@pytest.mark.feature("status.recreated")
async def test_a_status_for_a_deleted_object_is_not_written_onto_its_successor(
    stage: Stage,
    operator: OperatorProcess,
    writer: StatusWriter,
) -> None:
    """Neither with the resourceVersion of the former object nor with that of the new one, nor as a report."""
    operator.stop()
    try:
        for kind in KINDS:
            former = stage.create(kind, "anew", Course.SUCCEEDS)
            stage.objects.delete(kind, "anew")
            with pytest.raises(GoneError):
                await writer.commit(key_of(kind, former), OperationStatus(run=7), basis=lambda: Basis("1"))
            anew = stage.create(kind, "anew", Course.SUCCEEDS)
            for body in (former, anew):
                version = body["metadata"]["resourceVersion"]
                with pytest.raises(StaleError):
                    await writer.commit(key_of(kind, former), OperationStatus(run=7), basis=partial(Basis, version))
                await reported(writer, key_of(kind, former), OperationStatus(run=7), version)
            assert stage.objects.get(kind, "anew") == anew
    finally:
        operator.start()
    for kind in KINDS:
        assert stage.wait(kind, "anew", State.SUCCEEDED)["status"]["run"] == 1


@pytest.mark.feature("status.recreated")
async def test_a_stale_status_is_not_written_over_a_newer(
    stage: Stage,
    operator: OperatorProcess,
    writer: StatusWriter,
) -> None:
    """What was decided on an older version of the object is refused, whatever changed meanwhile; a report too."""
    stage.create(IMAGE_TAG, "stale", Course.SUCCEEDS)
    older = stage.wait(IMAGE_TAG, "stale", State.SUCCEEDED)
    stage.objects.ask_again(IMAGE_TAG, "stale", "newer")
    newer = stage.objects.wait(IMAGE_TAG, "stale", lambda body: body["status"].get("run") == 2 and finished(body))
    operator.stop()
    try:
        with pytest.raises(StaleError):
            await writer.commit(
                key_of(IMAGE_TAG, older),
                OperationStatus.model_validate(older["status"]),
                basis=lambda: Basis(older["metadata"]["resourceVersion"]),
            )
        status = OperationStatus.model_validate(older["status"])
        await reported(writer, key_of(IMAGE_TAG, older), status, older["metadata"]["resourceVersion"])
        assert stage.objects.get(IMAGE_TAG, "stale") == newer
    finally:
        operator.start()


def runs_of_its_own(body: Body, first: str) -> None:
    """Check that a status is about the object that carries it, and begins with that object's first run."""
    status = body.get("status") or {}
    if "run" not in status:
        return
    assert status["run"] == 1
    assert status.get("reference", first) == first
    assert all(entry["run"] == 1 for entry in status.get("history") or ())
    assert status.get("attempts", 0) <= 1


@pytest.mark.feature("status.recreated")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_what_a_paused_operator_was_about_to_write_is_not_written_onto_a_successor(
    held: Stage,
    operator: OperatorProcess,
    kind: Kind,
) -> None:
    """Its call ends, and the object is deleted and made anew, before it comes to write the end."""
    held.create(kind, "paused", Course.RUNS)
    former = held.wait(kind, "paused", State.RUNNING)
    operator.pause()
    try:
        held.let_go()
        held.objects.delete(kind, "paused")
        with StatusWatch(held.objects, kind) as watch:
            spec = held.spec(kind, Course.SUCCEEDS)
            anew = held.objects.create(kind, "paused", spec)
            operator.resume()
            states = watch.wait_for(held.objects.wait(kind, "paused", finished))
    finally:
        operator.resume()
    assert anew["metadata"]["uid"] != former["metadata"]["uid"]
    for one in states:
        assert one.body["metadata"]["uid"] == anew["metadata"]["uid"]
        runs_of_its_own(one.body, str(spec.get("target", spec.get("image"))))


@pytest.mark.feature("status.recreated")
def test_successors_made_at_any_moment_have_a_status_of_their_own(stage: Stage) -> None:
    """Many objects in a row under one name, deleted at all moments of their life, a third of them after their end."""
    source = stage.spec(IMAGE_TAG, Course.SUCCEEDS)["source"]
    objects: Objects = stage.objects
    targets: dict[str, str] = {}
    with StatusWatch(objects, IMAGE_TAG) as watch:
        for number in range(SUCCESSORS):
            target = f"local.example/{objects.namespace}:{secrets.token_hex(4)}"
            spec = {"daemonName": stage.engine.name, "source": source, "target": target}
            uid = objects.create(IMAGE_TAG, "successor", spec)["metadata"]["uid"]
            targets[uid] = target
            if number % 3 == 0:
                objects.wait_finished(IMAGE_TAG, "successor")
            for _ in range(number % 20):
                objects.get(IMAGE_TAG, "successor")
            if number < SUCCESSORS - 1:
                objects.delete(IMAGE_TAG, "successor")
        states = watch.wait_for(objects.wait(IMAGE_TAG, "successor", finished))
    seen = [one.body["metadata"]["uid"] for one in states]
    assert len(set(seen)) == SUCCESSORS
    ended = {one.body["metadata"]["uid"] for one in states if finished(one.body)}
    assert 1 < len(ended) < SUCCESSORS, "some were deleted before their end and some after it"
    for one in states:
        runs_of_its_own(one.body, targets[one.body["metadata"]["uid"]])
