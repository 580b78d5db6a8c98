"""Register what kopf calls: it lists, watches and multiplexes; everything else is ours.

Only `on.event` handlers and activities: kopf's change detection ran operations twice in a burst, its daemons flood the
API server (docs/decisions/0001). With the null storages no event pays for what is not used.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import aiohttp
import kopf

from imageops.api.kinds import GROUP, VERSION, Kind
from imageops.cluster.login import Login, service_address
from imageops.cluster.watch_backoff import WatchBackoff
from imageops.cluster.watching import Listener, WatchKeeper
from imageops.runtime.app import WATCHED, Drain, WatchEventSink
from imageops.telemetry import watch_liveness


class NullDiffBase(kopf.DiffBaseStorage):
    """Keeps no last-handled copy of an object."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:  # noqa: ARG002 - kopf's interface
        """Return no essence: nothing compares it."""
        return {}

    def fetch(self, *, body: Any) -> Any:  # noqa: ARG002 - kopf's interface
        """Return no essence: none was stored."""
        return {}

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        """Store nothing."""


class NullProgress(kopf.ProgressStorage):
    """Keeps no progress of handlers: an event handler has none."""

    def fetch(self, *, key: Any, body: Any) -> Any:  # noqa: ARG002 - kopf's interface
        """Return no record."""
        return None

    def store(self, *, key: Any, record: Any, body: Any, patch: Any) -> None:
        """Store nothing."""

    def purge(self, *, key: Any, body: Any, patch: Any) -> None:
        """Purge nothing."""

    def touch(self, *, body: Any, patch: Any, value: Any) -> None:
        """Touch nothing."""

    def clear(self, *, essence: Any) -> Any:
        """Return the essence as it is."""
        return essence


async def watch(
    *,
    sink: WatchEventSink,
    listener: Listener,
    drain: Drain,
    kubeconfig: str | None,
    namespaces: Sequence[str],
    ready: asyncio.Event,
) -> None:
    """Watch all kinds until a signal ends the process.

    Args:
        sink: Asked about every event; takes those that are news.
        listener: Told of every answer to a list or watch.
        drain: Ends all work, before the watch is gone.
        kubeconfig: Whether a kubeconfig file is used to log in, or the pod's ServiceAccount.
        namespaces: Where to watch, and where rights are needed; none = in the whole cluster.
        ready: Set as soon as the watches run.

    """
    handlers = registry(sink)

    async def ended(**_: Any) -> None:
        await drain()

    kopf.on.cleanup(registry=handlers)(ended)
    find = kopf.login_with_kubeconfig if kubeconfig is not None else login_in_pod
    kopf.on.login(registry=handlers)(Login(find, partial(session, listener)).log_in)
    await kopf.operator(
        registry=handlers,
        settings=settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        ready_flag=ready,
    )


def login_in_pod(**given: Any) -> kopf.ConnectionInfo | None:
    """Find the pod's ServiceAccount, and the API server where every other client finds it.

    kopf turns to the name kubernetes.default.svc: what watches would need the cluster's DNS, and what writes would not.
    """
    info, address = kopf.login_with_service_account(**given), service_address()
    return replace(info, server=address) if info is not None and address is not None else info


def session(listener: Listener, info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
    """Return a session like kopf's own, whose lists and watches survive whatever the API server answers."""
    client = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        middlewares=[WatchKeeper(listener)],
    )
    return kopf.AiohttpSession(server=info.server, aiohttp_session=client)


def registry(sink: WatchEventSink) -> kopf.OperatorRegistry:
    """Return kopf's registry with one event handler for each kind; the filter spares calls (docs/decisions/0001)."""
    result, news = kopf.OperatorRegistry(), partial(_is_news, sink)
    for kind in WATCHED:
        watched = kopf.on.event(GROUP, VERSION, kind.plural, id=f"observe-{kind.plural}", when=news, registry=result)
        watched(partial(_observe, sink, kind))
    return result


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: all that is not watching is off."""
    result = kopf.OperatorSettings()
    result.persistence.diffbase_storage = NullDiffBase()
    result.persistence.progress_storage = NullProgress()
    result.scanning.disabled = True
    result.peering.standalone = True
    result.posting.enabled = False
    result.watching.chunk_size = 500
    result.watching.server_timeout = watch_liveness.SERVER_SECONDS
    result.watching.client_timeout = watch_liveness.CLIENT_SECONDS
    result.networking.error_backoffs = WatchBackoff()
    result.process.ultimate_exiting_timeout = 30.0
    return result


def _is_news(sink: WatchEventSink, *, event: Any, **_: Any) -> bool:
    return sink.is_news(event["type"], event["object"])


async def _observe(sink: WatchEventSink, kind: Kind, *, event: Any, **_: Any) -> None:
    sink.observe(kind, event["type"], event["object"])
