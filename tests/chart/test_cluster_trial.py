"""The values of the trial on other people's clusters are taken by the chart."""

from __future__ import annotations

import pytest
import yaml

from tests.support.chart import render
from tests.support.chart_pages import ROOT


@pytest.mark.feature("chart.network")
def test_its_engine_may_reach_the_trials_registries() -> None:
    """As pods of a namespace: where they are in the cluster's network is different on each."""
    values = yaml.safe_load((ROOT / ".ci" / "cluster-trial-values.yaml").read_text(encoding="utf-8"))
    policy = render(values).one("NetworkPolicy")
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "imageops-trial-registries"}}}
    assert {"to": [peer], "ports": [{"port": 5000}]} in policy["spec"]["egress"]
    script = (ROOT / ".ci" / "cluster-trial").read_text(encoding="utf-8")
    assert "for namespace in imageops-trial imageops-trial-registries " in script
