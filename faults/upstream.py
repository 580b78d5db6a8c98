"""Speak to the API server, or to a daemon's socket, with nothing added and nothing decoded."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
from yarl import URL

from devcluster.kubeconfig import Access
from faults.record import Body

_UNLIMITED = aiohttp.ClientTimeout(total=None)
_LINE_BYTES = 1 << 22
"""A watch event is one line; a Session's status may have 96 KiB."""
MERGE_PATCH = "application/merge-patch+json"


class UpstreamError(Exception):
    """The API server refused what a trial needs."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server."""

    base: str
    headers: Mapping[str, str]
    session: aiohttp.ClientSession

    @classmethod
    def api(cls, kubeconfig: str) -> Self:
        """Return the API server as the user of a kubeconfig file."""
        access = Access.read(Path(kubeconfig))
        context = ssl.create_default_context(cadata=base64.b64decode(access.ca_data).decode() or None)
        headers = {}
        if token := access.user.get("token"):
            headers["Authorization"] = f"Bearer {token}"
        else:
            _load_certificate(context, access.user)
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        return cls(access.server, headers, _session(connector))

    @classmethod
    def daemon(cls, address: str) -> Self:
        """Return the daemon behind a `unix://` address."""
        return cls("http://daemon", {}, _session(aiohttp.UnixConnector(address.removeprefix("unix://"), limit=0)))

    async def close(self) -> None:
        """Close all connections."""
        await self.session.close()

    def send(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request; `target` is path and query as they are to be on the wire."""
        return self.session.request(
            method, URL(self.base + target, encoded=True), headers={**(headers or {}), **self.headers}, data=content
        )

    async def call(self, method: str, path: str, body: Any = None) -> Body:
        """Send JSON and return the answer's; a PATCH merges.

        Raises:
            UpstreamError: The answer is a refusal.

        """
        kind = MERGE_PATCH if method == "PATCH" else "application/json"
        content = None if body is None else json.dumps(body).encode()
        async with self.send(method, path, headers={"Content-Type": kind}, content=content) as answer:
            text = await answer.read()
            if answer.status >= 400:
                raise UpstreamError(f"{method} {path}: {answer.status} {text[:500].decode(errors='replace')}")
            document: Body = json.loads(text)
            return document

    async def watch(self, path: str, since: str) -> AsyncIterator[Body]:
        """Yield the events of a collection after a resourceVersion, for ever."""
        while True:
            async with self.send("GET", f"{path}?watch=true&resourceVersion={since}") as answer:
                async for line in answer.content:
                    event: Body = json.loads(line)
                    if event["type"] == "ERROR":
                        raise UpstreamError(str(event["object"]))
                    since = event["object"]["metadata"]["resourceVersion"]
                    yield event


def _session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        timeout=_UNLIMITED,
        auto_decompress=False,
        read_bufsize=_LINE_BYTES,
        skip_auto_headers=("Accept-Encoding", "User-Agent", "Content-Type", "Accept"),
    )


def _load_certificate(context: ssl.SSLContext, user: Mapping[str, str]) -> None:
    with tempfile.NamedTemporaryFile() as file:
        for part in ("client-certificate-data", "client-key-data"):
            file.write(base64.b64decode(user[part]))
        file.flush()
        context.load_cert_chain(file.name)
