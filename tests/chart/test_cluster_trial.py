"""What the trial on other people's clusters applies is taken by the chart, the kinds and Kubernetes' own schemas."""

from __future__ import annotations

import pytest
import yaml

from imageops.api.kinds import by_kind
from tests.support.chart import VERSIONS, render
from tests.support.chart_pages import ROOT
from tests.support.kube_schemas import published

CI = ROOT / ".ci"


@pytest.mark.parametrize("version", VERSIONS)
def test_its_objects_fit_their_schemas(version: str) -> None:
    """In every version of Kubernetes that the chart is for."""
    for body in yaml.safe_load_all((CI / "cluster-trial-objects.yaml").read_text(encoding="utf-8")):
        assert published(version, body["apiVersion"], body["kind"]).problems(body) == []


def test_its_values_are_taken_by_the_chart() -> None:
    """The pod has the image that the workflow loads, and never looks for it elsewhere."""
    values = yaml.safe_load((CI / "cluster-trial-values.yaml").read_text(encoding="utf-8"))
    operator = render(values).operator
    assert (operator["image"], operator["imagePullPolicy"]) == ("docker.io/library/imageops:trial", "Never")


def test_its_session_promotes_between_its_registries() -> None:
    """Both of which the Engine may speak to without TLS."""
    body = yaml.safe_load((CI / "cluster-trial-session.yaml").read_text(encoding="utf-8"))
    by_kind(body["kind"]).spec_model.model_validate(body["spec"])
    [step] = body["spec"]["steps"]
    hosts = [reference.partition("/")[0] for reference in step["promote"].values()]
    values = yaml.safe_load((CI / "cluster-trial-values.yaml").read_text(encoding="utf-8"))
    assert hosts == values["daemon"]["dind"]["insecureRegistries"]
