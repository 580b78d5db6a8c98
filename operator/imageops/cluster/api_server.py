"""One connection pool to the API server, and its answers as values and errors of our own.

The kubernetes library finds the configuration, sets up TLS and keeps the token fresh (a bound ServiceAccount token
rotates). Its typed models and its requests are left out: this process handles a handful of paths, and encoding a body
twice or decoding it into models costs more than the rest of a request.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config
from pydantic_core import to_json
from yarl import URL

from imageops.cluster.paths import ApiPath
from imageops.engine.redaction import without_credentials

REQUEST_TIMEOUT_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 60.0
"""The longest wait that an answer can ask for; the API server itself asks for one second."""
CONNECTIONS = 64
"""Requests on their way at the same time."""
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
_RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
_READING = frozenset({"GET"})

_WEBHOOK = "admission webhook "
"""How the API server begins when it passes on what a webhook said, under whatever code that chose."""
_REASON_MAX_LENGTH = 64
"""Characters of the machine's word for a refusal; a webhook may choose any text."""

Permit = Callable[[], bool]
"""Tells whether this process may change anything now."""


class ApiError(Exception):
    """The API server refused a request. The text names the request and the status code, never a body."""

    def __init__(
        self,
        *,
        request: str,
        code: int,
        reason: str,
        caused: bool,
        retry_after: float | None,
        message: str = "",
    ) -> None:
        """Keep what callers decide by."""
        super().__init__(f"{request}: {code} {reason}")
        self.code = code
        self.reason = reason
        self.caused = caused
        """Whether the answer lists causes: a 422 without any is a failed `test` of a JSON patch."""
        self.retry_after = retry_after
        self.message = message
        """What the answer says to people, of the API server's own or of an admission policy, without credentials."""

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code in _RETRYABLE

    @property
    def not_found(self) -> bool:
        """Whether the object does not exist."""
        return self.code == 404

    @property
    def already_exists(self) -> bool:
        """Whether an object of that name exists."""
        return self.code == 409 and self.reason == "AlreadyExists"

    @property
    def stale(self) -> bool:
        """Whether the object is not the one, or not in the version, that the request was for."""
        if self.code == 409:
            return self.reason == "Conflict"
        return self.code == 422 and not self.caused and not self.message.startswith(_WEBHOOK)


class ApiUnreachableError(ApiError):
    """No answer came."""

    def __init__(self, *, request: str) -> None:
        """Keep what callers decide by."""
        super().__init__(request=request, code=0, reason="Unreachable", caused=False, retry_after=None)

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later: always."""
        return True


class NotPermittedError(ApiError):
    """The request was not sent: it would have changed something, and this process may not any more."""

    def __init__(self, *, request: str) -> None:
        """Keep what callers decide by."""
        super().__init__(request=request, code=0, reason="NotPermitted", caused=False, retry_after=None)


@dataclass(frozen=True, slots=True)
class ApiServer:
    """The API server."""

    _session: aiohttp.ClientSession
    _configuration: client.Configuration
    _options: Mapping[str, Any]
    """What every request is given: the proxy and the name in the server's certificate, where they are configured."""

    @classmethod
    async def connect(cls, kubeconfig: str | None, *, permit: Permit | None = None) -> Self:
        """Read the configuration of a kubeconfig file, or of the pod this process runs in.

        Args:
            kubeconfig: The file; None = the ServiceAccount of the pod.
            permit: Asked about each request that changes anything, when its connection stands and its first byte is
                about to be sent. None = always.

        """
        configuration = client.Configuration()
        if kubeconfig is not None:
            await config.load_kube_config(config_file=os.fspath(kubeconfig), client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
        tls = client.rest.RESTClientObject(configuration).ssl_context
        options = {
            "proxy": configuration.proxy,
            "proxy_headers": configuration.proxy_headers,
            "server_hostname": configuration.tls_server_name,
        }
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=tls),
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS),
            trust_env=True,
            trace_configs=[_guarded_by(permit)] if permit is not None else None,
        )
        return cls(session, configuration, {name: value for name, value in options.items() if value})

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, path: ApiPath, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Read an object or a list.

        Raises:
            ApiError: If there is no such object, or no answer.

        """
        return await self._request("GET", path, query=f"?{urlencode(query)}" if query else "")

    async def create(self, path: ApiPath, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object in a collection and return it as stored.

        Raises:
            ApiError: If it exists, is refused, or no answer came.

        """
        return await self._request("POST", path, body=body)

    async def replace(self, path: ApiPath, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object, if it still has the resourceVersion in `body`, and return it as stored.

        Raises:
            ApiError: `stale` if it has another, `not_found` if the object is gone.

        """
        return await self._request("PUT", path, body=dict(body))

    async def patch(self, path: ApiPath, operations: list[dict[str, Any]]) -> dict[str, Any]:
        """Apply a JSON patch (RFC 6902) and return the object as stored; a value may be a model.

        Raises:
            ApiError: `stale` if a `test` failed, `not_found` if the object is gone.

        """
        return await self._request("PATCH", path, body=operations, content_type=JSON_PATCH)

    async def delete(self, path: ApiPath, *, uid: str, resource_version: str | None = None) -> None:
        """Delete the object with this uid; one that is gone, or has another uid, is left.

        With `resource_version` one that has been changed since is left too.

        Raises:
            ApiError: If the deletion is refused, or no answer came.

        """
        version = {} if resource_version is None else {"resourceVersion": resource_version}
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid, **version}}
        try:
            await self._request("DELETE", path, body=body)
        except ApiError as error:
            if not (error.not_found or error.stale):
                raise

    async def _request(
        self,
        method: str,
        path: ApiPath,
        *,
        query: str = "",
        body: Any = None,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        request = f"{method} {path}"
        headers = {"Content-Type": content_type, "Accept": JSON}
        token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token is not None:
            headers["Authorization"] = token
        try:
            answer = await self._session.request(
                method,
                URL(f"{self._configuration.host}{path}{query}", encoded=True),  # sent as it is, nothing resolved in it
                headers=headers,
                data=None if body is None else encoded(body),
                **self._options,
            )
            content = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiUnreachableError(request=request) from error
        if answer.status >= 400:
            raise _refusal(request, answer.status, content, answer.headers.get("Retry-After"))
        value = json.loads(content)
        return value if isinstance(value, dict) else {}


def _guarded_by(permit: Permit) -> aiohttp.TraceConfig:
    """Return the hook that stops a request between its connection and its first byte."""

    async def check(
        _session: aiohttp.ClientSession, _context: object, request: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        if request.method not in _READING and not permit():
            raise NotPermittedError(request=f"{request.method} {request.url.path}")

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(check)
    return trace


def encoded(body: Any) -> bytes:
    """Return a body as it is sent: JSON, with any model in it as `to_wire` has it, in one pass."""
    return to_json(body, by_alias=True, exclude_none=True)


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After; a proxy may write any text there, and none may make the operator wait for ever."""
    if retry_after is None or not retry_after.isdecimal():
        return None
    return min(float(retry_after), MAX_RETRY_AFTER_SECONDS)


def _refusal(request: str, code: int, content: bytes, retry_after: str | None) -> ApiError:
    try:
        status = json.loads(content)
    except ValueError:
        status = {}
    if not isinstance(status, dict):
        status = {}
    return ApiError(
        request=request,
        code=code,
        reason="".join(filter(str.isprintable, str(status.get("reason", ""))))[:_REASON_MAX_LENGTH],
        caused=bool((status.get("details") or {}).get("causes")),
        retry_after=_seconds(retry_after),
        message=without_credentials(str(status.get("message") or "")),
    )
