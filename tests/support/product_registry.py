"""Serve a registry that has one image and answers one kind of request as a product is known to answer it.

What the answers are stands in `registry_answers/*.yaml`. Everything else works: it asks for a credential by Basic or by
a token service, serves the image, and takes what is pushed. A gate before it speaks to Engines that begin with TLS.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from devcluster.gate import RegistryGate
from devcluster.images import push_image
from tests.support.registry_answers import Answer, At, Login

USER, PASSWORD = "anna", "the-right-password"
REPOSITORY, TAG = "team/app", "v1"
_TOKEN = "token-of-the-scripted-service"
_BASIC = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


@dataclass(slots=True)
class ProductRegistry:
    """Hold an image's blobs and manifests, and count what came."""

    answer: Answer
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """By repository and digest."""
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    """By repository, and tag or digest."""
    log_ins: int = 0
    """Requests that carried a user name and password: to the registry itself, or to its token service."""
    given: int = 0
    """How often the scripted answer was given."""
    pushed: bool = False
    ready: bool = False
    """Whether the image is in it: until then everything works, and nothing is counted."""
    uploads: dict[str, bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count_log_in(self) -> None:
        """Count one."""
        with self._lock:
            self.log_ins += self.ready

    def scripted(self, at: At) -> bool:
        """Say whether the scripted answer is due here, and count it."""
        with self._lock:
            due = self.ready and self.answer.at is at and (self.answer.times is None or self.given < self.answer.times)
            self.given += due
            return due


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: ProductRegistry

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Write no access log."""

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Serve the token service, a log-in page, the storage, or the registry's own interface."""
        url = urlsplit(self.path)
        if url.path == "/token":
            scopes = parse_qs(url.query).get("scope", [])
            self._token(len(scopes), with_password="Authorization" in self.headers)
        elif url.path == "/login":
            self._send(200, {"Content-Type": "text/html"}, b"<html><body>Sign in</body></html>")
        elif url.path.startswith("/storage/"):
            self._at(At.STORAGE, lambda: self._blob(REPOSITORY, url.path.rpartition("/")[2]))
        elif url.path == "/v2/":
            self._at(At.PING, lambda: None if self._refused() else self._send(200))
        elif not self._refused():
            self._content(url.path)

    def _content(self, path: str) -> None:
        """Serve a manifest or a blob."""
        kind, name = path.split("/")[-2:]
        if kind == "manifests":
            self._manifest(_repository(path), name)
        elif self.command == "GET" and self.registry.answer.at is At.STORAGE:
            host = self.headers["Host"].replace("127.0.0.1", "localhost")
            self._send(307, {"Location": f"http://{host}/storage/{name}?X-Amz-Signature=0123456789abcdef"})
        elif self.command == "GET" and self.registry.scripted(At.DAMAGED_BLOB):
            self._damaged(_repository(path), name)
        elif self.command == "GET":
            self._at(At.BLOB, lambda: self._blob(_repository(path), name))
        else:
            self._blob(_repository(path), name)

    def _damaged(self, repository: str, digest: str) -> None:
        """Serve a blob with one byte that is another."""
        content = bytearray(self.registry.blobs[repository, digest])
        content[-1] ^= 1
        self._send(200, {"Content-Type": "application/octet-stream"}, bytes(content))

    def _at(self, at: At, otherwise: Callable[[], None]) -> None:
        """Answer as the script says if it is due here."""
        if self.registry.scripted(at):
            self._script()
        else:
            otherwise()

    def do_POST(self) -> None:
        """Give a token for a password in a form, or open an upload."""
        if urlsplit(self.path).path == "/token":
            form = parse_qs(self._body().decode())
            scopes = " ".join(form.get("scope", [])).split()
            return self._token(len(scopes), with_password="password" in form or "refresh_token" in form)
        self._body()
        if self._refused():
            return None
        if "mount=" in self.path and self.registry.scripted(At.MOUNT):
            return self._script()
        if self.registry.scripted(At.START):
            return self._script()
        name = secrets.token_hex(8)
        self.registry.uploads[name] = b""
        return self._taken(_repository(urlsplit(self.path).path), name, 0)

    def do_PATCH(self) -> None:
        """Take a part of a blob."""
        part = self._body()
        if self._refused():
            return None
        if self.registry.scripted(At.SEND):
            return self._script()
        path = urlsplit(self.path).path
        name = path.rpartition("/")[2]
        self.registry.uploads[name] += part
        return self._taken(_repository(path), name, len(self.registry.uploads[name]))

    def do_PUT(self) -> None:
        """Finish an upload, or take a manifest."""
        url, content = urlsplit(self.path), self._body()
        if self._refused():
            return None
        if "/uploads/" in url.path:
            if self.registry.scripted(At.SEND):
                return self._script()
            digest = parse_qs(url.query)["digest"][0]
            name = url.path.rpartition("/")[2]
            self.registry.blobs[_repository(url.path), digest] = self.registry.uploads.pop(name) + content
            return self._send(201, {"Docker-Content-Digest": digest})
        if self.registry.scripted(At.FINISH):
            return self._script()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        kept = (self.headers["Content-Type"], content)
        for name in (url.path.rpartition("/")[2], digest):
            self.registry.manifests[_repository(url.path), name] = kept
        self.registry.pushed = self.registry.ready
        return self._send(201, {"Docker-Content-Digest": digest})

    def _manifest(self, repository: str, name: str) -> None:
        if self.registry.scripted(At.MANIFEST) or (self.registry.pushed and self.registry.scripted(At.READ_BACK)):
            return self._script()
        if (repository, name) not in self.registry.manifests:
            return self._error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, content = self.registry.manifests[repository, name]
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return self._send(200, {"Content-Type": media_type, "Docker-Content-Digest": digest}, content)

    def _blob(self, repository: str, digest: str) -> None:
        content = self.registry.blobs.get((repository, digest))
        if content is None:
            return self._error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        return self._send(200, {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}, content)

    def _taken(self, repository: str, name: str, size: int) -> None:
        """Say that an upload goes on."""
        location = f"http://{self.headers['Host']}/v2/{repository}/blobs/uploads/{name}"
        self._send(202, {"Location": location, "Docker-Upload-UUID": name, "Range": f"0-{max(0, size - 1)}"})

    def _token(self, scopes: int, *, with_password: bool) -> None:
        """Give a token for so many scopes, to anybody."""
        if with_password:
            self.registry.count_log_in()
        if self.registry.scripted(At.TOKEN) or (scopes > 1 and self.registry.scripted(At.SECOND_SCOPE)):
            return self._script()
        body = {"token": _TOKEN, "access_token": _TOKEN, "expires_in": 300}
        return self._send(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def _refused(self) -> bool:
        """Ask for a credential where none came, or refuse a wrong one as the script says."""
        answer, sent = self.registry.answer, self.headers.get("Authorization")
        if sent is not None and sent.startswith("Basic "):
            self.registry.count_log_in()
        if answer.login is Login.NONE or not self.registry.ready:
            return False
        if answer.login is Login.TOKEN:
            if sent == f"Bearer {_TOKEN}":
                return False
            challenge = f'Bearer realm="http://{self.headers["Host"]}/token",service="registry"'
            self._error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})
            return True
        if sent == _BASIC:
            return False
        if sent is not None and self.registry.scripted(At.PASSWORD):
            self._script({"WWW-Authenticate": 'Basic realm="registry"'} if answer.status == 401 else {})
            return True
        self._error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": 'Basic realm="registry"'})
        return True

    def _script(self, more: Mapping[str, str] | None = None) -> None:
        answer = self.registry.answer
        headers = {name: value.replace("HOST", self.headers["Host"]) for name, value in answer.headers.items()}
        self._send(answer.status, {**(more or {}), **headers}, answer.body.encode())

    def _error(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self._send(status, {"Content-Type": "application/json", **(headers or {})}, body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _send(self, status: int, headers: Mapping[str, str] | None = None, content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _repository(path: str) -> str:
    """Return the repository that a path of the registry's interface is about."""
    return re.sub(r"^/v2/(.+?)/(?:blobs|manifests)/.*", r"\1", path)


class _Server(ThreadingHTTPServer):
    """Keep quiet about clients that leave in the middle: Engines do so."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Drop the error."""


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[ProductRegistry, RegistryGate]]:
    """Serve a registry with `team/app:v1` that answers so, with a gate before it, while the block runs."""
    registry = ProductRegistry(answer)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": registry}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        with RegistryGate(f"127.0.0.1:{server.server_address[1]}") as gate:
            push_image(gate.address, REPOSITORY, TAG, seed=secrets.randbits(32))
            registry.ready = True
            yield registry, gate
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
