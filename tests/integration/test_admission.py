from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from imageops.api.base import StatusModel, to_wire
from imageops.api.crdgen.manifest import crd
from imageops.api.kinds import (
    ALL_KINDS,
    GROUP,
    IMAGE_OPERATION_POLICY,
    IMAGE_PULL,
    IMAGE_PUSH,
    IMAGE_TAG,
    OPERATION_KINDS,
    SESSION,
    Kind,
)
from imageops.api.mistakes import Form
from imageops.api.reasons import Reason
from imageops.api.references import REFERENCE_FORM, SOURCE_FORM, TAGGED_FORM
from imageops.api.status import ErrorStatus, OperationStatus
from tests.support.admission import Answer, ApiServer, Case, cases
from tests.support.full_status import FULL_OPERATION_STATUS, FULL_SESSION_STATUS
from tests.support.kinds import MODELLED_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
INVALID = cases("invalid")
VALID = cases("valid")
NAMESPACED = [case for case in VALID if case.kind.namespaced]
DIGEST = f"sha256:{'a' * 64}"
BASE_SPECS: dict[Kind, dict[str, Any]] = {
    IMAGE_PULL: {"image": "a.example/app:1"},
    IMAGE_PUSH: {"image": "a.example/app:1"},
    IMAGE_TAG: {"source": "app", "target": "a.example/app:1"},
    SESSION: {"steps": [{"name": "a", "pull": {"image": "a.example/app:1"}}]},
}

watched_kinds = pytest.mark.parametrize("kind", [*OPERATION_KINDS, SESSION], ids=lambda kind: kind.kind)


def case_id(case: Case) -> str:
    """Return the name a case has in the test report."""
    return f"{case.kind.kind}-{case.name[:40]}"


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """Give the API server with the committed definitions of all kinds on it, and that of the policy for as long."""
    api = ApiServer.of_environment()
    for kind in MODELLED_KINDS:
        answer = apply(api, kind)
        assert answer.status in {200, 201}, answer.message
    for kind in MODELLED_KINDS:
        api.wait_until_served(kind)
    yield api
    api.request("DELETE", f"{DEFINITIONS}/{IMAGE_OPERATION_POLICY.crd_name}")
    api.close()


@pytest.fixture(scope="module")
def namespace(server: ApiServer) -> Iterator[str]:
    """Give a namespace of this run, deleted afterwards with all in it."""
    name = f"admission-{secrets.token_hex(4)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert server.request("POST", "/api/v1/namespaces", body).status == 201
    yield name
    server.request("DELETE", f"/api/v1/namespaces/{name}")


def apply(api: ApiServer, kind: Kind, **parameters: str) -> Answer:
    """Apply the committed definition of a kind; that of the policy is not committed yet."""
    file = ROOT / "crds" / f"{kind.crd_name}.yaml"
    body = yaml.safe_load(file.read_text(encoding="utf-8")) if kind in ALL_KINDS else crd(kind)
    return api.request(
        "APPLY", f"{DEFINITIONS}/{kind.crd_name}", body, fieldManager="tests", force="true", **parameters
    )


def created(api: ApiServer, case: Case, spec: object, namespace: str) -> tuple[str, dict[str, Any]]:
    """Create an object and return its path and what the API server made of it."""
    answer = api.request("POST", case.path(namespace=namespace), case.manifest(spec, namespace=namespace))
    assert answer.status == 201, answer.message
    return f"{case.path(namespace=namespace)}/{answer.body['metadata']['name']}", answer.body


def suspended(kind: Kind, name: str, namespace: str, api: ApiServer, **spec: object) -> tuple[str, dict[str, Any]]:
    """Create a suspended object, so that an operator on the same cluster leaves it alone."""
    case = Case("", f"{name}-{secrets.token_hex(3)}", kind, None)
    return created(api, case, {**BASE_SPECS[kind], "suspend": True, **spec}, namespace)


@pytest.mark.feature("admission.generated")
@pytest.mark.parametrize("kind", MODELLED_KINDS, ids=lambda kind: kind.kind)
def test_definition_is_taken_without_a_warning(server: ApiServer, kind: Kind) -> None:
    """The API server takes the definition strictly, without a warning, and calls it structural and established."""
    answer = apply(server, kind, dryRun="All")
    assert answer.status == 200, answer.message
    assert answer.warnings == ()
    conditions = server.request("GET", f"{DEFINITIONS}/{kind.crd_name}").body["status"]["conditions"]
    held = {condition["type"]: condition["status"] for condition in conditions}
    assert held["Established"] == "True"
    assert held["NamesAccepted"] == "True"
    assert held.get("NonStructuralSchema", "False") == "False"


@pytest.mark.feature("admission.refused")
def test_corpus_has_its_size() -> None:
    """At least 100 manifests are there to be refused and 60 to be taken, under names of their own."""
    assert len(INVALID) >= 100
    assert len(VALID) >= 60
    for corpus in (INVALID, VALID):
        assert len({(case.file, case.name) for case in corpus}) == len(corpus)
    assert all(case.says for case in INVALID)


@pytest.mark.feature("admission.refused")
@pytest.mark.feature("admission.no-escape")
@pytest.mark.feature("session.invalid-steps")
@pytest.mark.parametrize("case", [case for case in INVALID if case.was is None], ids=case_id)
def test_invalid_manifest_is_refused(server: ApiServer, namespace: str, case: Case) -> None:
    """The API server itself refuses the manifest and names field and reason."""
    answer = server.request("POST", case.path(namespace=namespace), case.manifest(case.spec, namespace=namespace))
    assert answer.status in {400, 422}
    assert [part for part in case.says if part not in answer.message] == [], answer.message


@pytest.mark.feature("admission.refused")
@pytest.mark.feature("admission.stable-refs")
@pytest.mark.parametrize("case", [case for case in INVALID if case.was is not None], ids=case_id)
def test_invalid_update_is_refused(server: ApiServer, namespace: str, case: Case) -> None:
    """A change that is not allowed is refused, and the object stays as it was."""
    path, before = created(server, case, case.was, namespace)
    try:
        answer = server.replace(path, "spec", case.spec)
        assert answer.status == 422
        assert [part for part in case.says if part not in answer.message] == [], answer.message
        assert server.request("GET", path).body["spec"] == before["spec"]
    finally:
        server.request("DELETE", path)


@pytest.mark.feature("admission.refused")
@pytest.mark.parametrize("case", VALID, ids=case_id)
def test_valid_manifest_is_taken(server: ApiServer, namespace: str, case: Case) -> None:
    """The API server takes the manifest with strict field validation, and without a warning."""
    manifest = case.manifest(case.spec, namespace=namespace)
    answer = server.request("POST", case.path(namespace=namespace), manifest, dryRun="All")
    assert answer.status == 201, answer.message
    assert answer.warnings == ()


@pytest.mark.feature("admission.sentences")
def test_a_refused_text_is_told_in_one_sentence(server: ApiServer, namespace: str) -> None:
    """The API server says of a text what the operator says, and shows no regular expression."""
    told: set[str] = set()
    for case in INVALID:
        if case.file != "references.yaml" or not isinstance(case.spec, dict):
            continue
        for field, form in (("image", _form_of_image(case.kind)), ("source", SOURCE_FORM), ("target", TAGGED_FORM)):
            text = case.spec.get(field)
            complaint = form.complaint(text) if isinstance(text, str) else None
            if complaint is None:
                continue
            manifest = case.manifest(case.spec, namespace=namespace)
            message = server.request("POST", case.path(namespace=namespace), manifest, dryRun="All").message
            assert message.endswith(f'spec.{field}: Invalid value: "string": {complaint}'), case.name
            told.add(complaint)
    known = {mistake.sentence for form in (REFERENCE_FORM, TAGGED_FORM) for mistake in form.mistakes}
    assert told == known, "each sentence is shown by a manifest"


def _form_of_image(kind: Kind) -> Form:
    return REFERENCE_FORM if kind is IMAGE_PULL else TAGGED_FORM


def examples() -> list[dict[str, Any]]:
    """Return the manifests of our namespaced kinds in the folder examples."""
    documents = [
        document
        for path in sorted((ROOT / "examples").rglob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document and str(document.get("apiVersion", "")).startswith(f"{GROUP}/")
    ]
    return [document for document in documents if document["kind"] in {kind.kind for kind in BASE_SPECS}]


@pytest.mark.feature("admission.stable-refs")
def test_replace_succeeds(server: ApiServer, namespace: str) -> None:
    """Each example and each valid manifest can be replaced by itself, as kubectl replace does."""
    manifests = [case.manifest(case.spec, namespace=namespace) for case in NAMESPACED] + examples()
    plurals = {kind.kind: kind.plural for kind in ALL_KINDS}
    for manifest in manifests:
        # Suspended, so that an operator on the same cluster leaves it alone.
        spec = {**manifest["spec"], "suspend": True}
        metadata = {**manifest["metadata"], "namespace": namespace}
        path = f"/apis/{manifest['apiVersion']}/namespaces/{namespace}/{plurals[manifest['kind']]}"
        made = server.request("POST", path, {**manifest, "metadata": metadata, "spec": spec})
        assert made.status == 201, made.message
        replaced = server.replace(f"{path}/{metadata['name']}", "spec", spec)
        assert replaced.status == 200, (metadata["name"], replaced.message)
        assert replaced.body["metadata"]["generation"] == 1, "defaults do not count as a change"
        server.request("DELETE", f"{path}/{metadata['name']}")


@pytest.mark.feature("admission.stable-refs")
@watched_kinds
def test_cancel_can_be_set_back(server: ApiServer, namespace: str, kind: Kind) -> None:
    """Both cancel and suspend can be set, set back and removed."""
    path, _ = suspended(kind, "cancel", namespace, server)
    for change in ({"cancel": True}, {"cancel": False}, {"cancel": None}, {"suspend": None}, {"suspend": True}):
        answer = server.request("PATCH", path, {"spec": change})
        assert answer.status == 200, answer.message


@pytest.mark.feature("admission.stable-refs")
@watched_kinds
def test_what_and_how_can_be_changed(server: ApiServer, namespace: str, kind: Kind) -> None:
    """Every field but sessionRef can be changed on the same object, so a version bump in Git needs no new name."""
    path, before = suspended(kind, "bump", namespace, server)
    text = yaml.safe_dump(before["spec"]).replace("app:1", "app:2")
    spec = {
        **yaml.safe_load(text),
        "backoffLimit": 0,
        "daemonName": "other",
        "secretRef": {"name": "x"},
        "dryRun": True,
    }
    answer = server.request("PATCH", path, {"spec": spec})
    assert answer.status == 200, answer.message
    assert "app:2" in yaml.safe_dump(answer.body["spec"])
    assert answer.body["metadata"]["generation"] == 2


@watched_kinds
def test_first_status_is_seen_before_any_write(server: ApiServer, namespace: str, kind: Kind) -> None:
    """A new object has observedGeneration -1 and the phase Pending, whatever status its creator gave."""
    case = Case("", f"seed-{secrets.token_hex(3)}", kind, None)
    manifest = case.manifest({**BASE_SPECS[kind], "suspend": True}, namespace=namespace)
    manifest["status"] = {"observedGeneration": 1, "phase": "Succeeded"}
    answer = server.request("POST", case.path(namespace=namespace), manifest, dryRun="All")
    assert answer.status == 201, answer.message
    assert answer.body["status"] == {"observedGeneration": -1, "phase": "Pending"}


@watched_kinds
def test_defaults_stay_out_of_booleans_and_lists(server: ApiServer, namespace: str, kind: Kind) -> None:
    """Stored defaults are the documented ones; booleans, daemonName and steps stay as they were written."""
    _, stored = suspended(kind, "defaults", namespace, server)
    given = {**BASE_SPECS[kind], "suspend": True}
    added: dict[Kind, dict[str, Any]] = {
        IMAGE_PULL: {"timeoutSeconds": 600, "imagePullPolicy": "IfNotPresent", "deletionPolicy": "Retain"},
        IMAGE_PUSH: {"timeoutSeconds": 900, "ifExists": "Fail"},
        IMAGE_TAG: {"timeoutSeconds": 120, "ifExists": "Fail"},
        SESSION: {"parallelism": 1, "maxFailedSteps": 0, "historyLimit": 20},
    }
    assert stored["spec"] == {**given, **added[kind], "backoffLimit": 5}


@watched_kinds
def test_objects_are_found_by_their_fields(server: ApiServer, namespace: str, kind: Kind) -> None:
    """Field selectors work on every field that the definition offers."""
    _, stored = suspended(kind, "select", namespace, server, daemonName=f"d-{kind.plural}")
    collection = f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/{kind.plural}"
    found = server.request("GET", collection, fieldSelector=f"spec.daemonName=d-{kind.plural}").body["items"]
    assert [item["metadata"]["uid"] for item in found] == [stored["metadata"]["uid"]]
    for path in kind.selectable_fields:
        assert server.request("GET", collection, fieldSelector=f"{path[1:]}=nothing").body["items"] == []


@pytest.mark.feature("ref.digest")
@pytest.mark.parametrize(
    ("kind", "spec", "status"),
    [
        (IMAGE_PULL, {"image": f"app@{DIGEST}"}, 201),
        (IMAGE_TAG, {"source": f"app@{DIGEST}", "target": "a.example/app"}, 201),
        (IMAGE_TAG, {"source": "app", "target": f"a.example/app@{DIGEST}"}, 422),
        (IMAGE_PUSH, {"image": f"a.example/app@{DIGEST}"}, 422),
    ],
)
def test_digest_at_admission(server: ApiServer, namespace: str, kind: Kind, spec: dict[str, str], status: int) -> None:
    """A digest is taken as what is pulled or tagged, and refused as what is pushed or set."""
    case = Case("", "digest", kind, spec)
    answer = server.request(
        "POST", case.path(namespace=namespace), case.manifest(spec, namespace=namespace), dryRun="All"
    )
    assert answer.status == status


@pytest.mark.parametrize(
    ("kind", "status"),
    [*((kind, FULL_OPERATION_STATUS) for kind in OPERATION_KINDS), (SESSION, FULL_SESSION_STATUS)],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_full_status_is_kept_whole(server: ApiServer, namespace: str, kind: Kind, status: StatusModel) -> None:
    """No field of a status is pruned or refused: what the operator writes is what is stored and read again."""
    path, _ = suspended(kind, "status", namespace, server)
    wire = to_wire(status)
    assert wire.keys() == {str(field.alias) for field in type(status).model_fields.values()}
    answer = server.replace(path, "status", wire)
    assert answer.status == 200, answer.message
    assert answer.body["status"] == wire
    assert answer.body["metadata"]["generation"] == 1
    assert type(status).model_validate(answer.body["status"]) == status


@pytest.fixture(scope="module")
def some_tag(server: ApiServer, namespace: str) -> str:
    """Give the path of an ImageTag that nothing is done with."""
    return suspended(IMAGE_TAG, "reasons", namespace, server)[0]


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.value)
def test_every_reason_can_be_written(server: ApiServer, some_tag: str, reason: Reason) -> None:
    """The pattern of a reason in the definition takes every word of the list, and words it does not know."""
    for word in (reason.value, f"{reason.value}OfTomorrow"):
        error = ErrorStatus(reason=word, reason_class=reason.reason_class, message=reason.sentence, hint=reason.hint)
        answer = server.replace(some_tag, "status", to_wire(OperationStatus(error=error)), dryRun="All")
        assert answer.status == 200, answer.message
