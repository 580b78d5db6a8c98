"""Render the chart with the real Helm, as an installation would."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from devcluster import parts
from tests.support.clients import program
from tests.support.kube_schemas import KUBERNETES

CHARTS = Path(__file__).parents[2] / "charts"
CHART = CHARTS / "imageops"
CRD_CHART = CHART / "charts" / "imageops-crds"
RELEASE = "imageops"
NAMESPACE = "imageops-system"
VERSIONS = tuple(KUBERNETES)
RENDER_SECONDS = 60

Values = Mapping[str, Any]
Object = dict[str, Any]

MODES: Mapping[str, Values] = {
    "dind": {},
    "hostPath": {"daemon": {"mode": "hostPath", "hostPath": {"gid": 998}}},
    "tcp": {
        "daemon": {
            "mode": "tcp",
            "tcp": {"daemons": [{"name": "builder", "host": "builder.example.com", "secretName": "builder-client"}]},
        }
    },
}
"""The least values of each mode."""

ISSUED: Values = {
    "certManager": {"enabled": True},
    "daemon": {
        "mode": "tcp",
        "tcp": {
            "daemons": [
                {"name": "builder", "host": "builder.example.com"},
                {"name": "arm", "host": "10.1.2.3", "port": 2377, "cidrs": ["10.1.2.3/32"]},
            ]
        },
    },
}
"""Two daemons behind TCP, for which cert-manager issues the certificates."""

EVERYTHING: Values = {
    "commonLabels": {"team": "platform"},
    "crds": {"commonLabels": {"team": "platform"}},
    "imagePullSecrets": [{"name": "pull"}],
    "image": {"digest": f"sha256:{64 * 'a'}"},
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True},
    },
    "networkPolicy": {
        "apiServer": {"cidrs": ["10.0.0.1/32"], "port": 443},
        "registries": {"ports": [443, 5000], "cidrs": ["10.9.0.0/16"]},
        "extraEgress": [{"ports": [{"port": 3128}], "to": [{"ipBlock": {"cidr": "10.8.0.1/32"}}]}],
    },
    "podAnnotations": {"example.com/owner": "platform"},
    "podLabels": {"example.com/tier": "operations"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
            }
        }
    },
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "imageops"}},
        }
    ],
    "serviceAccount": {"annotations": {"example.com/role": "images"}},
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}],
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}, "data": {"a": "b"}}
    ],
    "test": {"pushTo": "registry.example.com/imageops:test"},
}
"""Every option that all modes have, set."""

DIND_OPTIONS: Values = {
    "registryMirrors": ["https://mirror.example.com"],
    "insecureRegistries": ["registry.example.com:5000", "10.9.0.0/16"],
    "caConfigMap": "authorities",
    "proxy": {
        "httpProxy": "http://proxy.example.com:3128",
        "httpsProxy": "http://proxy.example.com:3128",
        "noProxy": "registry.example.com,10.9.0.0/16",
    },
    "persistence": {"size": "200Gi", "storageClassName": "fast", "whenDeleted": "Delete"},
}
"""Every option of the Engine in mode dind, set."""


class ChartRefusedError(Exception):
    """Helm did not render the chart; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a release would be made of."""

    objects: tuple[Object, ...]

    def all(self, kind: str) -> list[Object]:
        """Return all objects of a kind."""
        return [body for body in self.objects if body["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Object:
        """Return the only object of a kind, or of this name."""
        [body] = [body for body in self.all(kind) if name in {None, body["metadata"]["name"]}]
        return body

    @property
    def workload(self) -> Object:
        """The StatefulSet or Deployment."""
        [body] = [*self.all("StatefulSet"), *self.all("Deployment")]
        return body

    @property
    def pod(self) -> Object:
        """The operator's pod."""
        spec: Object = self.workload["spec"]["template"]["spec"]
        return spec

    @property
    def operator(self) -> Object:
        """The operator's container."""
        [container] = self.pod["containers"]
        return dict(container)

    @property
    def engine(self) -> Object:
        """The side-car of mode dind."""
        [container] = self.pod["initContainers"]
        return dict(container)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the operator's container that have a plain value."""
        return {each["name"]: each["value"] for each in self.operator["env"]}


def merged(*layers: Values) -> Values:
    """Return values of which later ones replace earlier ones, tables merged, as Helm merges files."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return result


def render(*layers: Values, version: str = VERSIONS[-1], crds: bool = False) -> Rendered:
    """Render the chart with values, for a minor version of Kubernetes.

    The definitions, which are most of its text, are left out unless `crds`.

    Raises:
        ChartRefusedError: The schema or a guard refuses the values.
    """
    return Rendered(_rendered(json.dumps(merged({"crds": {"enabled": crds}}, *layers)), version, CHART))


def render_crds(version: str = VERSIONS[-1]) -> Rendered:
    """Render the chart that has the definitions alone."""
    return Rendered(_rendered("{}", version, CRD_CHART))


@cache
def _rendered(values: str, version: str, chart: Path) -> tuple[Object, ...]:
    output = helm("template", RELEASE, str(chart), f"--kube-version={version}.0", "--values=-", stdin=values)
    documents = yaml.load_all(output, yaml.CSafeLoader)
    return tuple(document for document in documents if document)


def helm(*words: str, stdin: str = "") -> str:
    """Run Helm in the namespace of the release, and return what it printed.

    Raises:
        ChartRefusedError: It ended badly.
    """
    command: Sequence[str] = [str(program(parts.HELM_4)), *words, f"--namespace={NAMESPACE}"]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=RENDER_SECONDS, check=False)
    if done.returncode:
        raise ChartRefusedError(done.stderr)
    return done.stdout
