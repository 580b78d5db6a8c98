from __future__ import annotations

import aiohttp
import kopf

from imageops.cluster.login import Login


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
