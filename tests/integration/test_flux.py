"""Flux applies our objects from a source and waits for them; its own controller, without health check expressions."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import parts
from devcluster.env import Environment
from imageops.api.kinds import IMAGE_PULL, SESSION, Kind
from tests.integration.conftest import MakeImage, Measured
from tests.support.admission import ApiServer
from tests.support.clients import MakeClient, manifest
from tests.support.flux import SYSTEM, Flux, condition, running_flux
from tests.support.objects import Body, finished
from tests.support.sops import EXAMPLE as SOPS_FOLDER
from tests.support.sops import Vault
from tests.support.states import Course, Stage, State

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "flux" / "kustomizations.yaml"
EXAMPLE_OF_SOPS = yaml.safe_load((SOPS_FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))["spec"]
"""For Flux to see the end of an object, look at all the others and say so, on a busy machine; its timeout is 20 min."""


@pytest.fixture(scope="module")
def flux(api: ApiServer, make_client: MakeClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flux]:
    """Run Flux's controller."""
    with running_flux(api, make_client(parts.KUBECTL, SYSTEM), tmp_path_factory.mktemp("artifacts")) as found:
        yield found


def example(name: str) -> dict[str, Any]:
    """Return the spec of a Kustomization of the example, but for where it gets its files."""
    listed = yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8"))
    [spec] = [one["spec"] for one in listed if one["metadata"]["name"] == name]
    return {key: value for key, value in spec.items() if key != "sourceRef"}


Give = Callable[..., str]


@pytest.fixture
def give(flux: Flux, stage: Stage) -> Iterator[Give]:
    """Return a function that creates a Kustomization of the example for the stage's namespace, and returns its name."""
    made: list[str] = []

    def create(part: str, source: str, **fields: Any) -> str:
        name = f"{source}-{part}"
        flux.create(name, source, **example(part) | {"targetNamespace": stage.objects.namespace} | fields)
        made.append(name)
        return name

    yield create
    stage.let_go()
    for name in reversed(made):
        flux.delete(name)


def pull(stage: Stage, name: str, course: Course) -> Body:
    """Return an ImagePull on a course, as Git holds it."""
    return {
        "apiVersion": "imageops.dev/v1alpha1",
        "kind": "ImagePull",
        "metadata": {"name": name},
        "spec": stage.spec(IMAGE_PULL, course),
    }


def session(stage: Stage, name: str, course: Course) -> Body:
    """Return a Session on a course."""
    return pull(stage, name, course) | {"kind": "Session", "spec": stage.spec(SESSION, course)}


def files(**bodies: Body) -> dict[str, str]:
    """Return files of the two folders of the example: `images_x` is the object of images/x.yaml."""
    return {f"./{key.replace('_', '/')}.yaml": manifest(body) for key, body in bodies.items()}


def wait_applied(stage: Stage, kind: Kind, name: str) -> None:
    """Return when Flux has applied an object."""
    deadline = time.monotonic() + 60
    while stage.objects.api.request("GET", stage.objects.path(kind, name)).status != 200:
        assert time.monotonic() < deadline, f"{kind.kind} {name} was not applied"
        time.sleep(0.05)


@pytest.mark.feature("gitops.waits")
def test_a_kustomization_is_ready_when_the_last_object_is(
    flux: Flux, give: Give, stage: Stage, measured: Measured
) -> None:
    """Not before, although everything is applied: the seed of a new object's status already keeps Flux waiting."""
    stage.hold_up()
    revision = flux.publish(
        "good",
        files(images_pull=pull(stage, "good", Course.RUNS), images_session=session(stage, "good", Course.RUNS)),
    )
    name = give("images", "good")
    for kind in (IMAGE_PULL, SESSION):
        wait_applied(stage, kind, "good")
        stage.objects.wait(kind, "good", lambda body: body["status"]["phase"] == "Running", seconds=60)
    flux.wait(name, lambda body: condition(body, "Reconciling").get("reason") == "Progressing")
    assert condition(flux.get(name)).get("status") == "Unknown"
    stage.let_go()
    for kind in (IMAGE_PULL, SESSION):
        stage.objects.wait_finished(kind, "good", seconds=60)
    ended = time.monotonic()
    flux.wait_ready(name, revision)
    measured(f"Flux, success: Ready {time.monotonic() - ended:.2f} s after the end of the last object")


@pytest.mark.feature("gitops.waits")
@pytest.mark.parametrize("make", [pull, session], ids=["ImagePull", "Session"])
def test_a_kustomization_fails_with_the_object_that_failed(
    flux: Flux,
    give: Give,
    stage: Stage,
    measured: Measured,
    make: Callable[[Stage, str, Course], Body],
) -> None:
    """Long before its timeout, and says which it was."""
    source = f"bad-{make.__name__}"
    stage.hold_up()
    body = make(stage, source, Course.RUNS_TO_FAIL)
    flux.publish(source, files(images_bad=body, images_good=pull(stage, "fine", Course.SUCCEEDS)))
    name = give("images", source)
    kind = SESSION if make is session else IMAGE_PULL
    wait_applied(stage, kind, source)
    stage.wait(kind, source, State.RUNNING)
    stage.let_go()
    stage.objects.wait_finished(kind, source, seconds=60)
    ended = time.monotonic()
    failed = flux.wait(name, lambda found: condition(found).get("reason") == "HealthCheckFailed")
    measured(f"Flux, failure of the {kind.kind}: told {time.monotonic() - ended:.2f} s after its end")
    assert f"{kind.kind}/{stage.objects.namespace}/{source}" in condition(failed)["message"]


@pytest.mark.feature("gitops.waits")
def test_what_depends_on_the_images_is_applied_after_them(flux: Flux, give: Give, stage: Stage) -> None:
    """Until then there is nothing of it in the cluster."""
    stage.hold_up()
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "data": {"image": "new"}}
    revision = flux.publish(
        "ordered",
        files(images_pull=pull(stage, "ordered", Course.RUNS)) | {"./app/settings.yaml": yaml.safe_dump(settings)},
    )
    images = give("images", "ordered")
    app = give("app", "ordered", dependsOn=[{"name": "ordered-images"}])
    wait_applied(stage, IMAGE_PULL, "ordered")
    stage.wait(IMAGE_PULL, "ordered", State.RUNNING)
    flux.wait(app, lambda body: condition(body).get("reason") == "DependencyNotReady")
    path = f"/api/v1/namespaces/{stage.objects.namespace}/configmaps/app"
    assert stage.objects.api.request("GET", path).status == 404
    stage.let_go()
    flux.wait_ready(images, revision)
    flux.wait_ready(app, revision)
    assert stage.objects.api.request("GET", path).status == 200


@pytest.mark.feature("gitops.waits", "gitops.reapply")
def test_a_new_version_in_the_source_is_one_run_that_is_waited_for(flux: Flux, give: Give, stage: Stage) -> None:
    """Of the same object; a revision that changes nothing of it runs nothing."""
    first = pull(stage, "bumped", Course.SUCCEEDS)
    revision = flux.publish("bumped", files(images_pull=first))
    name = give("images", "bumped")
    flux.wait_ready(name, revision)
    uid = stage.objects.get(IMAGE_PULL, "bumped")["metadata"]["uid"]

    stage.hold_up()
    second = pull(stage, "bumped", Course.RUNS)
    revision = flux.publish("bumped", files(images_pull=second))
    stage.objects.wait(IMAGE_PULL, "bumped", lambda body: body["status"]["run"] == 2 and not finished(body))
    flux.wait(name, lambda body: (body["status"].get("lastAttemptedRevision")) == revision)
    assert flux.get(name)["status"]["lastAppliedRevision"] != revision
    stage.let_go()
    flux.wait_ready(name, revision)
    body = stage.objects.get(IMAGE_PULL, "bumped")
    assert (body["metadata"]["uid"], body["status"]["run"], body["spec"]["image"]) == (uid, 2, second["spec"]["image"])

    revision = flux.publish("bumped", files(images_pull=second) | {"./README.md": "nothing that is applied"})
    flux.wait_ready(name, revision)
    assert stage.objects.get(IMAGE_PULL, "bumped")["status"] == body["status"]


@pytest.fixture
def vault(flux: Flux, tmp_path: Path) -> Iterator[Vault]:
    """Return a folder with a key, whose private half the cluster has as the page on credentials says."""
    made = Vault(tmp_path)
    path = f"/api/v1/namespaces/{SYSTEM}/secrets"
    name = EXAMPLE_OF_SOPS["decryption"]["secretRef"]["name"]
    body = {"metadata": {"name": name}, "stringData": {"age.agekey": made.key.read_text(encoding="utf-8")}}
    assert flux.api.request("POST", path, body).status == 201
    yield made
    flux.api.request("DELETE", f"{path}/{name}")


@pytest.mark.feature("delivery.secrets")
def test_flux_decrypts_the_credential_that_opens_a_registry(
    flux: Flux,
    give: Give,
    stage: Stage,
    vault: Vault,
    cluster: Environment,
    make_image: MakeImage,
) -> None:
    """From a source that shows none to a pull that is Ready."""
    pair = cluster.registry_auth_user, cluster.registry_auth_password
    image = make_image(registry=cluster.registry_auth, credentials=pair)
    config = json.dumps({"auths": {image.registry: dict(zip(("username", "password"), pair, strict=True))}})
    encrypted = vault.encrypt(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "registry"},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(config.encode()).decode()},
        }
    )
    body = pull(stage, "private", Course.SUCCEEDS)
    body["spec"] |= {"image": f"{image.registry}/{image.repository}:{image.tag}", "secretRef": {"name": "registry"}}
    published = files(images_pull=body) | {"./images/secret.yaml": encrypted}
    assert all(word not in "".join(published.values()) for word in pair)
    revision = flux.publish("private", published)
    name = give("images", "private", decryption=EXAMPLE_OF_SOPS["decryption"])
    flux.wait_ready(name, revision)
    status = stage.objects.get(IMAGE_PULL, "private")["status"]
    assert (status["phase"], status["auth"]["secretRef"]["name"]) == ("Succeeded", "registry")
