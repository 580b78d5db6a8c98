from __future__ import annotations

from pathlib import Path

import pytest

from imageops.core.lease import Timing
from imageops.engine.connection import DaemonTls
from imageops.runtime.settings import LeaseSettings, Settings, SettingsError, parse_daemons


def test_nothing_set_is_one_daemon_beside_the_operator() -> None:
    """In the pod's own ServiceAccount."""
    settings = Settings.from_environment({})
    assert settings == Settings(
        daemons={"default": "unix:///var/run/docker.sock"},
        default_daemon="default",
        kubeconfig=None,
        lease=None,
    )
    assert (settings.health_port, settings.log_level, settings.max_transfers) == (8080, "INFO", 6)


def test_everything_can_be_set() -> None:
    """The first daemon is the default where none has that name."""
    settings = Settings.from_environment(
        {
            "IMAGEOPS_DAEMONS": "a=unix:///a.sock, b=tcp://b:2376",
            "IMAGEOPS_DAEMON_CERTS": "/certificates",
            "IMAGEOPS_NAMESPACES": "team-a, team-b",
            "IMAGEOPS_GITOPS_MARKS": "tool.example/owner, owner",
            "KUBECONFIG": "/kube",
            "IMAGEOPS_HEALTH_HOST": "127.0.0.1",
            "IMAGEOPS_HEALTH_PORT": "0",
            "IMAGEOPS_LOG_LEVEL": "debug",
            "IMAGEOPS_MAX_TRANSFERS": "2",
            "IMAGEOPS_REGISTRY_RATE": "7",
            "IMAGEOPS_LEASE_NAMESPACE": "system",
            "IMAGEOPS_LEASE_NAME": "one",
            "IMAGEOPS_LEASE_DURATION_SECONDS": "30",
            "PATH": "/bin",
        },
    )
    assert settings == Settings(
        daemons={"a": "unix:///a.sock", "b": "tcp://b:2376"},
        default_daemon="a",
        daemon_certificates=Path("/certificates"),
        namespaces=("team-a", "team-b"),
        gitops_marks=frozenset({"tool.example/owner", "owner"}),
        kubeconfig="/kube",
        health_host="127.0.0.1",
        health_port=0,
        log_level="DEBUG",
        max_transfers=2,
        registry_rate=7,
        lease=LeaseSettings(namespace="system", name="one", timing=Timing(30)),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGEOPS_DAEMONS", ""),
        ("IMAGEOPS_DAEMONS", "a"),
        ("IMAGEOPS_DAEMONS", "=unix:///a.sock"),
        ("IMAGEOPS_DAEMONS", "a=/a.sock"),
        ("IMAGEOPS_DAEMONS", "a=http://a"),
        ("IMAGEOPS_DAEMONS", "a=unix:///a,"),
        ("IMAGEOPS_DAEMONS", "a=unix:///a,a=unix:///b"),
        ("IMAGEOPS_DAEMONS", "a=tcp://a:2375"),
        ("IMAGEOPS_DAEMONS", "a=tcp://a"),
        ("IMAGEOPS_DAEMONS", "a=tcp://a:2376/path"),
        ("IMAGEOPS_DEFAULT_DAEMON", "elsewhere"),
        ("IMAGEOPS_NAMESPACES", "team-a,"),
        ("IMAGEOPS_GITOPS_MARKS", "tool.example/owner,"),
        ("IMAGEOPS_GITOPS_MARKS", "a/b/c"),
        ("IMAGEOPS_GITOPS_MARKS", "key=value"),
        ("IMAGEOPS_NAMESPACES", "team-*"),
        ("IMAGEOPS_NAMESPACES", "!team-a"),
        ("IMAGEOPS_NAMESPACES", "Team"),
        ("IMAGEOPS_NAMESPACES", 64 * "a"),
        ("IMAGEOPS_HEALTH_PORT", "http"),
        ("IMAGEOPS_HEALTH_PORT", "-1"),
        ("IMAGEOPS_HEALTH_PORT", "65536"),
        ("IMAGEOPS_HEALTH_PORT", "\u00b2"),
        ("IMAGEOPS_LOG_LEVEL", "chatty"),
        ("IMAGEOPS_MAX_TRANSFERS", "0"),
        ("IMAGEOPS_MAX_TRANSFERS", "many"),
        ("IMAGEOPS_REGISTRY_RATE", "\u00b2"),
    ],
)
def test_a_setting_of_no_use_is_named(name: str, value: str) -> None:
    """Before anything starts."""
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({name: value})


@pytest.mark.feature("chart.certificates")
def test_each_daemon_behind_tcp_has_a_folder_of_certificates() -> None:
    """A socket has none; nor has the loopback address, unless certificates are configured."""
    given = {"IMAGEOPS_DAEMONS": "a=unix:///a.sock,b=tcp://127.0.0.1:2376"}
    assert Settings.from_environment(given).daemon_tls("b") is None
    settings = Settings.from_environment(given | {"IMAGEOPS_DAEMON_CERTS": "/c"})
    assert settings.daemon_tls("a") is None
    assert settings.daemon_tls("b") == DaemonTls(Path("/c/b/ca.crt"), Path("/c/b/tls.crt"), Path("/c/b/tls.key"))


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("IMAGEOPS_LEASE_NAMESPACE", {}),
        ("IMAGEOPS_LEASE_NAMESPACE", {"IMAGEOPS_LEASE_NAMESPACE": ""}),
        ("IMAGEOPS_LEASE_DURATION_SECONDS", {"IMAGEOPS_LEASE_DURATION_SECONDS": "2", "IMAGEOPS_LEASE_NAMESPACE": "a"}),
        ("IMAGEOPS_LEASE_DURATION_SECONDS", {"IMAGEOPS_LEASE_DURATION_SECONDS": "1s", "IMAGEOPS_LEASE_NAMESPACE": "a"}),
    ],
)
def test_a_lease_that_cannot_be_held_is_named(name: str, environment: dict[str, str]) -> None:
    """Without a name there is none, whatever else is set."""
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({"IMAGEOPS_LEASE_NAME": "one", **environment})
    assert Settings.from_environment({"IMAGEOPS_LEASE_NAME": "", **environment}).lease is None


def test_a_lease_lasts_as_long_as_those_of_kubernetes_unless_it_is_set() -> None:
    """15 s."""
    environment = {"IMAGEOPS_LEASE_NAME": "one", "IMAGEOPS_LEASE_NAMESPACE": "system"}
    assert Settings.from_environment(environment).lease == LeaseSettings(
        namespace="system", name="one", timing=Timing(15)
    )


def test_daemons_keep_their_order() -> None:
    """As they are written."""
    assert list(parse_daemons("b=tcp://b:1,a=unix:///a")) == ["b", "a"]
