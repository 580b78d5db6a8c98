"""The policy example for Kyverno: its form, and what it is about. The integration tests have Kyverno apply it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from imageops.api.kinds import GROUP, IMAGE_PULL, VERSION
from imageops.api.operations import ImagePullSpec
from tests.support.chart import VERSIONS
from tests.support.chart_pages import ROOT
from tests.support.kube_schemas import published


@pytest.fixture
def policy() -> dict[str, Any]:
    """Return the example."""
    text = (ROOT / "examples" / "kyverno" / "signed-images.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def test_it_fits_kyvernos_schema(policy: dict[str, Any]) -> None:
    """Of the release that the page names."""
    assert published(VERSIONS[-1], policy["apiVersion"], policy["kind"]).problems(policy) == []


def test_it_denies_pulls_that_nobody_signed(policy: dict[str, Any]) -> None:
    """Every new or changed ImagePull, by the field that names its image; also when Kyverno cannot be asked."""
    spec = policy["spec"]
    [rule] = spec["matchConstraints"]["resourceRules"]
    assert rule["apiGroups"] == [GROUP]
    assert rule["apiVersions"] == [VERSION]
    assert rule["resources"] == [IMAGE_PULL.plural]
    assert set(rule["operations"]) == {"CREATE", "UPDATE"}
    assert (spec["validationActions"], spec["failurePolicy"]) == (["Deny"], "Fail")
    [images] = spec["images"]
    assert images["expression"] == "[object.spec.image]"
    assert "image" in ImagePullSpec.model_fields
    [validation] = spec["validations"]
    [attestor] = spec["attestors"]
    assert f"images.{images['name']}." in validation["expression"]
    assert f"attestors.{attestor['name']}]" in validation["expression"]
