from __future__ import annotations

import pytest

from imageops.cluster.login import Login, service_address


async def test_the_same_credentials_give_the_same_session() -> None:
    """And others another one; none without any."""
    found: list[str | None] = [None]
    login = Login(lambda **_: found[0], lambda credentials: [credentials])
    assert await login.log_in(memo=None) is None
    found[0] = "one"
    first = await login.log_in()
    assert first == ["one"]
    assert await login.log_in() is first
    found[0] = "two"
    assert await login.log_in() == ["two"]


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("10.96.0.1", "443", "https://10.96.0.1:443"),
        ("fd00::1", "6443", "https://[fd00::1]:6443"),
        ("", "443", None),
        ("10.96.0.1", "", None),
    ],
)
def test_the_api_server_is_where_kubernetes_tells_a_container(
    monkeypatch: pytest.MonkeyPatch, host: str, port: str, address: str | None
) -> None:
    """By number, of either family; whatever is no container is told nothing."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    assert service_address() == address
