"""Read the operator's metrics as Prometheus does."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.support.operator_process import OperatorProcess


def total(operator: OperatorProcess, name: str, **labels: str) -> int:
    """Return the sum of a counter over all its series with these labels."""
    samples = [
        sample for family in text_string_to_metric_families(operator.read("metrics")) for sample in family.samples
    ]
    return sum(int(one.value) for one in samples if one.name == name and labels.items() <= one.labels.items())
