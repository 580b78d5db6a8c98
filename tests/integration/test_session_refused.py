"""Sessions whose operations a real API server refuses: by a policy, a ResourceQuota, or for want of a right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.env import Environment
from devcluster.install import install
from devcluster.kubernetes import OPERATOR
from imageops.api.kinds import GROUP, IMAGE_PULL, RETRY_FAILED_AT, SESSION, VERSION
from imageops.api.reasons import Reason
from tests.integration.conftest import MakeImage
from tests.support.admission import ApiServer
from tests.support.objects import Body, Objects, condition, reason, run_ended
from tests.support.operator_process import OperatorProcess
from tests.support.sessions import children, counts, phases, pull
from tests.support.status_watch import StatusWatch
from tests.support.waiting import until
from tests.support.webhook import Webhook

pytestmark = pytest.mark.integration

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/imageops-operator"
REFUSED = "refused"
"""A repository that the policy does not let pass."""
WORDS = "Nothing is pulled from this repository."
COUNT = f"count/{IMAGE_PULL.plural}.{GROUP}"


def is_taken(objects: Objects, image: str) -> bool:
    """Tell whether the API server would let somebody create a pull."""
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": IMAGE_PULL.kind,
        "metadata": {"name": "trial"},
        "spec": {"image": image},
    }
    return objects.api.request("POST", objects.path(IMAGE_PULL), body, dryRun="All").status < 400


def may_go(objects: Objects, name: str) -> bool:
    """Tell whether the API server would let somebody delete a pull, or has done so."""
    return objects.api.request("DELETE", f"{objects.path(IMAGE_PULL)}/{name}", dryRun="All").status in {200, 404}


class Policy:
    """A ValidatingAdmissionPolicy for the pulls of one namespace."""

    def __init__(self, objects: Objects) -> None:
        """Do nothing yet."""
        self._objects = objects
        self._refuses: Callable[[], bool] = lambda: not is_taken(objects, f"registry.example/{REFUSED}:1")
        self._paths = [
            f"{ADMISSION}/{kind}/{objects.namespace}"
            for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
        ]

    def keep(self, name: str) -> None:
        """Let nobody delete the pulls of one repository, of which this is one."""
        self._refuses = lambda: not may_go(self._objects, name)
        self.put("Forbidden", operation="DELETE")

    def put(self, answer: str, *, operation: str = "CREATE") -> None:
        """Refuse one repository, with the code that goes with an answer: Invalid is 422, Forbidden 403."""
        rule = {
            "apiGroups": [GROUP],
            "apiVersions": [VERSION],
            "operations": [operation],
            "resources": [IMAGE_PULL.plural],
        }
        namespace = {"matchLabels": {"kubernetes.io/metadata.name": self._objects.namespace}}
        image = "oldObject.spec.image" if operation == "DELETE" else "object.spec.image"
        validation = {"expression": f"!{image}.contains('/{REFUSED}')", "message": WORDS, "reason": answer}
        specs: list[dict[str, Any]] = [
            {
                "failurePolicy": "Fail",
                "matchConstraints": {"namespaceSelector": namespace, "resourceRules": [rule]},
                "validations": [validation],
            },
            {"policyName": self._objects.namespace, "validationActions": ["Deny"]},
        ]
        for path, spec in zip(self._paths, specs, strict=True):
            collection, _, name = path.rpartition("/")
            sent = self._objects.api.request("POST", collection, {"metadata": {"name": name}, "spec": spec})
            assert sent.status == 201, sent.message
        until(self._refuses)

    def remove(self) -> None:
        """Let everything pass."""
        for path in reversed(self._paths):
            self._objects.api.request("DELETE", path)
        until(lambda: not self._refuses())


@pytest.fixture
def policy(objects: Objects) -> Iterator[Policy]:
    """Return a policy that goes with the test."""
    policy = Policy(objects)
    yield policy
    policy.remove()


def set_quota(objects: Objects, number: int) -> None:
    """Let the namespace hold so many pulls, and have counted none, as the controller of quotas says it in status."""
    collection = f"/api/v1/namespaces/{objects.namespace}/resourcequotas"
    hard = {COUNT: str(number)}
    body = {"metadata": {"name": "pulls"}, "spec": {"hard": hard}}
    if objects.api.request("POST", collection, body).status == 409:
        assert objects.api.request("PATCH", f"{collection}/pulls", {"spec": {"hard": hard}}).status == 200
    status = {"status": {"hard": hard, "used": {COUNT: "0"}}}
    assert objects.api.request("PATCH", f"{collection}/pulls/status", status).status == 200


def may_create(api: ApiServer) -> bool:
    """Tell whether the operator has the right to create pulls."""
    right = {"namespace": "default", "verb": "create", "group": GROUP, "resource": IMAGE_PULL.plural}
    body = {"spec": {"user": OPERATOR, "resourceAttributes": right}}
    answer = api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return bool(answer.body["status"]["allowed"])


@pytest.fixture
def right(api: ApiServer, cluster: Environment) -> Iterator[Callable[[], None]]:
    """Take the right to create pulls from the operator; return what gives it back."""

    def give() -> None:
        install(Path(cluster.kubeconfig))
        until(lambda: may_create(api))

    rules = api.request("GET", ROLE).body["rules"]
    lesser = [
        {**rule, "verbs": [verb for verb in rule["verbs"] if verb != "create"]}
        if rule["apiGroups"] == [GROUP]
        else rule
        for rule in rules
    ]
    assert api.request("PATCH", ROLE, {"rules": lesser}).status == 200
    until(lambda: not may_create(api))
    yield give
    give()


def events_of(objects: Objects, wanted: Reason) -> list[Body]:
    """Return the Events of a Session with a reason."""
    return [event for event in objects.events("release") if event["reason"] == wanted]


def message(body: Body) -> str:
    """Return what the Session says of itself."""
    ready = condition(body, "Ready")
    assert ready is not None
    return str(ready["message"])


def waits(body: Body) -> bool:
    """Tell whether a Session waits for an operation to be let in."""
    return bool((body.get("status") or {}).get("conditions")) and reason(body) == Reason.FAILED_CREATE


# --- for good


@pytest.mark.feature("session.refused", "session.retry-failed", "error.closed-enum")
@pytest.mark.parametrize("answer", ["Invalid", "Forbidden"])
def test_a_step_that_a_policy_refuses_fails_and_is_made_again_when_the_policy_is_gone(
    objects: Objects,
    operator: OperatorProcess,
    policy: Policy,
    make_image: MakeImage,
    answer: str,
) -> None:
    """The Session tells the policy's words in conditions, errors and Events, also after a restart of the operator."""
    image = make_image(repository=f"{objects.namespace}/{REFUSED}")
    policy.put(answer)
    body = objects.run(SESSION, "release", {"steps": [pull("app", image.reference), pull("next", image.reference)]})
    assert (body["status"]["phase"], reason(body), counts(body)) == (
        "Failed",
        "StepFailed",
        {"failed": 1, "skipped": 1},
    )
    assert phases(body) == {"app": "Failed", "next": "Skipped"}
    row = body["status"]["steps"][0]
    [error] = body["status"]["errors"]
    assert (row["reason"], error["reason"], error["class"], error["count"]) == ("AdmissionDenied",) * 2 + ("Final", 1)
    assert error["operationRef"] == row["operationRef"]
    assert WORDS in error["message"]
    assert f"'{objects.namespace}'" in message(body)
    assert WORDS in message(body)
    assert Reason.ADMISSION_DENIED.hint in message(body)
    until(lambda: bool(events_of(objects, Reason.ADMISSION_DENIED)))
    [event] = events_of(objects, Reason.ADMISSION_DENIED)
    assert (event["type"], event["count"]) == ("Warning", 1)
    assert WORDS in event["message"]
    assert not children(objects, "release")

    operator.kill()
    operator.start()
    assert objects.get(SESSION, "release")["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]

    policy.remove()
    objects.patch(SESSION, "release", {"metadata": {"annotations": {RETRY_FAILED_AT: "the policy is gone"}}})
    after = objects.wait(SESSION, "release", lambda now: reason(now) == "Completed")
    assert (after["status"]["run"], counts(after)) == (1, {"succeeded": 2})
    assert len(children(objects, "release")) == 2
    assert len(events_of(objects, Reason.ADMISSION_DENIED)) == 1


@pytest.mark.feature("session.refused", "session.version-bump")
def test_a_step_that_is_corrected_runs_under_the_same_policy(
    objects: Objects,
    policy: Policy,
    make_image: MakeImage,
) -> None:
    """By a new version of the step: one new run, whose errors are its own."""
    image = make_image()
    policy.put("Invalid")
    objects.run(SESSION, "release", {"steps": [pull("app", f"{image.registry}/{REFUSED}:1")]})
    objects.patch(SESSION, "release", {"spec": {"steps": [pull("app", image.reference)]}})
    body = objects.wait(SESSION, "release", run_ended(2))
    assert (reason(body), counts(body), body["status"].get("errors")) == ("Completed", {"succeeded": 1}, None)


# --- for now


@pytest.mark.feature("session.refused")
def test_a_step_over_the_quota_waits_until_there_is_room(
    objects: Objects,
    operator: OperatorProcess,
    make_image: MakeImage,
) -> None:
    """It says so once, by one write and one Event, whatever becomes of the operator; then it goes on by itself."""
    image = make_image()
    set_quota(objects, 0)
    with StatusWatch(objects, SESSION) as watch:
        objects.create(SESSION, "release", {"steps": [pull("app", image.reference)]})
        body = objects.wait(SESSION, "release", waits)
        assert (body["status"]["phase"], phases(body), counts(body)) == ("Pending", {"app": "Pending"}, {"pending": 1})
        assert "exceeded quota: pulls" in message(body)
        assert Reason.FAILED_CREATE.hint in message(body)
        until(lambda: bool(events_of(objects, Reason.FAILED_CREATE)))
        operator.kill()
        operator.start()
        set_quota(objects, 5)
        after = objects.wait_finished(SESSION, "release")
        states = watch.wait_for(after)
    assert (reason(after), counts(after), after["status"].get("errors")) == ("Completed", {"succeeded": 1}, None)
    assert len([one for one in states if waits(one.body)]) == 1
    assert [(event["type"], event["count"]) for event in events_of(objects, Reason.FAILED_CREATE)] == [("Warning", 1)]


@pytest.mark.feature("session.refused")
def test_a_step_that_the_operator_may_not_create_waits_for_the_right(
    objects: Objects,
    right: Callable[[], None],
    make_image: MakeImage,
) -> None:
    """The Session names the operator and what it lacks; with the right it goes on by itself."""
    image = make_image()
    objects.create(SESSION, "release", {"steps": [pull("app", image.reference)]})
    body = objects.wait(SESSION, "release", waits)
    assert f'User "{OPERATOR}" cannot create resource "{IMAGE_PULL.plural}"' in message(body)
    right()
    after = objects.wait_finished(SESSION, "release")
    assert (reason(after), counts(after)) == ("Completed", {"succeeded": 1})


@pytest.mark.feature("session.refused")
def test_a_webhook_that_is_away_is_waited_for_and_what_it_denies_fails(objects: Objects, tmp_path: Path) -> None:
    """Its absence says nothing about the operation, its word does."""
    with Webhook(objects.api, objects.namespace, IMAGE_PULL.plural, words=WORDS, folder=tmp_path) as webhook:
        until(lambda: not is_taken(objects, "registry.example/app:1"))
        objects.create(SESSION, "release", {"steps": [pull("app", "registry.example/app:1")]})
        body = objects.wait(SESSION, "release", waits)
        assert "failed calling webhook" in message(body)
        webhook.answer()
        after = objects.wait_finished(SESSION, "release")
    assert (reason(after), after["status"]["steps"][0]["reason"]) == ("StepFailed", "AdmissionDenied")
    assert f"denied the request: {WORDS}" in message(after)


# --- deletions


@pytest.mark.feature("session.refused", "session.version-bump")
def test_a_former_operation_that_a_policy_keeps_holds_no_new_run_up(
    objects: Objects,
    policy: Policy,
    make_image: MakeImage,
) -> None:
    """An Event has the policy's words; when the policy is gone, so is the operation."""
    former = make_image(repository=f"{objects.namespace}/{REFUSED}")
    objects.run(SESSION, "release", {"steps": [pull("app", former.reference)]})
    [kept] = children(objects, "release")
    policy.keep(kept[1])
    objects.patch(SESSION, "release", {"spec": {"steps": [pull("app", make_image().reference)]}})
    body = objects.wait(SESSION, "release", run_ended(2))
    assert (reason(body), counts(body)) == ("Completed", {"succeeded": 1})
    until(lambda: bool(events_of(objects, Reason.FAILED_DELETE)))
    [event] = events_of(objects, Reason.FAILED_DELETE)
    assert event["type"] == "Warning"
    assert WORDS in event["message"]
    assert kept in children(objects, "release")
    policy.remove()
    until(lambda: len(children(objects, "release")) == 1)


@pytest.mark.feature("gitops.ttl")
def test_an_object_whose_time_is_over_stays_while_a_policy_keeps_it(
    objects: Objects, make_image: MakeImage, policy: Policy
) -> None:
    """One Event says so, and it goes by itself when the policy is gone."""
    image = make_image(repository=f"test/{objects.namespace}/{REFUSED}")
    objects.run(IMAGE_PULL, "kept", {"image": image.reference})
    policy.keep("kept")
    objects.patch(IMAGE_PULL, "kept", {"spec": {"ttlSecondsAfterFinished": 0}})
    until(lambda: any(one["reason"] == "FailedDelete" for one in objects.events("kept")))
    [event] = [one for one in objects.events("kept") if one["reason"] == "FailedDelete"]
    assert (event["type"], event.get("count", 1)) == ("Warning", 1)
    assert WORDS.rstrip(".") in event["message"]
    policy.remove()
    objects.wait_gone(IMAGE_PULL, "kept")
