"""Install the chart on a node with the real Helm, and look at what then runs there."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from devcluster.images import PushedImage
from e2e.environment import Environment
from tests.support.admission import ApiServer
from tests.support.chart import CHART, NAMESPACE, RELEASE, Values, merged
from tests.support.clients import Client, Done

HELM_SECONDS = 300
POD_SECONDS = 240.0
_POLL_SECONDS = 0.2
_SELECTOR = "app.kubernetes.io/name=imageops,app.kubernetes.io/component=operator"
_PROC = Path("/proc")
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_NOT_OF_A_RELEASE = ("Event", "Namespace", "PersistentVolume", "APIService")
_OF_EVERY_NAMESPACE = ("default", "kube-root-ca.crt")

Body = dict[str, Any]


def image_values(node: Environment) -> Values:
    """Return the values that name the images at hand; nothing else is ever pulled by the kubelet."""
    operator, _, operator_tag = node.operator_image.rpartition(":")
    return {"image": {"repository": operator, "tag": operator_tag, "pullPolicy": "Never"}}


def merged_values(node: Environment, *more: Values) -> Values:
    """Return what every mode needs on the node, and more."""
    return merged(image_values(node), network_values(node), *more)


def network_values(node: Environment) -> Values:
    """Return the values of a network whose API server and registries are at private addresses."""
    ports = [int(registry.rpartition(":")[2]) for registry in (node.registry, node.registry_target)]
    return {
        "networkPolicy": {
            "apiServer": {"port": node.api_server_port},
            "registries": {"ports": ports, "cidrs": [node.pods]},
            "extraEgress": [{"to": [{"ipBlock": {"cidr": f"{node.address}/32"}}]}],  # what tests put before a registry
        }
    }


def smoke_values(node: Environment, image: PushedImage) -> Values:
    """Return the values of `helm test`: an image at hand, and a registry to push it to."""
    return {"test": {"image": image.reference, "pushTo": f"{node.registry_target}/smoke/{image.repository}:1"}}


def engine_values(node: Environment) -> Values:
    """Return the values of mode dind: an Engine of our own making, and registries without TLS."""
    engine, _, engine_tag = node.engine_image.rpartition(":")
    dind = {"image": {"repository": engine, "tag": engine_tag}, "insecureRegistries": [node.pods]}
    return {"daemon": {"mode": "dind", "dind": {**dind, "persistence": {"size": "1Gi"}}}}


@dataclass(frozen=True, slots=True)
class Installation:
    """A release of the chart in a namespace of the node."""

    node: Environment
    api: ApiServer
    helm: Client
    namespace: str = NAMESPACE
    values: Values = field(default_factory=dict)

    def install(self, *, chart: Path = CHART) -> Done:
        """Install it, and wait until all of it is ready; it takes over definitions that another release left."""
        return self._helm("install", RELEASE, str(chart), "--take-ownership", chart_values=self.values)

    def upgrade(self, values: Values, *, chart: Path = CHART) -> Done:
        """Upgrade it with further values, and wait."""
        return self._helm("upgrade", RELEASE, str(chart), chart_values=merged(self.values, values))

    def rollback(self) -> Done:
        """Return to the revision before, and wait."""
        return self._helm("rollback", RELEASE)

    def test(self) -> Done:
        """Run `helm test`."""
        done = self.helm.start("test", RELEASE, "--logs", f"--timeout={HELM_SECONDS}s").wait(HELM_SECONDS + 30)
        assert done.code == 0, done.said
        return done

    def uninstall(self) -> Done:
        """Remove it, and wait until its objects are gone."""
        return self._helm("uninstall", RELEASE)

    def pods(self) -> list[Body]:
        """List the operator's pods."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        return list(self.api.request("GET", path, labelSelector=_SELECTOR).body["items"])

    def delete_pod(self, name: str) -> None:
        """Delete a pod; its controller makes another."""
        answer = self.api.request("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{name}")
        assert answer.status in {200, 202}, answer.message

    def replace_pod(self) -> None:
        """Delete the only pod, and wait until another one is ready."""
        [pod] = self.pods()
        self.delete_pod(pod["metadata"]["name"])
        self.wait_ready(replaced=pod["metadata"]["uid"])

    def wait_ready(self, replaced: str = "") -> Body:
        """Return the pod when it is ready, and is another one than `replaced`, a uid."""
        [pod] = self.wait_pods(
            lambda pods: len(pods) == 1 and _ready(pods[0]) and pods[0]["metadata"]["uid"] != replaced
        )
        return pod

    def network_policy(self) -> Body:
        """Read the NetworkPolicy of the operator's pods."""
        path = f"/apis/networking.k8s.io/v1/namespaces/{self.namespace}/networkpolicies/{RELEASE}"
        return self.api.request("GET", path).body

    def wait_all_ready(self, count: int) -> None:
        """Return when so many pods are there and all are ready."""
        self.wait_pods(lambda pods: len(pods) == count and all(map(_ready, pods)))

    def leader(self) -> str:
        """Return the name of the pod that holds the Lease."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{RELEASE}"
        identity = str(self.api.request("GET", path).body["spec"]["holderIdentity"])
        return identity.rpartition("_")[0]

    def wait_pods(self, condition: Callable[[list[Body]], bool]) -> list[Body]:
        """Return the pods when they are as wanted."""
        deadline = time.monotonic() + POD_SECONDS
        while not condition(pods := self.pods()):
            assert time.monotonic() < deadline, [pod["status"] for pod in pods]
            time.sleep(_POLL_SECONDS)
        return pods

    def _helm(self, *words: str, chart_values: Values | None = None) -> Done:
        more: tuple[str, ...] = ("--wait", f"--timeout={HELM_SECONDS}s")
        if chart_values is not None:
            file = self.helm.home / "values.json"
            file.write_text(json.dumps(chart_values), encoding="utf-8")
            more = (*more, f"--values={file}")
        done = self.helm.start(*words, *more).wait(HELM_SECONDS + 30)
        assert done.code == 0, f"{done.said}\n{[pod['status'] for pod in self.pods()]}"
        return done


def _ready(pod: Body) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(it["type"] == "Ready" and it["status"] == "True" for it in conditions)


OPERATOR = "/opt/imageops/bin/imageops"
"""The program that the operator's process runs."""
ENGINE = "--config-file=/etc/imageops/engine/daemon.json"
"""What only the side-car's Engine is called with."""


def process_status(argument: str = OPERATOR) -> Mapping[str, str]:
    """Return what the kernel says of the only process on the node that was called with this argument.

    As /proc/<pid>/status has it, as `root` the options with which its root is mounted, and as `mounts` where something
    is mounted.
    """
    found = []
    for folder in (each for each in _PROC.iterdir() if each.name.isdigit()):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            status = (folder / "status").read_text(encoding="utf-8")
            mounts = (folder / "mountinfo").read_text(encoding="utf-8")
        except OSError:  # it has ended meanwhile
            continue
        if argument in words:
            lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            places = {line.split()[4]: line.split()[5] for line in mounts.splitlines()}
            found.append({**lines, "root": places["/"], "mounts": " ".join(places)})
    [only] = found
    return only


def short_names(api: ApiServer) -> list[str]:
    """Return the short names under which ImagePulls are served."""
    body = api.request("GET", f"{_DEFINITIONS}/imagepulls.imageops.dev").body
    return list(body["spec"]["names"]["shortNames"])


def wait_left(api: ApiServer, namespace: str, expected: set[tuple[str, str]]) -> None:
    """Return when these objects, by kind and name, are all that the cluster has of a release or its namespace."""
    deadline = time.monotonic() + POD_SECONDS
    while (left := _left(api, namespace)) != expected:
        assert time.monotonic() < deadline, {"too many": left - expected, "missing": expected - left}
        time.sleep(_POLL_SECONDS)


def _left(api: ApiServer, namespace: str) -> set[tuple[str, str]]:
    groups = [group["preferredVersion"]["groupVersion"] for group in api.request("GET", "/apis").body["groups"]]
    found = set()
    for prefix in ("/api/v1", *(f"/apis/{group}" for group in groups if not group.startswith("imageops.dev/"))):
        for resource in api.request("GET", prefix).body["resources"]:
            if "list" not in resource["verbs"] or resource["kind"] in _NOT_OF_A_RELEASE:
                continue
            path = f"{prefix}/namespaces/{namespace}" if resource["namespaced"] else prefix
            for body in api.request("GET", f"{path}/{resource['name']}").body["items"]:
                name = body["metadata"]["name"]
                if name not in _OF_EVERY_NAMESPACE and (resource["namespaced"] or "imageops" in name):
                    found.add((resource["kind"], name))
    return found


def make_namespace(api: ApiServer, name: str, **labels: str) -> None:
    """Make a namespace; labels are those of Pod Security."""
    prefixed = {f"pod-security.kubernetes.io/{key}": value for key, value in labels.items()}
    answer = api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": prefixed}})
    assert answer.status in {201, 409}, answer.message


def make_volume(api: ApiServer, folder: Path, claim: str, namespace: str = NAMESPACE) -> None:
    """Make a volume for a claim, as a provisioner would."""
    folder.mkdir(parents=True, exist_ok=True)
    body = {
        "metadata": {"name": claim},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": namespace, "name": claim},
        },
    }
    answer = api.request("POST", "/api/v1/persistentvolumes", body)
    assert answer.status == 201, answer.message


def newer_chart(folder: Path) -> Path:
    """Copy the chart as the next version of it, whose definition of ImagePull has one more short name."""
    newer = folder / "imageops"
    shutil.copytree(CHART, newer)
    _change(newer / "Chart.yaml", lambda chart: chart.update(version="99.0.0"))
    definition = newer / "charts" / "imageops-crds" / "files" / "imagepulls.imageops.dev.yaml"
    _change(definition, lambda crd: crd["spec"]["names"]["shortNames"].append("pulled"))
    return newer


def _change(file: Path, change: Callable[[Body], None]) -> None:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
