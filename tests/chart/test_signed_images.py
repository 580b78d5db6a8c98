"""The policy example for Kyverno: its form, and what it is about. The integration tests have Kyverno apply it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from imageops.api.kinds import GROUP, IMAGE_PULL, SESSION, VERSION, Kind
from tests.support.chart import VERSIONS
from tests.support.chart_pages import ROOT
from tests.support.kube_schemas import published

EXAMPLE = ROOT / "examples" / "kyverno" / "signed-images.yaml"
POLICIES: dict[str, dict[str, Any]] = {
    body["spec"]["matchConstraints"]["resourceRules"][0]["resources"][0]: body
    for body in yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8"))
}
"""By the kind that each is about."""


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_it_fits_kyvernos_schema(policy: dict[str, Any]) -> None:
    """Of the release that the page names."""
    assert published(VERSIONS[-1], policy["apiVersion"], policy["kind"]).problems(policy) == []


@pytest.mark.parametrize("kind", [IMAGE_PULL, SESSION], ids=lambda kind: kind.kind)
def test_it_denies_pulls_that_nobody_signed(kind: Kind) -> None:
    """Every new or changed object; also when Kyverno cannot be asked."""
    spec = POLICIES[kind.plural]["spec"]
    [rule] = spec["matchConstraints"]["resourceRules"]
    assert rule["apiGroups"] == [GROUP]
    assert rule["apiVersions"] == [VERSION]
    assert rule["resources"] == [kind.plural]
    assert set(rule["operations"]) == {"CREATE", "UPDATE"}
    assert (spec["validationActions"], spec["failurePolicy"]) == (["Deny"], "Fail")
    [images] = spec["images"]
    [validation] = spec["validations"]
    [attestor] = spec["attestors"]
    assert f"images.{images['name']}." in validation["expression"]
    assert f"attestors.{attestor['name']}]" in validation["expression"]
