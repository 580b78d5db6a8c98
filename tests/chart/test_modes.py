"""What every mode is made of, on every supported version of Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.support.chart import (
    CHART,
    DIND_OPTIONS,
    EVERYTHING,
    ISSUED,
    MODES,
    NAMESPACE,
    VERSIONS,
    Rendered,
    Values,
    render,
)
from tests.support.kube_schemas import published

VARIANTS: dict[str, list[Values]] = {
    **{mode: [values] for mode, values in MODES.items()},
    "dind-all": [EVERYTHING, {"daemon": {"dind": DIND_OPTIONS}}],
    "hostPath-all": [MODES["hostPath"], EVERYTHING, {"rbac": {"namespaces": ["team-a", "team-b"]}}],
    "tcp-all": [ISSUED, EVERYTHING],
    "tcp-issuer": [ISSUED, {"certManager": {"issuerRef": {"name": "corporate", "kind": "ClusterIssuer"}}}],
    "dind-without-volume": [{"daemon": {"dind": {"persistence": {"enabled": False}}}}],
}

SITUATIONS = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted((CHART / "ci").iterdir())}
"""Values of whoever installs the chart somewhere; what tests of charts in CI look for."""

everywhere = pytest.mark.parametrize("version", VERSIONS)
each_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def rendered(mode: str, version: str) -> Rendered:
    """Return the objects of a mode with nothing else set."""
    return render(MODES[mode], version=version)


@pytest.mark.feature("chart.practices", "chart.modes")
@everywhere
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_object_fits_the_schema_of_its_kind(variant: str, version: str) -> None:
    """As this version of Kubernetes, cert-manager and Prometheus Operator publish them; no field is unknown."""
    rendered = render(*VARIANTS[variant], version=version, crds=variant == "dind-all")
    problems = [
        problem
        for body in rendered.objects
        for problem in published(version, body["apiVersion"], body["kind"]).problems(body)
    ]
    assert problems == []


@pytest.mark.feature("chart.practices")
@pytest.mark.parametrize(
    ("situation", "version"),
    [
        (name, version)
        for name, values in SITUATIONS.items()
        for version in VERSIONS
        if version != "1.32" or values.get("hostUsers") is not False  # user namespaces take 1.33
    ],
)
def test_a_situation_of_users_renders_to_objects_that_fit(situation: str, version: str) -> None:
    """Each file of values on every version that has what it asks for."""
    for body in render(SITUATIONS[situation], version=version).objects:
        assert published(version, body["apiVersion"], body["kind"]).problems(body) == []


@everywhere
@pytest.mark.parametrize("variant", VARIANTS)
def test_no_two_objects_have_one_name(variant: str, version: str) -> None:
    """Kind, namespace and name are an object's place; all but cluster-wide ones say their namespace."""
    objects = render(*VARIANTS[variant], version=version).objects
    places = [(body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"]) for body in objects]
    assert len(places) == len(set(places))
    wide = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    without = {kind for kind, namespace, name in places if namespace is None and not name.endswith("-extra")}
    assert without <= wide


@pytest.mark.feature("chart.modes", "chart.dind-volume", "chart.defaults")
@everywhere
@each_mode
def test_a_mode_has_its_workload(rendered: Rendered, mode: str) -> None:
    """Only tcp has two pods, a Lease and a disruption budget; only dind has a volume."""
    shape = (rendered.workload["kind"], rendered.workload["spec"]["replicas"])
    assert shape == {"dind": ("StatefulSet", 1), "hostPath": ("Deployment", 1), "tcp": ("Deployment", 2)}[mode]
    assert bool(rendered.all("PodDisruptionBudget")) == (mode == "tcp")
    assert ("IMAGEOPS_LEASE_NAME" in rendered.environment) == (mode == "tcp")
    assert bool(rendered.workload["spec"].get("volumeClaimTemplates")) == (mode == "dind")
    assert bool(rendered.pod.get("initContainers")) == (mode == "dind")
    assert [volume["name"] for volume in rendered.pod["volumes"] if "hostPath" in volume] == (
        ["socket"] if mode == "hostPath" else []
    )


@pytest.mark.feature("chart.modes", "image.hardened")
@everywhere
@each_mode
def test_the_operators_container_is_restricted(rendered: Rendered) -> None:
    """Not root, nothing writable, no capability, the runtime's seccomp profile: in every mode the same."""
    assert rendered.operator["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    context = rendered.pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (True, 65532, 65532)
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        assert forbidden not in rendered.pod


@pytest.mark.feature("rbac.secrets")
@everywhere
@each_mode
def test_the_operators_token_is_in_its_own_container_only(rendered: Rendered) -> None:
    """Whoever gets into the privileged Engine's container finds no right to read Secrets there."""
    assert rendered.pod["automountServiceAccountToken"] is False
    name = rendered.pod["serviceAccountName"]
    [account] = [one for one in rendered.all("ServiceAccount") if one["metadata"]["name"] == name]
    assert account["automountServiceAccountToken"] is False
    token = {
        volume["name"]
        for volume in rendered.pod["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        if "serviceAccountToken" in source
    }
    containers = [*rendered.pod["containers"], *rendered.pod.get("initContainers", [])]
    holders = [one["name"] for one in containers if token & {mount["name"] for mount in one["volumeMounts"]}]
    assert (len(token), holders) == (1, ["operator"])


@pytest.mark.feature("chart.defaults")
@everywhere
@each_mode
def test_every_container_has_requests_limits_and_a_probe(rendered: Rendered) -> None:
    """Probes go to the pod's own address: none names a host."""
    for container in [*rendered.pod["containers"], *rendered.pod.get("initContainers", [])]:
        for amounts in (container["resources"]["requests"], container["resources"]["limits"]):
            assert {"cpu", "memory"} <= set(amounts)
        assert "livenessProbe" in container
    probes = {name: rendered.operator[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")}
    assert probes == {
        "livenessProbe": {"path": "/healthz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }
    assert "IMAGEOPS_HEALTH_HOST" not in rendered.environment


@everywhere
@each_mode
def test_selectors_find_the_operators_pods_and_no_others(rendered: Rendered) -> None:
    """Those of the workload, the Service, the NetworkPolicy and the budget; the test's pod is none of them."""
    labels = rendered.workload["spec"]["template"]["metadata"]["labels"]
    selectors = [
        rendered.workload["spec"]["selector"]["matchLabels"],
        rendered.one("Service")["spec"]["selector"],
        rendered.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(budget["spec"]["selector"]["matchLabels"] for budget in rendered.all("PodDisruptionBudget")),
    ]
    other: dict[str, Any] = rendered.one("Pod")["metadata"]["labels"]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= other.items()


@pytest.mark.feature("chart.modes")
@everywhere
@each_mode
def test_there_is_a_test_that_pulls_tags_and_pushes(mode: str, version: str) -> None:
    """As a hook of `helm test`, with a restricted pod and rights on three kinds in one namespace."""
    rendered = render(MODES[mode], {"test": {"pushTo": "registry.example.com/a:1"}}, version=version)
    pod = rendered.one("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    [rules] = [role["rules"] for role in rendered.all("Role") if role["metadata"]["name"].endswith("-test")]
    assert rules == [
        {
            "apiGroups": ["imageops.dev"],
            "resources": ["imagepulls", "imagepushes", "imagetags"],
            "verbs": ["get", "create", "delete"],
        }
    ]
    assert {"name": "TEST_PUSH_TO", "value": "registry.example.com/a:1"} in pod["spec"]["containers"][0]["env"]


@everywhere
@each_mode
def test_all_of_it_is_in_the_releases_namespace(rendered: Rendered) -> None:
    """Unless another one is named."""
    namespaces = {body["metadata"].get("namespace") for body in rendered.objects}
    assert namespaces == {None, NAMESPACE}
