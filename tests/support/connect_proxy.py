"""Stand in for the proxy that a daemon reaches registries by: it refuses, or answers itself in the registry's place."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True, eq=False)
class ConnectProxy:
    """What the proxy says to CONNECT, and what it was asked."""

    answer: str
    """The status line's end, such as "407 Proxy Authentication Required"."""
    tls: ssl.SSLContext | None = None
    """After a 200: the certificate that is shown for every host."""
    asked: list[str] = field(default_factory=list)
    address: str = ""


class _Handler(socketserver.StreamRequestHandler):
    proxy: ConnectProxy
    timeout = 10.0

    def handle(self) -> None:
        """Answer one CONNECT."""
        request = self.rfile.readline().decode("latin-1").strip()
        while self.rfile.readline().strip():
            pass
        self.proxy.asked.append(request)
        self.wfile.write(f"HTTP/1.1 {self.proxy.answer}\r\nContent-Length: 0\r\n\r\n".encode())
        if self.proxy.tls is not None:
            with suppress(OSError):  # the daemon leaves as soon as it has seen the certificate
                self.proxy.tls.wrap_socket(self.connection, server_side=True).close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def proxying(answer: str, *, certificate: tuple[Path, Path] | None = None) -> Iterator[ConnectProxy]:
    """Serve while the block runs; `certificate` is shown with its key once a connection is allowed."""
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    proxy = ConnectProxy(answer, tls)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    proxy.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
