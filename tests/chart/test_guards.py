"""What the chart refuses, before anything is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart import (
    CHART,
    CRD_CHART,
    EVERYTHING,
    ISSUED,
    MODES,
    VERSIONS,
    ChartRefusedError,
    Values,
    merged,
    render,
)

DAEMON = {"name": "builder", "host": "builder.example.com", "secretName": "builder-client"}


def tcp(**changes: Any) -> Values:
    """Return values of mode tcp with one daemon, changed."""
    daemon = {key: value for key, value in {**DAEMON, **changes}.items() if value is not None}
    return {"daemon": {"mode": "tcp", "tcp": {"daemons": [daemon]}}}


REFUSED: dict[str, tuple[Values, str]] = {
    "latest": ({"image": {"tag": "latest"}}, "latest names another image every day"),
    "latest-engine": ({"daemon": {"dind": {"image": {"tag": "latest"}}}}, r"daemon\.dind\.image\.tag: latest"),
    "tcp-in-dind": ({"daemon": {"tcp": {"daemons": [DAEMON]}}}, "choose one mode"),
    "tcp-in-hostPath": (
        {"daemon": {"mode": "hostPath", "hostPath": {"gid": 1}, "tcp": {"daemons": [DAEMON]}}},
        "choose one mode",
    ),
    "gid-in-dind": ({"daemon": {"hostPath": {"gid": 998}}}, "choose one mode"),
    "gid-in-tcp": (merged(tcp(), {"daemon": {"hostPath": {"gid": 998}}}), "choose one mode"),
    "no-gid": ({"daemon": {"mode": "hostPath"}}, r"hostPath\.gid is needed"),
    "root-gid": ({"daemon": {"mode": "hostPath", "hostPath": {"gid": 0}}}, "takes root"),
    "no-daemons": ({"daemon": {"mode": "tcp"}}, r"daemons is needed in mode tcp"),
    "plain-port": (tcp(port=2375), "2375 is the port without TLS"),
    "plain-port-issued": (merged(tcp(port=2375, secretName=None), {"certManager": {"enabled": True}}), "2375"),
    "no-certificates": (tcp(secretName=None), "there is no TLS without certificates"),
    "two-certificates": (merged(tcp(), {"certManager": {"enabled": True}}), "exclude each other"),
    "twice": ({"daemon": {"mode": "tcp", "tcp": {"daemons": [DAEMON, DAEMON]}}}, "stands there twice"),
    "certificates-in-dind": ({"certManager": {"enabled": True}}, "only mode tcp has certificates"),
    "two-dind": ({"replicas": 2}, "mode dind has one pod"),
    "two-hostPath": (merged(MODES["hostPath"], {"replicas": 2}), "mode hostPath has one pod"),
    "user-namespace-in-dind": ({"hostUsers": False}, "does not work in mode dind"),
    "no-account": ({"serviceAccount": {"create": False}}, r"serviceAccount\.name is needed"),
}


@pytest.mark.feature("chart.schema")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_dangerous_or_contradictory_is_refused(case: str) -> None:
    """In words that name the value and what to do."""
    values, words = REFUSED[case]
    with pytest.raises(ChartRefusedError, match=words):
        render(values)


MALFORMED: dict[str, Values] = {
    "mode": {"daemon": {"mode": "socket"}},
    "two-modes": {"daemon": {"mode": ["dind", "tcp"]}},
    "digest": {"image": {"digest": "sha256:short"}},
    "tag": {"image": {"tag": "a b"}},
    "port": tcp(port=70000),
    "address": tcp(host="tcp://builder.example.com"),
    "unverified": tcp(tlsVerify=False),
    "insecure": {"daemon": {"tcp": {"insecureSkipTLSVerify": True}}},
    "proxy-password": {"daemon": {"dind": {"proxy": {"httpProxy": "http://user:password@proxy.example.com"}}}},
    "mirror-password": {"daemon": {"dind": {"registryMirrors": ["https://user:password@mirror.example.com"]}}},
    "relative-socket": {"daemon": {"hostPath": {"socket": "docker.sock"}}},
    "log-level": {"logLevel": "chatty"},
    "cidr": {"networkPolicy": {"registries": {"cidrs": ["10.0.0.0"]}}},
    "everybody-may-read-metrics": {"networkPolicy": {"metricsFrom": []}},
    "every-name-server": {"networkPolicy": {"dns": []}},
    "namespace-pattern": {"rbac": {"namespaces": ["team-*"]}},
    "own-label": {"commonLabels": {"app.kubernetes.io/name": "other"}},
    "own-setting": {"extraEnv": [{"name": "IMAGEOPS_DAEMONS", "value": "default=tcp://anywhere:2375"}]},
    "security-context": {"securityContext": {"privileged": True}},
    "replicas": {"replicas": "two"},
    "lease": {"daemon": {"tcp": {"leaseDurationSeconds": 1}}},
}


@pytest.mark.feature("chart.schema")
@pytest.mark.parametrize("case", MALFORMED)
def test_what_the_schema_does_not_have_is_refused(case: str) -> None:
    """Nothing of it renders."""
    with pytest.raises(ChartRefusedError, match="values don't meet the specifications of the schema"):
        render(MALFORMED[case])


def _tables(values: Values, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = [each for key, value in values.items() if isinstance(value, dict) for each in _tables(value, (*path, key))]
    return [path, *inner]


FREE = {"commonLabels", "podAnnotations", "podLabels", "nodeSelector", "affinity", "annotations", "labels"}


@pytest.mark.feature("chart.schema")
@pytest.mark.parametrize(
    "table", sorted({table for table in _tables(merged(EVERYTHING, ISSUED)) if not FREE & set(table)}), ids=".".join
)
def test_an_unknown_key_is_refused_in_every_table(table: tuple[str, ...]) -> None:
    """A mistyped name never means the default in silence."""
    values: Values = {"unknownKey": 1}
    for key in reversed(table):
        values = {key: values}
    with pytest.raises(ChartRefusedError, match="additional properties 'unknownKey' not allowed"):
        render(values)


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for below in schema.values():
            yield from _nodes(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from _nodes(below)


@pytest.mark.feature("chart.schema")
@pytest.mark.parametrize("chart", [CHART, CRD_CHART], ids=lambda chart: chart.name)
def test_every_table_of_the_schema_is_closed(chart: Path) -> None:
    """But for the variables of a container, which Kubernetes checks; every default fits."""
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    tables = [node for node in _nodes(schema) if "properties" in node and isinstance(node["properties"], dict)]
    still_open = [list(node["properties"]) for node in tables if node.get("additionalProperties") is not False]
    assert still_open == ([["name"]] if chart == CHART else [])
    defaults = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    assert set(defaults) <= set(schema["properties"])


@pytest.mark.feature("chart.schema")
def test_a_user_namespace_takes_a_version_that_knows_it() -> None:
    """An older one would ignore the field, and nobody would notice."""
    values = merged(MODES["tcp"], {"hostUsers": False})
    with pytest.raises(ChartRefusedError, match=r"takes Kubernetes 1\.33"):
        render(values, version="1.32")
    for version in VERSIONS[1:]:
        assert render(values, version=version).pod["hostUsers"] is False


@pytest.mark.parametrize("version", ["1.30", "1.31"])
def test_a_version_without_selectable_fields_is_refused(version: str) -> None:
    """The definitions need them."""
    with pytest.raises(ChartRefusedError, match="incompatible with Kubernetes"):
        render(version=version)
