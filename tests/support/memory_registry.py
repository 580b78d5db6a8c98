"""Serve a registry in memory, small enough for unit tests of what speaks to registries."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class MemoryRegistry:
    """Hold what was pushed: blobs by digest, manifests by reference and by digest."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    address: str = ""


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: MemoryRegistry

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Write no access log."""

    def do_POST(self) -> None:
        """Open an upload."""
        location = f"http://{self.headers['Host']}{self.path}{len(self.store.uploads)}"
        self.store.uploads[urlsplit(location).path] = b""
        self._answer(202, {"Location": location})

    def do_PATCH(self) -> None:
        """Add to an upload."""
        self.store.uploads[self.path] += self._body()
        self._answer(202, {"Location": f"http://{self.headers['Host']}{self.path}"})

    def do_PUT(self) -> None:
        """Finish an upload, or take a manifest."""
        url, content = urlsplit(self.path), self._body()
        if "/uploads/" in url.path:
            blob = self.store.uploads.pop(url.path) + content
            if parse_qs(url.query)["digest"] != [_digest(blob)]:
                return self._answer(400, {})
            self.store.blobs[_digest(blob)] = blob
            return self._answer(201, {})
        kept = (self.headers["Content-Type"], content)
        self.store.manifests[url.path.rsplit("/", 1)[1]] = self.store.manifests[_digest(content)] = kept
        return self._answer(201, {})

    def do_GET(self) -> None:
        """Serve a manifest or a blob."""
        kind, reference = urlsplit(self.path).path.split("/")[-2:]
        found: bytes | None
        if kind == "manifests":
            media_type, found = self.store.manifests.get(reference, ("", None))
        else:
            media_type, found = "application/octet-stream", self.store.blobs.get(reference)
        if found is None:
            code = "MANIFEST_UNKNOWN" if kind == "manifests" else "BLOB_UNKNOWN"
            error = f'{{"errors":[{{"code":"{code}","message":"not here"}}]}}'
            return self._answer(404, {"Content-Type": "application/json"}, error.encode())
        return self._answer(200, {"Content-Type": media_type}, found)

    def do_HEAD(self) -> None:
        """Say whether there is a manifest or a blob."""
        self.do_GET()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _answer(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    """Keep quiet about clients that leave in the middle: tests make them do so."""

    def handle_error(self, *_: object) -> None:
        """Drop the error."""


@contextmanager
def serving() -> Iterator[MemoryRegistry]:
    """Serve an empty registry on a free port while the block runs."""
    store = MemoryRegistry()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": store}))
    store.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
