"""The chart on a real API server: what it admits, what upgrades and uninstalls do, and the rights it gives."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from devcluster import parts
from devcluster.env import Environment
from devcluster.ports import free_ports
from imageops.api.kinds import IMAGE_PULL, OPERATION_KINDS, SESSION
from imageops.engine.connection import DaemonTls
from tests.integration.conftest import MakeImage
from tests.support.admission import Answer, ApiServer
from tests.support.certificates import make_tls_files
from tests.support.chart import CHART, EVERYTHING, ISSUED, MODES, NAMESPACE, Object, Rendered, Values, merged, render
from tests.support.clients import Client, program
from tests.support.control_plane import private_control_plane
from tests.support.engines import private_engine
from tests.support.kube_schemas import definition
from tests.support.objects import Objects, reason
from tests.support.operator_process import OperatorProcess
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

OTHERS = (
    ("cert-manager.io", "Certificate"),
    ("cert-manager.io", "Issuer"),
    ("monitoring.coreos.com", "PrometheusRule"),
    ("monitoring.coreos.com", "ServiceMonitor"),
)
"""Kinds of other projects that the chart has objects of."""
LEVELS = ("restricted", "baseline", "privileged")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class Plane:
    """An API server with nobody's objects but the test's."""

    api: ApiServer
    kubeconfig: str
    kubeconfig_operator: str
    home: Path

    def helm(self, namespace: str = NAMESPACE) -> Client:
        """Return Helm, for a namespace of this API server."""
        return Client(program(parts.HELM_4), self.kubeconfig, namespace, self.home)

    def path(self, body: Object) -> str:
        """Return where an object belongs."""
        group = "/api" if "/" not in body["apiVersion"] else "/apis"
        prefix = f"{group}/{body['apiVersion']}"
        [kind] = [
            each
            for each in self.api.request("GET", prefix).body["resources"]
            if each["kind"] == body["kind"] and "/" not in each["name"]
        ]
        namespace = f"/namespaces/{body['metadata'].get('namespace', NAMESPACE)}" if kind["namespaced"] else ""
        return f"{prefix}{namespace}/{kind['name']}/{body['metadata']['name']}"

    def apply(self, body: Object, **parameters: str) -> Answer:
        """Apply an object from the server's side, with strict field validation."""
        return self.api.request("APPLY", self.path(body), body, fieldManager="test", **parameters)

    def make_namespace(self, name: str, **labels: str) -> None:
        """Make a namespace; labels are those of Pod Security."""
        prefixed = {f"pod-security.kubernetes.io/{key}": value for key, value in labels.items()}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": prefixed}}
        assert self.apply(body).status in {200, 201}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """Run an API server that knows the kinds of cert-manager and Prometheus Operator."""
    with private_control_plane() as own, closing(ApiServer(own.kubeconfig)) as api:
        plane = Plane(api, own.kubeconfig, own.kubeconfig_operator, tmp_path_factory.mktemp("home"))
        for group, kind in OTHERS:
            assert plane.apply(definition(group, kind)).status == 201
        plane.make_namespace(NAMESPACE)
        for name in ("team-a", "team-b"):
            plane.make_namespace(name)
        yield plane


VARIANTS: dict[str, Values] = {
    **{mode: merged(values, EVERYTHING) for mode, values in MODES.items()},
    "issued": merged(ISSUED, EVERYTHING, {"rbac": {"namespaces": ["team-a", "team-b"]}}),
}


@pytest.mark.feature("chart.practices", "chart.modes")
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_api_server_takes_every_object_of_the_chart(plane: Plane, variant: str) -> None:
    """With all options set: applied without a warning, in a dry run with strict validation."""
    for body in render(VARIANTS[variant], crds=True).objects:
        if body["kind"] == "Pod":
            continue  # its ServiceAccount is not there in a dry run; the next test has it
        answer = plane.apply(body, dryRun="All")
        assert (answer.status in {200, 201}, answer.message, answer.warnings) == (True, "", ()), body["kind"]


def pods(rendered: Rendered, namespace: str) -> tuple[Object, Object]:
    """Return the operator's pod and that of `helm test`, as their controllers would create them."""
    template = copy.deepcopy(rendered.workload["spec"]["template"])
    if rendered.workload["kind"] == "StatefulSet":
        template["spec"]["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": "data"}})
    metadata = {"name": "operator", "namespace": namespace, "labels": template["metadata"]["labels"]}
    test = copy.deepcopy(rendered.one("Pod"))
    test["metadata"]["namespace"] = namespace
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}, test


@pytest.mark.feature("chart.modes", "image.hardened")
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("mode", MODES)
def test_pod_security_admits_what_the_chart_says_it_admits(plane: Plane, mode: str, level: str) -> None:
    """Mode tcp at every level, the others at privileged only; the test's pod at every level. Kubernetes judges."""
    namespace = f"{mode.lower()}-{level}"
    plane.make_namespace(namespace, enforce=level)
    rendered = render(MODES[mode])
    for account in rendered.all("ServiceAccount"):
        here = {**account, "metadata": {**account["metadata"], "namespace": namespace}}
        assert plane.apply(here).status in {200, 201}
    operator, test = pods(rendered, namespace)
    answer = plane.apply(operator, dryRun="All")
    if mode == "tcp" or level == "privileged":
        assert (answer.status, answer.message) == (201, "")
    else:
        assert answer.status == 403
        assert f'violates PodSecurity "{level}:latest"' in answer.message
        assert 'container "operator"' not in answer.message  # its own container is restricted in every mode
    answer = plane.apply(test, dryRun="All")
    assert (answer.status, answer.message) == (201, "")


@pytest.mark.feature("chart.modes", "chart.schema")
@pytest.mark.parametrize("mode", MODES)
def test_an_installation_that_could_never_start_is_refused(plane: Plane, mode: str) -> None:
    """Where the namespace would refuse the pods; Helm would wait for them in vain."""
    namespace = f"refusing-{mode.lower()}"
    plane.make_namespace(namespace, enforce="baseline")
    words = ("install", "imageops", str(CHART), "--dry-run=server", "--values=-", "--set=crds.enabled=false")
    done = plane.helm(namespace).run(*words, stdin=json.dumps(MODES[mode]), good={0, 1})
    if mode == "tcp":
        assert done.code == 0, done.said
    else:
        assert done.code == 1
        assert f"needs Pod Security level privileged, and namespace {namespace} enforces baseline" in done.said


@pytest.mark.feature("chart.crds", "delivery.rollback")
def test_an_upgrade_upgrades_the_definitions_and_nothing_removes_them(plane: Plane, tmp_path: Path) -> None:
    """Objects live through upgrade, roll-back and uninstallation."""
    newer = tmp_path / "imageops"
    shutil.copytree(CHART, newer)
    file = newer / "charts" / "imageops-crds" / "files" / "imagepulls.imageops.dev.yaml"
    changed = yaml.safe_load(file.read_text(encoding="utf-8"))
    changed["spec"]["names"]["shortNames"].append("pulled")
    file.write_text(yaml.safe_dump(changed), encoding="utf-8")

    def short_names() -> list[str]:
        names: list[str] = plane.api.request("GET", f"{CRDS}/imagepulls.imageops.dev").body["spec"]["names"][
            "shortNames"
        ]
        return names

    helm, values = plane.helm(), json.dumps(MODES["tcp"])
    helm.run("install", "imageops", str(CHART), "--values=-", stdin=values)
    for kind in (*OPERATION_KINDS, SESSION):
        plane.api.wait_until_served(kind)
    objects = Objects(plane.api, "team-a")
    uid = objects.create(IMAGE_PULL, "kept", {"image": "registry.example.com/app:1"})["metadata"]["uid"]
    before = short_names()
    helm.run("upgrade", "imageops", str(newer), "--values=-", stdin=values)
    assert short_names() == [*before, "pulled"]
    helm.run("rollback", "imageops")
    assert short_names() == before
    helm.run("uninstall", "imageops")
    assert plane.api.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments").body["items"] == []
    assert objects.get(IMAGE_PULL, "kept")["metadata"]["uid"] == uid
    helm.run("install", "imageops", str(CHART), "--values=-", "--set=rbac.create=false", stdin=values)
    assert objects.get(IMAGE_PULL, "kept")["metadata"]["uid"] == uid
    helm.run("uninstall", "imageops")


def prepare(plane: Plane, namespace: str) -> Rendered:
    """Give the operator's user what the chart gives its ServiceAccount in a namespace, and nothing else."""
    rendered = render({"rbac": {"namespaces": [namespace]}}, crds=True)
    for body in rendered.all("CustomResourceDefinition"):
        assert plane.apply(body, force="true").status in {200, 201}
    for kind in (*OPERATION_KINDS, SESSION):
        plane.api.wait_until_served(kind)
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "imageops-operator"}
    for bound in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        for body in rendered.all(bound):
            given = {**body, "subjects": [user]} if bound.endswith("Binding") else body
            if not body["metadata"]["name"].endswith("-test"):
                assert plane.apply(given).status in {200, 201}
    return rendered


def smoke(plane: Plane, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run what `helm test` runs."""
    own = {"KUBECONFIG": plane.kubeconfig, "TEST_NAME": "imageops-test", "TEST_NAMESPACE": "team-a"}
    return subprocess.run(
        [sys.executable, str(CHART / "files" / "smoke.py")],
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.feature("rbac.secrets", "chart.modes")
def test_an_operator_with_rights_in_one_namespace_works_there_and_nowhere_else(
    plane: Plane,
    cluster: Environment,
    containerd: EngineUnderTest,
    make_image: MakeImage,
    tmp_path: Path,
) -> None:
    """By the rights and settings that the chart gives; the test of `helm test` passes, and says why if it cannot."""
    rendered = prepare(plane, "team-a")
    settings = {"IMAGEOPS_NAMESPACES": rendered.environment["IMAGEOPS_NAMESPACES"]}
    daemons = f"default={containerd.address}"
    operator = OperatorProcess(plane.kubeconfig_operator, daemons, tmp_path / "log", settings)
    image = make_image().reference
    other = Objects(plane.api, "team-b")
    other.create(IMAGE_PULL, "unseen", {"image": image})
    operator.start()
    try:
        done = smoke(plane, TEST_IMAGE=image, TEST_PUSH_TO=f"{cluster.registry_target}/smoke/{Path(image).name}")
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.split()[0] for line in done.stdout.splitlines()] == ["ImagePull", "ImageTag", "ImagePush"]
        failed = smoke(plane, TEST_IMAGE=f"{cluster.registry}/no/such:image")
        assert failed.returncode == 1
        assert "ImageNotFound" in failed.stderr
        assert other.get(IMAGE_PULL, "unseen")["status"] == {"observedGeneration": -1, "phase": "Pending"}
    finally:
        assert operator.stop() == 0
    assert "403" not in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.feature("chart.certificates")
def test_renewed_certificates_are_used_without_a_restart(plane: Plane, make_image: MakeImage, tmp_path: Path) -> None:
    """An operator whose certificates another authority signed waits, and goes on when the right ones arrive."""
    right, wrong = make_tls_files(tmp_path / "right"), make_tls_files(tmp_path / "wrong")
    (port,) = free_ports(1)
    folder = tmp_path / "daemons" / "secured"
    folder.mkdir(parents=True)

    def deliver(files: DaemonTls) -> None:
        for name, file in (("ca.crt", files.ca), ("tls.crt", files.certificate), ("tls.key", files.key)):
            shutil.copy(file, folder / name)

    deliver(wrong.client)
    prepare(plane, "team-b")
    objects = Objects(plane.api, "team-b")
    settings = {"IMAGEOPS_DAEMON_CERTS": str(folder.parent), "IMAGEOPS_NAMESPACES": "team-b"}
    daemons = f"secured=tcp://127.0.0.1:{port}"
    operator = OperatorProcess(plane.kubeconfig_operator, daemons, tmp_path / "log", settings)
    verified = ("--tlsverify", f"--tlscacert={right.client.ca}", f"--tlscert={right.server}")
    with private_engine("default", options=(*verified, f"--tlskey={right.server_key}", f"--host={daemons[8:]}")):
        operator.start()
        try:
            objects.create(IMAGE_PULL, "secured", {"image": make_image().reference})
            objects.wait(IMAGE_PULL, "secured", lambda body: reason(body) == "DaemonUnavailable")
            deliver(right.client)
            assert reason(objects.wait_finished(IMAGE_PULL, "secured")) == "Pulled"
        finally:
            assert operator.stop() == 0
