"""The file for K3s's folder of manifests."""

from __future__ import annotations

import pytest
import yaml

from tests.support.chart import VERSIONS, render
from tests.support.chart_pages import ROOT
from tests.support.kube_schemas import published

EXAMPLE = ROOT / "examples" / "k3s" / "imageops.yaml"
BODIES = {body["kind"]: body for body in yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8"))}


@pytest.mark.feature("chart.k3s")
@pytest.mark.parametrize("version", VERSIONS)
def test_its_values_are_taken_by_the_chart(version: str) -> None:
    """By the schema and the guards, and they come to the pods."""
    values = yaml.safe_load(BODIES["HelmChart"]["spec"]["valuesContent"])
    [claim] = render(values, version=version).workload["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "local-path"


@pytest.mark.feature("chart.k3s")
@pytest.mark.parametrize("kind", BODIES)
def test_its_objects_fit_their_schemas(kind: str) -> None:
    """Kubernetes' own, and that of K3s's Helm controller."""
    body = BODIES[kind]
    assert published(VERSIONS[-1], body["apiVersion"], kind).problems(body) == []


@pytest.mark.feature("chart.k3s", "chart.modes")
def test_it_installs_this_chart_where_its_pods_are_allowed() -> None:
    """The version of the tree, in a namespace of level privileged."""
    spec, chart = BODIES["HelmChart"]["spec"], yaml.safe_load((ROOT / "charts/imageops/Chart.yaml").read_text("utf-8"))
    assert (spec["chart"].rpartition("/")[2], spec["version"]) == (chart["name"], chart["version"])
    namespace = BODIES["Namespace"]["metadata"]
    assert namespace["name"] == spec["targetNamespace"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
