"""A validating admission webhook that denies whatever the API server asks it about."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from imageops.api.kinds import GROUP
from tests.support.admission import ApiServer
from tests.support.certificates import make_tls_files

COLLECTION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class Webhook:
    """One webhook in one namespace; a context manager.

    Its address is known from the beginning, and nobody answers there before `answer`.
    """

    def __init__(
        self,
        api: ApiServer,
        namespace: str,
        *resources: str,
        words: str,
        folder: Path,
        operation: str = "CREATE",
    ) -> None:
        """Choose what to refuse, and with which words; keys and certificates go into the folder."""
        self._api = api
        self._name = f"{namespace}.webhook.example"
        self._namespace = namespace
        self._resources = resources
        self._operation = operation
        self._tls = make_tls_files(folder)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _denying(words), bind_and_activate=False)
        self._server.server_bind()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Have the API server ask here from now on."""
        webhook = {
            "name": self._name,
            "clientConfig": {
                "url": f"https://127.0.0.1:{self._server.server_port}/judge",
                "caBundle": base64.b64encode(self._tls.client.ca.read_bytes()).decode(),
            },
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}},
            "rules": [
                {
                    "apiGroups": [GROUP],
                    "apiVersions": ["*"],
                    "operations": [self._operation],
                    "resources": list(self._resources),
                }
            ],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        sent = self._api.request("POST", COLLECTION, {"metadata": {"name": self._name}, "webhooks": [webhook]})
        assert sent.status == 201, sent.message
        return self

    def __exit__(self, *_: object) -> None:
        """Have it ask no more."""
        self._api.request("DELETE", f"{COLLECTION}/{self._name}")
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def answer(self) -> None:
        """Begin to answer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._tls.server, self._tls.server_key)
        self._server.server_activate()
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, name="webhook", daemon=True)
        self._thread.start()


def _denying(words: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            response = {"uid": review["request"]["uid"], "allowed": False, "status": {"code": 403, "message": words}}
            content = json.dumps({**review, "request": None, "response": response}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
