"""Log kopf in with a session of our own, so that what it asks and is answered can be seen."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import kopf

Find = Callable[..., kopf.ConnectionInfo | None]
"""One of kopf's own ways to find credentials."""


def at_service_address(find: Find) -> Find:
    """Return a way that finds what another one does, at the address that Kubernetes tells every container.

    In a pod kopf turns to the name kubernetes.default.svc: what watches would need the cluster's DNS, and what writes,
    like every other client, would not
    (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
    """

    def found(**given: Any) -> kopf.ConnectionInfo | None:
        info = find(**given)
        host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
        if info is None or not host or not port:
            return info
        return replace(info, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")

    return found


class Login:
    """Logs in as kopf does, with a session that is traced.

    The same credentials give the same session, so that kopf knows those that were refused.
    """

    def __init__(self, find: Find, trace: aiohttp.TraceConfig) -> None:
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
