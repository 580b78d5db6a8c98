"""An operator for chosen namespaces, whose tenants take its rights away, and namespaces that are deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from devcluster.env import Environment
from devcluster.install import install
from devcluster.kubernetes import OPERATOR
from imageops.api.kinds import IMAGE_PULL, OPERATION_KINDS, SESSION
from tests.integration.conftest import MakeImage
from tests.support.admission import ApiServer
from tests.support.control_plane import private_control_plane
from tests.support.metrics import total
from tests.support.objects import Objects, reason
from tests.support.operator_process import OperatorProcess
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

SECONDS = 60.0
RBAC = "/apis/rbac.authorization.k8s.io/v1"
TEAMS = ("team-a", "team-b")


@dataclass(slots=True)
class _Site:
    a: Objects
    b: Objects
    operator: OperatorProcess

    def binding(self, namespace: str) -> str:
        """Return the path of what gives the operator its rights in a namespace."""
        return f"{RBAC}/namespaces/{namespace}/rolebindings/imageops-operator"


@pytest.fixture
def site(cluster: Environment, tmp_path: Path) -> Iterator[_Site]:
    """Give two namespaces with an operator that has rights there and nowhere else."""
    with private_control_plane(controllers=True) as plane:
        install(Path(plane.kubeconfig))
        api = ApiServer(plane.kubeconfig)
        for kind in (*OPERATION_KINDS, SESSION):
            api.wait_until_served(kind)
        assert api.request("DELETE", f"{RBAC}/clusterrolebindings/imageops-operator").status == 200
        for team in TEAMS:
            assert api.request("POST", "/api/v1/namespaces", {"metadata": {"name": team}}).status == 201
            _bind(api, team)
        settings = {"IMAGEOPS_NAMESPACES": ",".join(TEAMS)}
        operator = OperatorProcess(
            plane.kubeconfig_operator, cluster.imageops_daemons, tmp_path / "operator.log", settings
        )
        operator.start()
        a = Objects(api, "team-a")
        try:
            yield _Site(a, replace(a, namespace="team-b"), operator)
        finally:
            operator.stop()
            api.close()


def _bind(api: ApiServer, namespace: str) -> None:
    body = {
        "metadata": {"name": "imageops-operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "imageops-operator"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": OPERATOR}],
    }
    assert api.request("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", body).status == 201


def _await(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.feature("health.unreadable", "pull.deletion-policy")
def test_a_namespace_goes_with_the_rights_of_the_operator_in_it(site: _Site, make_image: MakeImage) -> None:
    """Nothing hangs, nothing else stops; the loss shows in /readyz, a metric and one line of the log."""
    spec = {"image": make_image().reference, "deletionPolicy": "Delete"}
    body = site.b.run(IMAGE_PULL, "app", spec)
    assert (reason(body), body["metadata"].get("finalizers")) == ("Pulled", None)
    pid, api = site.operator.pid, site.b.api
    assert site.operator.read("readyz") == "ok\n"
    assert api.request("DELETE", site.binding("team-b")).status == 200
    assert api.request("DELETE", "/api/v1/namespaces/team-b").status == 200
    _await(lambda: api.request("GET", "/api/v1/namespaces/team-b").status == 404, "team-b is still there")
    degraded = "degraded: no right to list and watch in namespace team-b\n"
    _await(lambda: site.operator.read("readyz") == degraded, "/readyz does not say so")
    assert site.operator.is_ready()
    assert total(site.operator, "imageops_watch_places_refused") == 1
    assert reason(site.a.run(IMAGE_PULL, "other", {"image": make_image().reference})) == "Pulled"
    refused = total(site.operator, "imageops_watch_failures_total")
    _await(lambda: total(site.operator, "imageops_watch_failures_total") > refused + 8, "it is not asked again")
    log = site.operator.log.read_text(encoding="utf-8")
    assert log.count("no right to list and watch in namespace team-b") == 1
    told = [line for line in log.splitlines() if '"level": "debug"' not in line]
    assert not [line for line in told if "HTTP 403" in line or "Request attempt" in line]
    assert api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "team-b"}}).status == 201
    _bind(api, "team-b")
    _await(lambda: site.operator.read("readyz") == "ok\n", "/readyz does not say that it is over")
    assert reason(site.b.run(IMAGE_PULL, "app", spec)) in {"Pulled", "AlreadyPresent"}
    assert site.operator.pid == pid


@pytest.mark.feature("pull.deletion-policy")
def test_without_a_finalizer_an_image_goes_after_its_object(
    site: _Site, make_image: MakeImage, containerd: EngineUnderTest
) -> None:
    """As long as the operator hears of the deletion, and unless another object asks for it; an old finalizer goes."""
    image = make_image()
    spec = {"image": image.reference, "deletionPolicy": "Delete"}
    site.a.run(IMAGE_PULL, "app", spec)
    site.b.run(IMAGE_PULL, "app", spec)
    site.a.delete(IMAGE_PULL, "app")
    site.a.wait_gone(IMAGE_PULL, "app")
    assert reason(site.a.run(IMAGE_PULL, "later", {"image": make_image().reference})) == "Pulled"
    assert containerd.daemon.inspect(image.reference) is not None
    site.b.patch(IMAGE_PULL, "app", {"metadata": {"finalizers": ["imageops.dev/image"]}})
    site.b.wait(IMAGE_PULL, "app", lambda body: "finalizers" not in body["metadata"])
    site.b.delete(IMAGE_PULL, "app")
    site.b.wait_gone(IMAGE_PULL, "app")
    _await(lambda: containerd.daemon.inspect(image.reference) is None, "the image is still there")


@pytest.mark.feature("pull.deletion-policy")
def test_a_namespace_goes_with_its_images_under_an_operator_of_the_cluster(
    objects: Objects, make_image: MakeImage, containerd: EngineUnderTest
) -> None:
    """The finalizer holds it until the image is removed, and no longer."""
    image = make_image()
    body = objects.run(IMAGE_PULL, "app", {"image": image.reference, "deletionPolicy": "Delete"})
    assert body["metadata"]["finalizers"] == ["imageops.dev/image"]
    namespace = f"/api/v1/namespaces/{objects.namespace}"
    assert objects.api.request("DELETE", namespace).status == 200
    _await(lambda: objects.api.request("GET", namespace).status == 404, "the namespace is still there")
    assert containerd.daemon.inspect(image.reference) is None
