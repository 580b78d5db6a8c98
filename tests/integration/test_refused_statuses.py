"""A webhook that refuses every status of one namespace stops nobody else, whatever is done in that namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.env import Environment
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, OPERATION_KINDS, SESSION
from imageops.api.reasons import Reason
from imageops.core.run import UNWRITABLE
from imageops.tools.daemon import LOOKUP_SLOTS
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.metrics import total
from tests.support.objects import Body, Objects, condition, reason, run_ended
from tests.support.operator_process import OperatorProcess
from tests.support.waiting import until
from tests.support.watched_engine import EngineUnderTest
from tests.support.webhook import Webhook

pytestmark = pytest.mark.integration

STATUSES = tuple(f"{kind.plural}/status" for kind in (*OPERATION_KINDS, SESSION))


@pytest.fixture
def refused(other_objects: Objects, tmp_path: Path) -> Iterator[Objects]:
    """Return the objects of a namespace in which no status can be written."""
    with Webhook(
        other_objects.api,
        other_objects.namespace,
        *STATUSES,
        words="no status of these",
        folder=tmp_path,
        operation="UPDATE",
    ) as webhook:
        webhook.answer()
        other_objects.create(IMAGE_TAG, "probe", {"source": "registry.example/a:1", "target": "registry.example/b:1"})
        path = f"{other_objects.path(IMAGE_TAG, 'probe')}/status"
        until(lambda: other_objects.api.request("PATCH", path, {"status": {"run": 0}}).status == 403)
        yield other_objects


def told(objects: Objects, name: str) -> bool:
    """Tell whether an Event says that the status of an object is refused."""
    return any(
        (event["reason"], event["message"]) == (Reason.ADMISSION_DENIED, UNWRITABLE) for event in objects.events(name)
    )


@pytest.mark.feature("fault.refused-status")
def test_sixteen_tags_and_six_transfers_stop_no_daemon(
    objects: Objects,
    refused: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    operator: OperatorProcess,
    cluster: Environment,
) -> None:
    """More objects than the daemon has places for, also after a restart: those of another namespace all end."""
    first, second, slow = make_image(), make_image(), make_image(layers=(2_000_000,) * 3)
    for image in (first, second):
        engine.daemon.pull(image.reference)
    target = f"{cluster.registry_target}/{refused.namespace}/moved:1"
    engine.daemon.tag(first.reference, target)
    gate = make_gate(slow.registry, bytes_per_second=200_000)
    common = {"daemonName": engine.name}
    tags = [f"tag-{number}" for number in range(LOOKUP_SLOTS)]
    pulls = [f"pull-{number}" for number in range(6)]
    moved = {"source": second.reference, "target": target, "ifExists": "Replace"}
    for name in tags:
        refused.create(IMAGE_TAG, name, common | moved)
    for name in pulls:
        refused.create(IMAGE_PULL, name, common | {"image": through(gate, slow), "imagePullPolicy": "Always"})
    until(lambda: all(told(refused, name) for name in [*tags, *pulls]), seconds=60.0)
    until(lambda: all(request.finished for request in gate.requests))
    assert total(operator, "imageops_status_refused_objects") >= len([*tags, *pulls])

    def others_go_on(suffix: str) -> None:
        ours = f"{cluster.registry_target}/{objects.namespace}/{suffix}:1"
        for kind, spec in (
            (IMAGE_PULL, {"image": first.reference, "imagePullPolicy": "Always"}),
            (IMAGE_TAG, {"source": first.reference, "target": ours}),
            (IMAGE_PUSH, {"image": ours}),
        ):
            body = objects.run(kind, f"{kind.singular}-{suffix}", common | spec)
            assert body["status"]["phase"] == "Succeeded", body["status"]

    others_go_on("before")
    asked = len(gate.requests)
    operator.kill()
    operator.start()
    others_go_on("after")
    assert len(gate.requests) == asked


@pytest.mark.feature("fault.refused-status", "gitops.token")
@pytest.mark.parametrize(
    "token", ["t" * 201, "t" * 100_000, "2026\t11", "line\nbreak"], ids=["201", "long", "tab", "line"]
)
def test_a_token_of_any_length_is_one_more_run(
    objects: Objects, engine: EngineUnderTest, make_image: MakeImage, token: str
) -> None:
    """It stands in the status by its hash where the status could not hold it."""
    objects.run(IMAGE_PULL, "app", {"image": make_image().reference, "daemonName": engine.name})
    objects.ask_again(IMAGE_PULL, "app", token)
    body = objects.wait(IMAGE_PULL, "app", run_ended(2))
    assert reason(body) == "AlreadyPresent"
    assert len(body["status"]["lastHandledRequestedAt"]) <= 200


@pytest.mark.feature("fault.refused-status")
def test_a_step_whose_status_is_refused_fails_its_session(
    objects: Objects, tmp_path: Path, make_image: MakeImage, engine: EngineUnderTest
) -> None:
    """The Session says AdmissionDenied, and does not wait for ever."""
    with Webhook(
        objects.api,
        objects.namespace,
        f"{IMAGE_PULL.plural}/status",
        words="no status of pulls",
        folder=tmp_path,
        operation="UPDATE",
    ) as webhook:
        webhook.answer()
        objects.create(IMAGE_PULL, "probe", {"image": "registry.example/a:1", "suspend": True})
        until(lambda: told(objects, "probe"))
        steps = [{"name": "get", "pull": {"image": make_image().reference}}]
        body: Body = objects.run(SESSION, "release", {"steps": steps, "daemonName": engine.name})
    assert (reason(body), body["status"]["steps"][0]["reason"]) == ("StepFailed", "AdmissionDenied")
    stalled = condition(body, "Stalled")
    assert stalled is not None
    assert stalled["status"] == "True"
