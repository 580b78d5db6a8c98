"""The objects for Prometheus and Grafana, and that they speak of metrics which the operator has."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from imageops.telemetry.metrics import Metrics
from tests.support.chart import EVERYTHING, MODES, VERSIONS, render

RUNBOOKS = Path(__file__).parents[2] / "docs" / "alerts.md"
MONITORED = {
    "metrics": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    }
}
WORDS = re.compile(r"[a-z_]*(?:imageops|controller_runtime|leader_election)_[a-z_]+(?={)")

everywhere = pytest.mark.parametrize("version", VERSIONS)
each_mode = pytest.mark.parametrize("mode", MODES)


def samples() -> set[str]:
    """Return the names of all samples that the operator can show; a metric with labels shows some once it has them."""
    metrics = Metrics()
    for metric in vars(metrics).values():
        names = getattr(metric, "_labelnames", ())
        if names:
            metric.labels(*names)
    text = metrics.exposition().decode()
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


@pytest.mark.feature("chart.monitoring")
@everywhere
@each_mode
def test_one_value_each_switches_them_on(mode: str, version: str) -> None:
    """And they are off by default, as their kinds may not be there."""
    rendered = render(MODES[mode], MONITORED, version=version)
    [endpoint] = rendered.one("ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == (rendered.one("Service")["spec"]["ports"][0]["name"], "/metrics")
    [group] = rendered.one("PrometheusRule")["spec"]["groups"]
    assert len(group["rules"]) >= 10
    assert rendered.one("ConfigMap", "imageops-dashboard")["metadata"]["labels"]["grafana_dashboard"] == "1"
    plain = render(MODES[mode], version=version)
    assert plain.all("ServiceMonitor") == plain.all("PrometheusRule") == []
    assert "imageops-dashboard" not in {each["metadata"]["name"] for each in plain.all("ConfigMap")}


@pytest.mark.feature("chart.monitoring")
def test_alerts_are_about_this_release_and_metrics_that_exist() -> None:
    """Each with a severity, a summary, and a section of the runbook."""
    [group] = render(MONITORED).one("PrometheusRule")["spec"]["groups"]
    known, sections = samples(), set(re.findall(r"^## (\w+)$", RUNBOOKS.read_text(encoding="utf-8"), re.MULTILINE))
    for rule in group["rules"]:
        names = set(WORDS.findall(rule["expr"]))
        assert names <= known, rule["alert"]
        assert names or "up{" in rule["expr"]
        assert "SCOPE" not in rule["expr"]
        assert rule["expr"].count('{namespace="imageops-system",service="imageops"') == rule["expr"].count("{")
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
        assert rule["annotations"]["runbook_url"].endswith(f"#{rule['alert'].lower()}")
    assert {rule["alert"] for rule in group["rules"]} == sections


@pytest.mark.feature("chart.monitoring")
def test_the_dashboard_shows_metrics_that_exist() -> None:
    """In panels with names, none over another."""
    dashboard: dict[str, Any] = json.loads(
        render(MONITORED).one("ConfigMap", "imageops-dashboard")["data"]["imageops.json"]
    )
    known = samples()
    places = set()
    for panel in dashboard["panels"]:
        expressions = [target["expr"] for target in panel["targets"]]
        assert all(names and set(names) <= known for names in map(WORDS.findall, expressions)), panel["title"]
        where = panel["gridPos"]
        columns, lines = (range(where[at], where[at] + where[size]) for at, size in (("x", "w"), ("y", "h")))
        places |= set(itertools.product(columns, lines))
    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in dashboard["panels"])
    assert len(dashboard["panels"]) >= 12


@pytest.mark.feature("chart.monitoring")
def test_ones_prometheus_and_grafana_find_them() -> None:
    """By the labels that they select."""
    rendered = render(EVERYTHING)
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert rendered.one(kind)["metadata"]["labels"]["release"] == "prometheus"
