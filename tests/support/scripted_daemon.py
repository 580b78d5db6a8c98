"""A daemon that lies: for streams and answers which no real Engine can be made to give."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

_HEAD_LIMIT = 64 * 1024
WAIT_SECONDS = 60.0
"""Deadline of every wait in a test that uses this daemon."""

Script = Callable[[socket.socket], None]
"""Writes the answer to one request, whatever it is. The connection is closed after it unless the script is `answer`."""


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as it came in."""

    method: str
    target: str
    """Path with query, as on the wire."""
    headers: dict[str, str]


def json_answer(value: object, status: int = 200) -> bytes:
    """Write a whole HTTP answer with a JSON body."""
    body = json.dumps(value).encode()
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )


def stream_answer(pieces: Iterable[bytes], *, end: bool = True) -> bytes:
    """Write a chunked HTTP answer, one chunk a piece; without `end` it breaks off after the last one."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return head + chunks + (b"0\r\n\r\n" if end else b"")


def records(*values: dict[str, object]) -> list[bytes]:
    """Write records as an Engine does: one JSON object, carriage return, line feed, one chunk."""
    return [json.dumps(value).encode() + b"\r\n" for value in values]


class ScriptedDaemon:
    """Serves `/_ping`, `/version` and `/info` like an Engine, and everything else by script."""

    def __init__(
        self, path: Path | None = None, *, api_version: str = "1.52", tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen on a Unix socket at `path`, or on a free port of the loopback address."""
        self.api_version = api_version
        self.engine_id = "scripted"
        self.requests: list[SeenRequest] = []
        self.closed_by_client = threading.Event()
        """Set when a client has closed a connection whose script ran `hold`."""
        self._tls = tls
        self._scripts: list[tuple[str, re.Pattern[str], Script | bytes]] = []
        if path is not None:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(path))
            self.address = f"unix://{path}"
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._listener.listen()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Start serving."""
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and end every connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(WAIT_SECONDS)
            assert not thread.is_alive()

    def answer(self, method: str, path: str, script: Script | bytes) -> None:
        """Answer these requests by `script`; `path` is a regular expression below the API version. The newest wins."""
        self._scripts.insert(0, (method, re.compile(path), script))

    def hold(self, connection: socket.socket, head: bytes = b"") -> None:
        """Write `head`, and then nothing more until the client goes."""
        connection.sendall(head)
        while connection.recv(4096):
            pass
        self.closed_by_client.set()

    def drop_connections(self) -> None:
        """End every connection from the daemon's side."""
        for connection in list(self._open):
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                continue

    def targets(self, method: str) -> list[str]:
        """List the targets of all requests with a method."""
        return [request.target for request in self.requests if request.method == method]

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="scripted-daemon", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, raw: socket.socket) -> None:
        connection = raw
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(raw, server_side=True)
                self._open.add(connection)
            while (request := self._read(connection)) is not None:
                self.requests.append(request)
                script = self._script(request)
                if not isinstance(script, bytes):
                    script(connection)
                    return
                connection.sendall(script)
                if b"Content-Length" not in script and not script.endswith(b"0\r\n\r\n"):
                    return
        except OSError:
            return
        finally:
            self._open -= {raw, connection}
            connection.close()
            raw.close()

    def _read(self, connection: socket.socket) -> SeenRequest | None:
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _HEAD_LIMIT:
            piece = connection.recv(4096)
            if not piece:
                return None
            head += piece
        first, *lines = head.decode().split("\r\n\r\n")[0].split("\r\n")
        method, target, _ = first.split(" ", 2)
        return SeenRequest(method, target, dict(line.split(": ", 1) for line in lines))

    def _script(self, request: SeenRequest) -> Script | bytes:
        path = re.sub(r"^/v\d+\.\d+", "", request.target.partition("?")[0])
        for method, pattern, script in self._scripts:
            if method == request.method and pattern.fullmatch(path):
                return script
        own: dict[str, object] = {
            "/_ping": {},
            "/version": {"Version": "0.0", "ApiVersion": self.api_version, "Os": "linux", "Arch": "amd64"},
            "/info": {"ID": self.engine_id, "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]},
        }
        return json_answer(own[path]) if path in own else json_answer({"message": "no such image"}, 404)
