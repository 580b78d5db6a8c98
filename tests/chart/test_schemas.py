"""The check against published schemas does find what is wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.chart import ISSUED, VERSIONS, render
from tests.support.kube_schemas import published

Body = dict[str, Any]


def _set(*path: Any, value: Any) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        here: Any = body
        for key in path[:-1]:
            here = here[key]
        here[path[-1]] = value

    return change


POD = ("spec", "template", "spec")
CASES = {
    "unknown": (_set(*POD, "restartpolicy", value="Always"), "there is no field restartpolicy"),
    "unknown-below-a-list": (_set(*POD, "containers", 0, "imagePullpolicy", value="Never"), "no field imagePullpolicy"),
    "type": (_set("spec", "replicas", value="2"), "'2' is no integer"),
    "bool-for-number": (_set("spec", "replicas", value=True), "True is no integer"),
    "map-of-strings": (_set("metadata", "labels", value={"a": 1}), "1 is no string"),
    "number-or-string": (
        _set("spec", "strategy", "rollingUpdate", "maxSurge", value=[]),
        "[] is no integer",
    ),
    "missing": (_set("spec", "selector", value=None), "None is no object"),
}


@pytest.mark.feature("chart.practices")
@pytest.mark.parametrize("case", CASES)
def test_a_fault_of_a_deployment_is_found(case: str) -> None:
    """Wherever it is."""
    change, words = CASES[case]
    body = copy.deepcopy(render(ISSUED).workload)
    change(body)
    [problem] = published(VERSIONS[-1], "apps/v1", "Deployment").problems(body)
    assert words in problem


@pytest.mark.feature("chart.practices")
def test_a_fault_of_a_certificate_is_found() -> None:
    """By the definition that cert-manager publishes."""
    body = copy.deepcopy(render(ISSUED).one("Certificate", "imageops-client"))
    del body["spec"]["issuerRef"]
    body["spec"]["usages"] = ["client authentication"]
    problems = published(VERSIONS[-1], body["apiVersion"], "Certificate").problems(body)
    assert len(problems) == 2
