"""The alerts, run by Prometheus' own tool on series that should and should not make them fire."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import parts
from tests.support.chart import NAMESPACE, RELEASE, Object, render
from tests.support.clients import program

CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("alerts.yaml").read_text(encoding="utf-8"))
LABELS = f'namespace="{NAMESPACE}",service="{RELEASE}"'
PROMTOOL_SECONDS = 60


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    command = [str(program(parts.PROMTOOL)), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PROMTOOL_SECONDS, check=False)


@pytest.fixture
def group() -> Object:
    """Return the alerts of a release, as Prometheus reads them."""
    [group] = render({"metrics": {"prometheusRule": {"enabled": True}}}).one("PrometheusRule")["spec"]["groups"]
    return dict(group)


def expected(rule: Object, labels: dict[str, str]) -> Object:
    """Return what an alert says when it fires with these labels."""

    def filled(text: str) -> str:
        for name, value in labels.items():
            text = text.replace(f"{{{{ $labels.{name} }}}}", value)
        return text

    return {
        "exp_labels": {**labels, **rule["labels"]},
        "exp_annotations": {name: filled(text) for name, text in rule["annotations"].items()},
    }


@pytest.mark.feature("chart.monitoring")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["fires"] or "none")
def test_an_alert_fires_when_it_should_and_only_then(case: dict[str, Any], group: Object, tmp_path: Path) -> None:
    """With its sentences filled in."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": [group]}), encoding="utf-8")
    alerts = [
        {
            "eval_time": case["at"],
            "alertname": rule["alert"],
            "exp_alerts": [expected(rule, case.get("labels", {}))] if rule["alert"] == case["fires"] else [],
        }
        for rule in group["rules"]
        if rule["alert"] == case["fires"] or case["fires"] is None
    ]
    series = [{"series": name.replace("{L", f"{{{LABELS}"), "values": value} for name, value in case["series"].items()]
    cases = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": alerts}],
    }
    file = tmp_path / "cases.yaml"
    file.write_text(yaml.safe_dump(cases), encoding="utf-8")
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.feature("chart.monitoring")
def test_every_alert_has_a_case(group: Object) -> None:
    """And promtool finds no fault of form."""
    assert {case["fires"] for case in CASES} == {None, *(rule["alert"] for rule in group["rules"])}
