"""The options of the pods and of all objects."""

from __future__ import annotations

import json

import pytest

from tests.support.chart import CHART, CRD_CHART, EVERYTHING, ISSUED, MODES, VERSIONS, helm, render

everywhere = pytest.mark.parametrize("version", VERSIONS)
each_mode = pytest.mark.parametrize("mode", MODES)


@pytest.mark.feature("chart.practices")
@everywhere
@each_mode
def test_what_users_set_reaches_the_pods(mode: str, version: str) -> None:
    """Placement, priority, labels, annotations, variables and pull Secrets."""
    rendered = render(MODES[mode], EVERYTHING, version=version)
    placement = ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName")
    for name in (*placement, "imagePullSecrets"):
        assert rendered.pod[name] == EVERYTHING[name]
    metadata = rendered.workload["spec"]["template"]["metadata"]
    assert metadata["labels"]["example.com/tier"] == "operations"
    assert metadata["annotations"]["example.com/owner"] == "platform"
    assert rendered.environment["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert rendered.workload["spec"]["revisionHistoryLimit"] == 5


@pytest.mark.feature("chart.practices")
@everywhere
@each_mode
def test_common_labels_are_on_every_object(mode: str, version: str) -> None:
    """Those of the hooks are left alone: they live for a minute."""
    rendered = render(MODES[mode], EVERYTHING, version=version)
    for body in rendered.objects:
        if body["metadata"]["name"].endswith(("-test", "-extra")):
            continue
        assert body["metadata"]["labels"]["team"] == "platform", body["metadata"]["name"]
    assert rendered.workload["spec"]["template"]["metadata"]["labels"]["team"] == "platform"


@pytest.mark.feature("chart.practices")
@each_mode
def test_further_objects_are_part_of_the_release(mode: str) -> None:
    """With templates in them."""
    assert render(MODES[mode], EVERYTHING).one("ConfigMap", "imageops-extra")["data"] == {"a": "b"}


@pytest.mark.feature("chart.practices")
@each_mode
def test_names_and_the_namespace_can_be_others(mode: str) -> None:
    """A long name is cut so that no suffix makes it too long, and nothing ends in a dash."""
    rendered = render(MODES[mode], {"namespaceOverride": "elsewhere"})
    assert {body["metadata"].get("namespace") for body in rendered.objects} == {None, "elsewhere"}
    assert render(MODES[mode], {"nameOverride": "images"}).workload["metadata"]["name"] == "imageops-images"
    long = render(MODES[mode], MODES["tcp"] if mode == "tcp" else {}, {"fullnameOverride": 12 * "long-" + "name"})
    for body in long.objects:
        name = body["metadata"]["name"]
        assert len(name) <= 63 or body["kind"] == "CustomResourceDefinition"
        assert not name.endswith("-")


@pytest.mark.feature("chart.defaults")
@everywhere
def test_the_disruption_budget_goes_with_two_replicas(version: str) -> None:
    """One pod with a budget of one could never be drained."""
    assert render(MODES["tcp"], version=version).one("PodDisruptionBudget")["spec"]["minAvailable"] == 1
    for values in ({"replicas": 1}, {"podDisruptionBudget": {"enabled": False}}):
        assert render(MODES["tcp"], values, version=version).all("PodDisruptionBudget") == []


@pytest.mark.feature("chart.practices")
@pytest.mark.parametrize("values", [*MODES.values(), ISSUED, EVERYTHING], ids=[*MODES, "issued", "everything"])
def test_helms_own_linter_finds_nothing(values: dict[str, object]) -> None:
    """Strictly, with the values of every mode."""
    helm("lint", str(CHART), "--strict", "--values=-", stdin=json.dumps(values))
    helm("lint", str(CRD_CHART), "--strict")


@pytest.mark.feature("chart.modes")
@each_mode
def test_the_notes_say_what_a_mode_costs(mode: str) -> None:
    """And the Pod Security level that it needs."""
    words = ["install", "imageops", str(CHART), "--dry-run=client", "--values=-"]
    notes = helm(*words, stdin=json.dumps(MODES[mode])).partition("NOTES:")[2]
    level, cost = {
        "dind": ("privileged", "who takes it over owns the node"),
        "hostPath": ("privileged", "as good as root"),
        "tcp": ("restricted", "outside the cluster's own rules"),
    }[mode]
    assert f"has to allow: {level}" in notes
    assert cost in notes
