"""What the operator's pod may be asked by whom, and whom it may ask."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from tests.support.chart import EVERYTHING, ISSUED, MODES, VERSIONS, Rendered, render

everywhere = pytest.mark.parametrize("version", VERSIONS)
each_mode = pytest.mark.parametrize("mode", MODES)

FORBIDDEN = ("169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "fd00:ec2::254")


def allowed(rendered: Rendered, address: str, port: int) -> bool:
    """Tell whether the policy lets the pod reach an address that no pod has."""
    rules: list[dict[str, Any]] = rendered.one("NetworkPolicy")["spec"]["egress"]
    return any(
        port in [each["port"] for each in rule["ports"]]
        and ("to" not in rule or any(_within(peer, address) for peer in rule["to"]))
        for rule in rules
    )


def _within(peer: dict[str, Any], address: str) -> bool:
    block = peer.get("ipBlock")
    if block is None:
        return False
    place = ipaddress.ip_address(address)
    return place in ipaddress.ip_network(block["cidr"]) and not any(
        place in ipaddress.ip_network(part) for part in block.get("except", ())
    )


@pytest.mark.feature("chart.network")
@everywhere
@each_mode
def test_only_metrics_are_asked_for_and_only_what_is_needed_is_asked(mode: str, version: str) -> None:
    """Both directions are denied but for rules; DNS is that of the cluster."""
    policy = render(MODES[mode], version=version).one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    [ingress] = policy["ingress"]
    assert (ingress["ports"], ingress["from"]) == ([{"port": "http", "protocol": "TCP"}], [{"namespaceSelector": {}}])
    ports = sorted({each["port"] for rule in policy["egress"] for each in rule["ports"]})
    assert ports == {"dind": [53, 443, 6443], "hostPath": [53, 6443], "tcp": [53, 2376, 6443]}[mode]
    [dns] = [rule for rule in policy["egress"] if {"port": 53, "protocol": "UDP"} in rule["ports"]]
    assert dns["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]


@pytest.mark.feature("chart.network", "tenancy.private-address")
@everywhere
def test_an_engine_in_the_pod_reaches_public_registries_but_no_private_range(version: str) -> None:
    """Nor the cloud's metadata, at no port that a registry has."""
    rendered = render(version=version)
    assert allowed(rendered, "203.0.113.7", 443)
    assert allowed(rendered, "2600::1", 443)
    for address in FORBIDDEN:
        for port in (80, 443, 5000):
            assert not allowed(rendered, address, port), (address, port)
    assert allowed(rendered, "10.0.0.1", 6443)


@pytest.mark.feature("chart.network")
@everywhere
def test_private_registries_are_reached_where_they_are_listed(version: str) -> None:
    """At the registries' ports; the API server only where it is said to be."""
    rendered = render(EVERYTHING, version=version)
    assert allowed(rendered, "10.9.1.1", 5000)
    assert not allowed(rendered, "10.10.1.1", 5000)
    assert allowed(rendered, "10.0.0.1", 443)
    assert not allowed(rendered, "10.0.0.2", 443)
    assert not allowed(rendered, "10.0.0.1", 6443)
    assert allowed(rendered, "10.8.0.1", 3128)


@pytest.mark.feature("chart.network")
@everywhere
def test_an_operator_reaches_daemons_at_their_ports_and_no_registry(version: str) -> None:
    """Which is the daemons' own matter, in their own network."""
    rendered = render(ISSUED, version=version)
    assert allowed(rendered, "10.1.2.3", 2377)
    assert not allowed(rendered, "10.1.2.4", 2377)
    assert allowed(rendered, "10.1.2.4", 2376)
    assert not allowed(rendered, "203.0.113.7", 443)


@pytest.mark.feature("chart.network")
def test_it_can_be_left_to_others() -> None:
    """By one value."""
    assert render({"networkPolicy": {"enabled": False}}).all("NetworkPolicy") == []
