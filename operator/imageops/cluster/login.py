"""Log kopf in with a session of our own, so that what it asks and is answered can be seen."""

from collections.abc import Callable
from typing import Any

import aiohttp
import kopf


class Login:
    """Logs in as kopf does, with a session that is traced.

    The same credentials give the same session, so that kopf knows those that were refused.
    """

    def __init__(self, find: Callable[..., kopf.ConnectionInfo | None], trace: aiohttp.TraceConfig) -> None:
        """Find credentials by one of kopf's own ways."""
        self._find = find
        self._trace = trace
        self._known: tuple[kopf.ConnectionInfo, kopf.AiohttpSession] | None = None

    async def log_in(self, **given: Any) -> kopf.AiohttpSession | None:
        """Return the session; None if there are no credentials."""
        info = self._find(**given)
        if info is None:
            return None
        if self._known is None or self._known[0] != info:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
                headers=info.as_http_headers(),
                proxy=info.proxy_url,
                trust_env=info.trust_env,
                trace_configs=[self._trace],
            )
            self._known = info, kopf.AiohttpSession(server=info.server, aiohttp_session=session)
        return self._known[1]
