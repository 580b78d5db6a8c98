"""Connections to one daemon: where it is, who may be talked to, and a way to cut a call off.

Every request runs in a worker thread, and a blocking read ends in only one way that works from another thread:
shutting its socket down. So the adapter here opens all connections of a client itself and keeps hold of their sockets,
from before the first byte is sent, when there is no response object yet that could be closed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import docker
from docker.tls import TLSConfig
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.engine import endpoints

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest, Response

CONNECT_SECONDS = 5.0
"""How long a daemon may take to accept a connection, TLS handshake included."""

_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""A peer that vanished without a word is noticed after a minute; a quiet stream alone could not tell."""

_EMPTY_CONFIG = Path(__file__).with_name("empty_config")
"""A folder with a config.json that says nothing. Without the file, docker-py goes on to the one in the home folder."""
_UNASKED_VERSION = "1.41"
"""Keeps docker-py from asking the daemon in its constructor. Requests name the version that the engine negotiated."""


@dataclass(frozen=True, slots=True)
class DaemonTls:
    """The files for a daemon behind TCP. They are read at each new connection, so renewed ones take effect."""

    ca: Path
    """Who has to have signed the daemon's certificate. There is no way not to verify it."""
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class DaemonAddress:
    """Where a daemon listens: `unix:///path` or `tcp://host:port`."""

    base_url: str
    tls: DaemonTls | None

    def __post_init__(self) -> None:
        """Refuse what cannot be reached safely.

        Raises:
            ValueError: Another scheme, no path or no port; TCP to another machine without TLS, as whoever reads along
                could then take the daemon over.
        """
        parts = urlsplit(self.base_url)
        if parts.scheme == "unix":
            if self.tls is not None or parts.netloc or not parts.path.startswith("/"):
                message = f"{self.base_url!r}: a socket is written unix:///path and has no TLS"
                raise ValueError(message)
        elif parts.scheme == "tcp":
            if not parts.hostname or not parts.port or parts.username or parts.path or parts.query:
                message = "a TCP daemon is written tcp://host:port"
                raise ValueError(message)
            if self.tls is None and not _is_loopback(parts.hostname):
                message = f"{self.base_url!r}: a daemon on another machine needs TLS"
                raise ValueError(message)
        else:
            message = f"a daemon's address begins with unix:// or tcp://, not {parts.scheme!r}"
            raise ValueError(message)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _UnixConnection(HTTPConnection):
    """An HTTP connection through a Unix socket, which tells when it is open."""

    def __init__(self, *args: Any, path: str, opened: Callable[[socket.socket], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._path = path
        self._opened = opened

    def _new_conn(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(CONNECT_SECONDS)
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            raise NewConnectionError(self, f"{type(error).__name__} at the daemon's socket") from error
        return sock

    def connect(self) -> None:
        super().connect()
        self._opened(self.sock)


class _TcpConnection(HTTPConnection):
    """An HTTP connection which tells when it is open."""

    def __init__(self, *args: Any, opened: Callable[[socket.socket], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._opened = opened

    def connect(self) -> None:
        super().connect()
        self._opened(self.sock)


class _TlsConnection(HTTPSConnection):
    """An HTTPS connection which tells when it is open."""

    def __init__(self, *args: Any, opened: Callable[[socket.socket], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._opened = opened

    def connect(self) -> None:
        super().connect()
        self._opened(self.sock)


class _UnixPool(HTTPConnectionPool):
    ConnectionCls = _UnixConnection


class _TcpPool(HTTPConnectionPool):
    ConnectionCls = _TcpConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class DaemonAdapter(HTTPAdapter):
    """Sends the requests of one client over connections that can be cut from another thread.

    There is one pool with one idle connection, whatever the request's URL: docker-py's own adapter keeps a pool per
    URL, so that it hardly ever finds a connection to use again.
    """

    def __init__(self, address: DaemonAddress, *, opened: Callable[[], None]) -> None:
        """Prepare for `address`; no I/O.

        Args:
            address: Where the daemon listens.
            opened: Called after each connection that had to be opened anew.
        """
        super().__init__()
        self._notify = opened
        self._lock = threading.Lock()
        self._severed = False
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._pool = self._make_pool(address)

    def _make_pool(self, address: DaemonAddress) -> HTTPConnectionPool:
        parts = urlsplit(address.base_url)
        if parts.scheme == "unix":
            return _UnixPool("localhost", maxsize=1, opened=self._opened, path=parts.path)
        host, port = str(parts.hostname), parts.port
        options = [*HTTPConnection.default_socket_options, *_KEEPALIVE]
        pool = _TcpPool if address.tls is None else _TlsPool
        return pool(host, port, maxsize=1, opened=self._opened, socket_options=options)

    def _opened(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.add(sock)
            severed = self._severed
        self._notify()
        if severed:
            _shut_down(sock)

    def sever(self) -> None:
        """Cut all connections, and those that are just being opened, until `mend`. Callable from any thread."""
        with self._lock:
            self._severed = True
            sockets = list(self._sockets)
        for sock in sockets:
            _shut_down(sock)

    def mend(self) -> None:
        """Allow connections again."""
        with self._lock:
            self._severed = False

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        """Return the one pool; `cert_verify` of requests puts the client's TLS files into it."""
        return self._pool

    def request_url(self, request: PreparedRequest, _proxies: Any) -> str:
        """Return the path: no proxy ever stands between the operator and its daemon."""
        return str(request.path_url)

    def close(self) -> None:
        """Close the idle connection."""
        self._pool.close()
        super().close()


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # The plain method even for TLS: SSLSocket's own would pull the session away from under the reading thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def ignore_ambient_configuration() -> None:
    """Point docker-py away from the config.json of whoever runs this process: it could hold credentials.

    Changes the process's environment, so it is called before any thread is started.
    """
    os.environ["DOCKER_CONFIG"] = str(_EMPTY_CONFIG)


def _tls_config(tls: DaemonTls | None) -> TLSConfig | bool:
    if tls is None:
        return False
    # Without verify docker-py would take any certificate, a given CA or not.
    return TLSConfig(client_cert=(str(tls.certificate), str(tls.key)), ca_cert=str(tls.ca), verify=True)


class DaemonClient(docker.APIClient):
    """docker-py's low-level client, held to the listed endpoints of one daemon. For use in one thread at a time."""

    def __init__(
        self, address: DaemonAddress, *, opened: Callable[[], None], permit: Callable[[], bool] | None = None
    ) -> None:
        """Prepare a client; no I/O but reading the empty configuration.

        Args:
            address: Where the daemon listens.
            opened: Called after each connection that had to be opened anew.
            permit: Asked before each request whether it may be sent; None = always.
        """
        super().__init__(base_url=address.base_url, version=_UNASKED_VERSION, tls=_tls_config(address.tls))
        # No proxy, .netrc or CA bundle out of the environment. The bundle would even replace the daemon's own CA.
        self.trust_env = False
        self.headers["Accept-Encoding"] = "identity"
        self._permit = permit
        self.link = DaemonAdapter(address, opened=opened)
        self.adapters.clear()
        self.mount(str(self.base_url), self.link)

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        """Send a request if the list of endpoints has it. Everything the client does comes through here.

        Raises:
            EndpointRefusedError: It does not; nothing was sent.
            OperationError: INTERRUPTED if this process may not act any more; nothing was sent.
        """
        endpoints.check(str(request.method), str(request.url))
        if self._permit is not None and not self._permit():
            raise OperationError(Reason.INTERRUPTED)
        return super().send(request, **options)
