"""One request to a daemon and its answer, with every way in which it can fail turned into a reason."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests
import urllib3.exceptions

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.registry_hints import auth_hint
from imageops.engine.classify import classify, retry_after, unreadable
from imageops.engine.connection import CONNECT_SECONDS
from imageops.engine.protocol import UnreadableAnswerError
from imageops.engine.redaction import redact
from imageops.engine.stream import MAX_RECORD_BYTES
from imageops.engine.words import Call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imageops.api.references import Reference
    from imageops.engine.connection import DaemonClient

log = logging.getLogger("imageops.engine")

CHUNK_BYTES = 64 * 1024
_MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Longest answer that is read. An image's own configuration, labels included, is in an inspect."""
_ANSWER_SECONDS = 60.0
"""How long a daemon may be silent in a call that is about its own state."""
_FIRST_ERROR_STATUS = 300
"""A redirect is an error too: it could lead away from the daemon."""

_FOREIGN_ERRORS = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)
_NOT_CONNECTED = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.SSLError,
    requests.exceptions.ConnectTimeout,
    requests.exceptions.SSLError,
    ssl.SSLError,
    FileNotFoundError,
    PermissionError,
)
_SILENCE = (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask of the daemon, and how to speak about it when it fails."""

    call: Call
    method: str
    path: str
    """Below the API version, with its names quoted."""
    version: str | None = None
    """The API version, None for the few endpoints that have none."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May hold a credential."""
    reference: Reference | None = None
    """The image it is about, for the message to users."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values that must not be logged, wherever they turn up."""
    silence_seconds: float | None = _ANSWER_SECONDS
    """How long the daemon may be silent; None where something else watches over it."""
    silence_reason: Reason = Reason.DAEMON_UNAVAILABLE

    def failure(self, status: int | None, text: str) -> OperationError:
        """Make the error for words of the daemon. They go into the log at DEBUG, redacted, and nowhere else."""
        finding = classify(self.call, status, text, reference=self.reference)
        reason = finding.reason
        if log.isEnabledFor(logging.DEBUG):
            shown = redact(text, self.secrets)
            log.debug("%s: the daemon's answer, status %s, means %s: %s", self.call, status, reason, shown)
        if reason is Reason.REGISTRY_UNAVAILABLE and unreadable(self.call, text):
            error = self.error(reason)
            return UnreadableAnswerError(reason, error.message, hint=error.hint)
        wait = retry_after(text, reference=self.reference) if reason is Reason.RATE_LIMITED else None
        return self.error(reason, wait=wait, hint=finding.hint, doubtful=finding.doubtful)

    def error(
        self, reason: Reason, *, wait: float | None = None, hint: str | None = None, doubtful: bool = False
    ) -> OperationError:
        """Make an error in our own words, which name the image."""
        if self.reference is None:
            return OperationError(reason, hint=hint, retry_after=wait)
        if hint is None and reason is Reason.AUTH_FAILED:
            hint = auth_hint(self.reference.host)
        message = f"{reason.sentence} The image is {self.reference}."
        return OperationError(reason, message, hint=hint, retry_after=wait, doubtful=doubtful)


@contextlib.contextmanager
def exchange(client: DaemonClient, request: Request) -> Iterator[requests.Response]:
    """Send a request and give its answer's head, the body being unread yet.

    Whatever the network does, here or while the body is read, comes out as an `OperationError`. It is not chained to
    the foreign error, which holds the request with its credential header.

    Raises:
        OperationError: DAEMON_UNAVAILABLE if no connection was made, DAEMON_CONNECTION_LOST if it broke.
    """
    response: requests.Response | None = None
    failure: OperationError | None = None
    prefix = f"/v{request.version}" if request.version else ""
    try:
        response = client.request(
            request.method,
            f"{client.base_url}{prefix}{request.path}",
            params=request.parameters,
            headers=request.headers,
            timeout=(CONNECT_SECONDS, request.silence_seconds),
            allow_redirects=False,
            stream=True,
        )
        yield response
    except _FOREIGN_ERRORS as error:
        failure = request.error(_reason(error, request, answered=response is not None))
        log.debug("%s: %s in talking to the daemon means %s", request.call, type(error).__name__, failure.reason)
    finally:
        if response is not None:
            response.close()
    if failure is not None:
        raise failure


def _reason(error: BaseException, request: Request, *, answered: bool) -> Reason:
    causes = list(_causes(error))
    if not answered and any(isinstance(cause, _NOT_CONNECTED) for cause in causes):
        return Reason.DAEMON_UNAVAILABLE
    if any(isinstance(cause, _SILENCE) for cause in causes):
        return request.silence_reason
    return Reason.DAEMON_CONNECTION_LOST


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what requests and urllib3 have wrapped into it."""
    yield error
    inner = [*error.args, getattr(error, "reason", None)]
    for cause in inner:
        if isinstance(cause, BaseException):
            yield from _causes(cause)


def read_body(response: requests.Response, limit: int) -> tuple[bytes, bool]:
    """Read an answer's body up to `limit` bytes.

    Returns:
        The body, and whether there was more of it.
    """
    body = bytearray()
    for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
        body += chunk
        if len(body) > limit:
            return bytes(body[:limit]), True
    return bytes(body), False


def refusal(response: requests.Response) -> str | None:
    """Return the words of an answer that is an error, None for one that is not."""
    if response.status_code < _FIRST_ERROR_STATUS:
        return None
    body, _ = read_body(response, MAX_RECORD_BYTES)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("message"), str):
        return str(answer["message"])
    return body.decode(errors="replace")


def ask(client: DaemonClient, request: Request) -> dict[str, object]:
    """Send a request whose answer is one JSON object, and return that.

    Raises:
        OperationError: What `exchange` raises; the reason of the daemon's words; DAEMON_ERROR for an answer that is
            no JSON object.
    """
    with exchange(client, request) as response:
        text = refusal(response)
        if text is not None:
            raise request.failure(response.status_code, text)
        body, more = read_body(response, _MAX_ANSWER_BYTES)
    try:
        answer = None if more else json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise request.error(Reason.DAEMON_ERROR)
    return answer


def tell(client: DaemonClient, request: Request) -> None:
    """Send a request whose answer has nothing to say but that it was done."""
    with exchange(client, request) as response:
        text = refusal(response)
        if text is not None:
            raise request.failure(response.status_code, text)
        read_body(response, _MAX_ANSWER_BYTES)
