from __future__ import annotations

import aiohttp
import kopf
import pytest

from imageops.cluster.login import Login, at_service_address


async def test_a_login_gives_a_session_that_tells_of_answers() -> None:
    """The same one for the same credentials, so that kopf knows those that were refused; none without any."""
    trace = aiohttp.TraceConfig()
    found: list[kopf.ConnectionInfo | None] = [None]
    login = Login(lambda **_: found[0], trace)
    assert await login.log_in() is None
    found[0] = kopf.ConnectionInfo(server="https://api.test", token="one")
    first = await login.log_in()
    assert first is not None
    assert (first.server, await login.log_in()) == ("https://api.test", first)
    assert first.aiohttp_session.headers["Authorization"] == "Bearer one"
    assert first.aiohttp_session.trace_configs == [trace]
    found[0] = kopf.ConnectionInfo(server="https://api.test", token="two")
    second = await login.log_in()
    assert second is not None
    assert second is not first
    for session in (first, second):
        await session.aiohttp_session.close()


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("10.96.0.1", "https://10.96.0.1:443"),
        ("fd00::1", "https://[fd00::1]:443"),
        ("", "https://kubernetes.default.svc"),
    ],
)
def test_in_a_pod_the_api_server_is_where_kubernetes_says(
    monkeypatch: pytest.MonkeyPatch, host: str, server: str
) -> None:
    """No name has to be resolved; without that address, or credentials, all stays as it is."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    info = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="one")
    found = at_service_address(lambda **_: info)()
    assert found is not None
    assert (found.server, found.token) == (server, "one")
    assert at_service_address(lambda **_: None)() is None
