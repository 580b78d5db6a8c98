"""Ask a running part whether it is ready."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

_SECONDS = 2.0
_READY = frozenset({HTTPStatus.OK, HTTPStatus.UNAUTHORIZED})
"""A registry with a password answers 401 to whoever has none: it is ready."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Name one question that is answered when the part is ready.

    With `socket` alone, a connection is enough. With `url`, a GET is sent, through the socket if there is one. `ca` is
    the file of the authority that signed an https server's certificate.
    """

    url: str | None = None
    socket: str | None = None
    ca: str | None = None

    def answered(self) -> bool:
        """Ask once and say whether the part is ready."""
        try:
            if self.url is None:
                with _connect(str(self.socket)):
                    return True
            return self._get(self.url) in _READY
        except (OSError, http.client.HTTPException):
            return False

    def _get(self, url: str) -> int:
        parts = urlsplit(url)
        connection: http.client.HTTPConnection
        if self.socket is not None:
            connection = _UnixConnection(self.socket)
        elif parts.scheme == "https":
            context = ssl.create_default_context(cafile=self.ca)
            connection = http.client.HTTPSConnection(parts.netloc, timeout=_SECONDS, context=context)
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=_SECONDS)
        try:
            connection.request("GET", parts.path)
            return connection.getresponse().status
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    """Speak HTTP through a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = _connect(self._path)


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_SECONDS)
    try:
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection
