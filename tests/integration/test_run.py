"""What starts a run, and what does not, on all four kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from devcluster.env import Environment
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, OPERATION_KINDS, REQUESTED_AT, SESSION, Kind
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.objects import Body, Objects, condition, finished, reason, run_ended
from tests.support.registry_secrets import create_registry_secret
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

Spec = dict[str, Any]

all_kinds = pytest.mark.parametrize("kind", [*OPERATION_KINDS, SESSION], ids=lambda kind: kind.kind)


@dataclass(frozen=True, slots=True)
class Asked:
    """Specs of one kind that need no more than a moment."""

    first: Spec
    """Ends well."""
    second: Spec
    """Another What, which ends well too."""
    failing: Spec
    """Ends badly, for good."""


@pytest.fixture
def asked(
    kind: Kind,
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> Asked:
    """Prepare the daemon for one kind."""
    image, other = make_image(), make_image()
    absent = f"local.example/{objects.namespace}:absent"
    daemon = {"daemonName": containerd.name}
    if kind in {IMAGE_TAG, IMAGE_PUSH}:
        containerd.daemon.pull(image.reference)
    if kind is IMAGE_PULL:
        pulls = [{"image": one, **daemon} for one in (image.reference, other.reference)]
        return Asked(pulls[0], pulls[1], {"image": absent, "imagePullPolicy": "Never", **daemon})
    if kind is IMAGE_TAG:
        tags = [{"source": image.reference, "target": f"{absent}-{number}", **daemon} for number in (1, 2)]
        return Asked(tags[0], tags[1], {"source": absent, "target": f"{absent}-3", **daemon})
    if kind is IMAGE_PUSH:
        target = f"{cluster.registry_target}/{image.repository}:1"
        containerd.daemon.tag(image.reference, target)
        push = {"image": target, **daemon}
        return Asked(push, {**push, "ifExists": "Replace"}, {"image": absent, **daemon})
    steps = [[{"name": "get", "pull": {"image": one}}] for one in (image.reference, other.reference)]
    never = [{"name": "get", "pull": {"image": absent, "imagePullPolicy": "Never"}}]
    return Asked({"steps": steps[0], **daemon}, {"steps": steps[1], **daemon}, {"steps": never, **daemon})


def change(objects: Objects, kind: Kind, spec: Spec) -> Body:
    """Change the spec and return the object when the operator has answered that generation with an end."""
    objects.patch(kind, "app", {"spec": spec})
    return objects.wait_finished(kind, "app")


@pytest.mark.feature("run.what-and-how")
@all_kinds
def test_a_changed_what_is_one_new_run(objects: Objects, kind: Kind, asked: Asked) -> None:
    """The same object is used again: one run more, its generation observed."""
    before = objects.run(kind, "app", asked.first)
    after = change(objects, kind, asked.second)
    assert (before["status"]["run"], after["status"]["run"]) == (1, 2)
    assert after["status"]["phase"] == "Succeeded"
    assert after["status"]["observedSpecHash"] != before["status"]["observedSpecHash"]
    if kind is not SESSION:
        assert [(entry["run"], entry["trigger"]) for entry in after["status"]["history"]] == [(1, "Spec"), (2, "Spec")]


@pytest.mark.feature("run.what-and-how")
@all_kinds
def test_how_and_all_else_run_nothing_after_success(objects: Objects, kind: Kind, asked: Asked) -> None:
    """A changed How field, and the fields that are neither What nor How, are observed and start nothing."""
    before = objects.run(kind, "app", asked.first)["status"]
    changes: list[Spec] = [
        {"backoffLimit": 1},
        {"activeDeadlineSeconds": 100},
        {"secretRef": {"name": "nobody"}},
        {"ttlSecondsAfterFinished": 3600},
        {"ttlSecondsAfterFinished": None},
        {"suspend": True},
        {"suspend": False},
        {"cancel": True},
        {"cancel": False},
    ]
    changes += [{"parallelism": 2}, {"maxFailedSteps": 1}] if kind is SESSION else [{"timeoutSeconds": 77}]
    changes += [{"intervalSeconds": 3600}] if kind is IMAGE_PULL else []
    for spec in changes:
        after = change(objects, kind, spec)["status"]
        assert after["run"] == 1, spec
        assert after["phase"] == "Succeeded", spec
        assert after.get("history") == before.get("history"), spec


@pytest.mark.feature("run.what-and-how")
@all_kinds
def test_a_changed_how_runs_a_failed_one_again(objects: Objects, kind: Kind, asked: Asked) -> None:
    """After a failure a How field is a reason to try again, once."""
    before = objects.run(kind, "app", asked.failing)
    assert before["status"]["phase"] == "Failed"
    after = change(objects, kind, {"backoffLimit": 2})
    assert (after["status"]["phase"], after["status"]["run"]) == ("Failed", 2)
    again = change(objects, kind, {"suspend": False})
    assert again["status"]["run"] == 2


@pytest.mark.feature("run.what-and-how")
def test_a_changed_how_touches_a_run_in_progress_at_once(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    cluster: Environment,
) -> None:
    """A run that waits for its retry goes on at once with the Secret it now names, as the same run."""
    pair = (cluster.registry_auth_user, cluster.registry_auth_password)
    image = make_image(registry=cluster.registry_auth, credentials=pair)
    create_registry_secret(objects, "wrong", cluster.registry, pair)
    create_registry_secret(objects, "right", cluster.registry_auth, pair)
    spec = {"image": image.reference, "daemonName": containerd.name, "secretRef": {"name": "wrong"}}
    objects.create(IMAGE_PULL, "app", spec)
    objects.wait(IMAGE_PULL, "app", lambda body: reason(body) == "SecretInvalid")
    objects.patch(IMAGE_PULL, "app", {"spec": {"secretRef": {"name": "right"}}})
    body = objects.wait_finished(IMAGE_PULL, "app")
    assert reason(body) == "Pulled"
    assert (body["status"]["run"], body["status"]["attempts"]) == (1, 2)


@pytest.mark.feature("run.upgrade")
@all_kinds
def test_another_operators_hash_and_spelt_out_defaults_run_nothing(
    objects: Objects,
    kind: Kind,
    asked: Asked,
) -> None:
    """A hash of an unknown version is stamped anew; a field set to its default is the same spec as before."""
    before = objects.run(kind, "app", asked.first)["status"]
    old = {**before, "observedSpecHash": "v0:0123456789abcdef"}
    assert objects.api.replace(objects.path(kind, "app"), "status", old).status == 200
    stamped = objects.wait(kind, "app", lambda body: body["status"]["observedSpecHash"] == before["observedSpecHash"])
    assert (stamped["status"]["run"], stamped["status"]["completionTime"]) == (1, before["completionTime"])
    defaults = {"dryRun": False, "suspend": False, "cancel": False}
    same = change(objects, kind, defaults)["status"]
    assert same["run"] == 1
    assert same["observedSpecHash"] == before["observedSpecHash"]


@pytest.mark.feature("gitops.token")
@all_kinds
def test_each_token_is_one_run(objects: Objects, kind: Kind, asked: Asked) -> None:
    """One that is present at the creation is the first run; each new value is exactly one more."""
    objects.create(kind, "app", asked.first, annotations={REQUESTED_AT: "at-creation"})
    first = objects.wait_finished(kind, "app")["status"]
    assert (first["run"], first["lastHandledRequestedAt"]) == (1, "at-creation")
    for run, token in enumerate(("one", "two", "three"), start=2):
        objects.ask_again(kind, "app", token)
        status = objects.wait(kind, "app", run_ended(run))["status"]
        assert (status["run"], status["lastHandledRequestedAt"], status["phase"]) == (run, token, "Succeeded")


@pytest.mark.feature("gitops.token")
def test_a_token_set_during_a_run_causes_one_after_it(
    objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The present run ends first; of several tokens the newest counts."""
    image = make_image(layers=[3_000_000])
    gate = make_gate(image.registry, bytes_per_second=1_000_000)
    objects.create(IMAGE_PULL, "app", {"image": through(gate, image), "daemonName": engine.name})
    objects.wait(IMAGE_PULL, "app", lambda body: body["status"]["phase"] == "Running")
    for token in ("one", "two", "three"):
        objects.ask_again(IMAGE_PULL, "app", token)
    status = objects.wait(IMAGE_PULL, "app", run_ended(2))["status"]
    assert (status["run"], status["lastHandledRequestedAt"]) == (2, "three")
    assert [(entry["run"], entry["trigger"], entry["reason"]) for entry in status["history"]] == [
        (1, "Spec", "Pulled"),
        (2, "Token", "AlreadyPresent"),
    ]


@pytest.mark.feature("admission.stable-refs")
@pytest.mark.feature("cancel.waiting")
@all_kinds
def test_while_cancel_is_true_a_new_run_ends_cancelled(objects: Objects, kind: Kind, asked: Asked) -> None:
    """A version bump under cancel is echoed as a cancelled run; setting cancel back starts nothing by itself."""
    before = objects.run(kind, "app", asked.first)["status"]
    cancelled = change(objects, kind, {**asked.second, "cancel": True})
    assert (cancelled["status"]["phase"], cancelled["status"]["run"]) == ("Cancelled", 2)
    stalled = condition(cancelled, "Stalled")
    assert stalled is not None
    assert stalled["reason"] == "Cancelled"
    assert cancelled["status"].get("history") == before.get("history"), "no attempt was made"
    back = change(objects, kind, {"cancel": False})["status"]
    assert (back["phase"], back["run"]) == ("Cancelled", 2)
    objects.ask_again(kind, "app", "now")
    after = objects.wait(kind, "app", run_ended(3))["status"]
    assert (after["phase"], after["run"]) == ("Succeeded", 3)


@pytest.mark.feature("session.version-bump")
def test_an_edited_step_takes_the_place_of_the_running_one(
    objects: Objects,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
) -> None:
    """The old run's child is stopped and removed, the new run's made, under the same Session."""
    old, new = make_image(layers=[20_000_000]), make_image()
    gate = make_gate(old.registry, bytes_per_second=1_000_000)
    spec = {"daemonName": containerd.name, "steps": [{"name": "get", "pull": {"image": through(gate, old)}}]}
    objects.create(SESSION, "app", spec)

    def moving(_: Body) -> bool:
        return any((child["status"].get("progress") or {}).get("bytesDone") for child in objects.all(IMAGE_PULL))

    objects.wait(SESSION, "app", moving)
    (former,) = objects.all(IMAGE_PULL)
    body = change(objects, SESSION, {"steps": [{"name": "get", "pull": {"image": new.reference}}]})
    seen = gate.wait(lambda requests: all(one.finished for one in requests))
    assert max(one.response_bytes for one in seen) < 20_000_000
    assert (reason(body), body["status"]["run"]) == ("Completed", 2)
    (child,) = objects.all(IMAGE_PULL)
    assert child["spec"]["image"] == new.reference
    assert child["metadata"]["name"] != former["metadata"]["name"]
    assert finished(child)
