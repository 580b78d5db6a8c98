from __future__ import annotations

import json
from pathlib import Path

import pytest

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.engine.connection import DaemonAddress, DaemonClient, DaemonTls, ignore_ambient_configuration

TLS = DaemonTls(Path("ca.pem"), Path("cert.pem"), Path("key.pem"))


@pytest.mark.parametrize(
    ("base_url", "tls"),
    [
        ("unix:///run/docker.sock", None),
        ("tcp://dind.test:2376", TLS),
        ("tcp://127.0.0.1:2375", None),
        ("tcp://localhost:2375", None),
        ("tcp://[::1]:2375", None),
    ],
)
def test_usable_addresses(base_url: str, tls: DaemonTls | None) -> None:
    """A socket, TCP with TLS anywhere, and TCP without it on this machine are taken."""
    assert DaemonAddress(base_url, tls).base_url == base_url


@pytest.mark.parametrize(
    ("base_url", "tls"),
    [
        ("tcp://dind.test:2375", None),
        ("tcp://10.0.0.1:2375", None),
        ("tcp://127.0.0.1.evil.test:2375", None),
        ("tcp://dind.test", TLS),
        ("tcp://user:password@dind.test:2376", TLS),
        ("tcp://dind.test:2376/path", TLS),
        ("unix:///run/docker.sock", TLS),
        ("unix://run/docker.sock", None),
        ("ssh://root@host", None),
        ("http://127.0.0.1:2375", None),
        ("npipe:////./pipe/docker_engine", None),
        ("", None),
    ],
)
def test_other_addresses_are_refused(base_url: str, tls: DaemonTls | None) -> None:
    """Another scheme, a half address, or plain TCP to another machine is a mistake in the configuration."""
    with pytest.raises(ValueError, match=r"daemon|socket") as caught:
        DaemonAddress(base_url, tls)
    assert "password" not in str(caught.value)


@pytest.mark.feature("cred.not-ambient")
def test_no_config_of_the_environment_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither DOCKER_CONFIG nor the home folder's config.json, nor .netrc or a proxy, reaches the client."""
    planted = {"auths": {"registry.test": {"auth": "dTpw"}}, "credsStore": "planted", "HttpHeaders": {"X-Planted": "1"}}
    for folder in (tmp_path / ".docker", tmp_path / "named"):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(planted))
    (tmp_path / ".netrc").write_text("machine localhost login u password p")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "named"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    ignore_ambient_configuration()
    client = DaemonClient(DaemonAddress("unix:///nowhere/docker.sock", None), opened=lambda: None)
    assert vars(client)["_auth_configs"].is_empty
    assert not vars(client)["_general_configs"]
    assert not client.trust_env
    client.close()


def test_only_the_daemon_can_be_reached() -> None:
    """A client has one way out; there is no adapter for any other address."""
    client = DaemonClient(DaemonAddress("unix:///nowhere/docker.sock", None), opened=lambda: None)
    assert list(client.adapters) == ["http+docker://localhost"]
    client.close()


def test_a_client_that_may_not_act_sends_nothing() -> None:
    """There is no daemon here, and no attempt to reach one."""
    client = DaemonClient(
        DaemonAddress("unix:///nowhere/docker.sock", None),
        opened=lambda: pytest.fail("connected"),
        permit=lambda: False,
    )
    with pytest.raises(OperationError) as caught:
        client.request("GET", f"{client.base_url}/_ping")
    assert caught.value.reason is Reason.INTERRUPTED
    client.close()
