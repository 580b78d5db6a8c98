"""The table of practices says what is true, and the generated pages are current."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from imageops.api.kinds import OPERATION_KINDS, SESSION
from tests.support.argo_health import SETTING, settings
from tests.support.chart import CHART, EVERYTHING, ISSUED, MODES, NAMESPACE, ChartRefusedError, Values, render
from tests.support.chart_pages import PRACTICES, ROOT, VALUES, documented, pages, practices
from tests.support.workflows import PINNED, job, used

TCP = MODES["tcp"]
RELEASE = job("release", "publish")
ROWS = practices(PRACTICES.read_text(encoding="utf-8"))


def has(kind: str, *layers: Values) -> bool:
    """Tell whether a release has an object of a kind."""
    return bool(render(*layers, crds=True).all(kind))


def refuses(values: Values) -> bool:
    """Tell whether values are refused."""
    try:
        render(values)
    except ChartRefusedError:
        return True
    return False


def metadata() -> Mapping[str, Any]:
    """Return Chart.yaml."""
    found: Mapping[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    return found


def kept() -> bool:
    """Tell whether every definition is kept on uninstall."""
    definitions = render(crds=True).all("CustomResourceDefinition")
    return all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in definitions)


def in_namespaces() -> bool:
    """Tell whether rights can be given without a cluster-wide binding."""
    rendered = render({"rbac": {"namespaces": ["team-a"]}})
    return not rendered.all("ClusterRoleBinding") and bool(rendered.all("Role"))


def signed(variable: str) -> bool:
    """Tell whether a release signs what a variable of its step names."""
    return any("cosign sign " in step.get("run", "") and variable in step["env"] for step in RELEASE.steps)


def attested(subject: str, *, sbom: bool) -> bool:
    """Tell whether a release attests the contents of image or chart, or else where it comes from."""
    attestations = [step["with"] for step in RELEASE.steps if step.get("uses", "").startswith("actions/attest@")]
    return any(f"steps.{subject}." in one["subject-digest"] and ("sbom-path" in one) is sbom for one in attestations)


DONE: Mapping[int, Callable[[], object]] = {
    1: lambda: refuses({"unknownKey": 1}),
    2: lambda: len(list(documented(VALUES.read_text(encoding="utf-8")))) > 50,
    3: lambda: len(list((ROOT / "tests" / "chart").glob("test_*.py"))) >= 8,
    4: lambda: "ct lint " in job("chart", "lint").script,
    5: lambda: "kind" in job("e2e", "trial").body["strategy"]["matrix"]["cluster"],
    6: lambda: len(list((CHART / "ci").glob("*-values.yaml"))) >= 6,
    7: lambda: has("CustomResourceDefinition") and not (CHART / "crds").exists(),
    8: kept,
    10: lambda: render().one("Pod")["metadata"]["annotations"]["helm.sh/hook"] == "test",
    11: lambda: has("PodDisruptionBudget", TCP),
    12: lambda: has("ServiceMonitor", EVERYTHING),
    13: lambda: render(EVERYTHING).one("PrometheusRule")["spec"]["groups"][0]["rules"],
    14: lambda: render(EVERYTHING).one("ConfigMap", "imageops-dashboard")["data"],
    15: lambda: has("NetworkPolicy"),
    17: lambda: render(TCP, {"hostUsers": False}).pod["hostUsers"] is False,
    18: lambda: all(render(values).operator["resources"]["requests"] for values in MODES.values()),
    19: lambda: all("livenessProbe" in render(values).operator for values in MODES.values()),
    20: lambda: all("readinessProbe" in render(values).operator for values in MODES.values()),
    21: lambda: render(EVERYTHING).pod["priorityClassName"],
    22: lambda: render(TCP).pod["topologySpreadConstraints"],
    23: lambda: render().workload["spec"]["revisionHistoryLimit"],
    24: lambda: "@sha256:" in render(EVERYTHING).operator["image"],
    25: lambda: render(EVERYTHING).workload["metadata"]["labels"]["team"],
    26: lambda: render({"namespaceOverride": "elsewhere"}).workload["metadata"]["namespace"] != NAMESPACE,
    27: lambda: render(EVERYTHING).one("ConfigMap", "imageops-extra"),
    28: lambda: (
        {"imageops-edit", "imageops-view"} <= {role["metadata"]["name"] for role in render().all("ClusterRole")}
    ),
    29: in_namespaces,
    30: lambda: refuses({"image": {"tag": "latest"}}) and refuses({"replicas": 2}),
    31: lambda: metadata()["kubeVersion"],
    32: lambda: (CHART / "templates" / "NOTES.txt").read_text(encoding="utf-8"),
    33: lambda: "helm push " in job("release", "publish").script,
    34: lambda: signed("CHART"),
    35: lambda: attested("chart", sbom=False),
    36: lambda: signed("IMAGE") and attested("image", sbom=True) and attested("image", sbom=False),
    37: lambda: {"artifacthub.io/license", "artifacthub.io/crds"} <= set(metadata()["annotations"]),
    38: lambda: "ah lint " in job("chart", "lint").script,
    39: lambda: all(PINNED.fullmatch(name) for name in used() if not name.startswith("./")),
    40: lambda: "scorecard-action@" in str(job("scorecard", "analysis").steps),
    41: (ROOT / "examples" / "k3s" / "imageops.yaml").exists,
    42: lambda: all(f"{SETTING}{kind.kind}" in settings() for kind in (*OPERATION_KINDS, SESSION)),
}
"""Shows each practice that the table says is done."""


@pytest.mark.feature("chart.practices")
def test_the_table_has_all_practices_and_names_files_that_exist() -> None:
    """Nothing is counted as done that is not shown to be."""
    assert [row.number for row in ROWS] == list(range(1, 43))
    assert {row.number for row in ROWS if row.mark == "✓"} == set(DONE)
    for row in ROWS:
        assert row.files or row.mark == "-", row.text
        assert [file for file in row.files if "*" not in file and not (ROOT / file).exists()] == []


@pytest.mark.feature("chart.practices")
@pytest.mark.parametrize("number", DONE)
def test_a_practice_that_counts_is_there(number: int) -> None:
    """In what Helm renders, where it shows there."""
    assert DONE[number]()


@pytest.mark.feature("chart.practices")
def test_pages_say_what_the_chart_and_the_table_say() -> None:
    """`make generate` writes them."""
    assert [page.name for page, text in pages().items() if page.read_text(encoding="utf-8") != text] == []


@pytest.mark.feature("chart.practices")
def test_every_value_has_a_comment() -> None:
    """Of its own, or of the table that it is an example in."""

    def leaves(values: Mapping[str, Any], path: str = "") -> list[str]:
        found = []
        for key, value in values.items():
            here = f"{path}{key}"
            found += leaves(value, f"{here}.") if isinstance(value, dict) and value else [here]
        return found

    explained = [path for path, _ in documented(VALUES.read_text(encoding="utf-8"))]
    without = [
        leaf
        for leaf in leaves(yaml.safe_load(VALUES.read_text(encoding="utf-8")))
        if not any(leaf == path or leaf.startswith(f"{path}.") for path in explained)
    ]
    assert without == []


def test_artifact_hub_and_the_definitions_name_the_same_kinds() -> None:
    """Those that users write."""
    listed = yaml.safe_load(metadata()["annotations"]["artifacthub.io/crds"])
    assert {each["kind"] for each in listed} == {kind.kind for kind in (*OPERATION_KINDS, SESSION)}
    assert has("Certificate", ISSUED)
