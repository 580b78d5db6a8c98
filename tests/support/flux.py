"""Run Flux's own kustomize-controller, and stand in for its source-controller: publish what Git would hold."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from devcluster.pipeline_parts import KUSTOMIZE_CONTROLLER, KUSTOMIZE_CONTROLLER_VERSION
from devcluster.ports import free_ports
from tests.support.admission import ApiServer
from tests.support.clients import Client, program
from tests.support.go_modules import module_folder

Body = dict[str, Any]

SYSTEM = "flux-system"
SOURCES = "source.toolkit.fluxcd.io"
KUSTOMIZATIONS = "kustomize.toolkit.fluxcd.io"
READY_SECONDS = 60.0
CRDS = (
    ("github.com/fluxcd/kustomize-controller", KUSTOMIZE_CONTROLLER_VERSION),
    ("github.com/fluxcd/source-controller", "v1.9.5"),
)
"""The modules whose definitions the controller needs."""


def condition(body: Body, kind: str = "Ready") -> Body:
    """Return a condition; an empty one if there is none."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), {})


@dataclass(frozen=True, slots=True)
class Flux:
    """A running kustomize-controller, and the artifacts it is given."""

    api: ApiServer
    folder: Path
    address: str
    """Where the artifacts are served."""

    def publish(self, source: str, files: Mapping[str, str]) -> str:
        """Make files the newest revision of a source; return the revision."""
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w:gz") as archive:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        content = raw.getvalue()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        name = f"{source}-{digest[7:19]}.tar.gz"
        (self.folder / name).write_bytes(content)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        revision = f"latest@{digest}"
        artifact = {
            "digest": digest,
            "lastUpdateTime": now,
            "path": name,
            "revision": revision,
            "size": len(content),
            "url": f"http://{self.address}/{name}",
        }
        path = f"/apis/{SOURCES}/v1/namespaces/{SYSTEM}/ocirepositories"
        spec = {"interval": "1h", "url": "oci://registry.example/platform"}
        head = {"apiVersion": f"{SOURCES}/v1", "kind": "OCIRepository", "metadata": {"name": source}}
        self._sent("POST", path, {**head, "spec": spec}, good=(201, 409))
        ready = {
            "lastTransitionTime": now,
            "message": "stored",
            "observedGeneration": 1,
            "reason": "Succeeded",
            "status": "True",
            "type": "Ready",
        }
        status = {"artifact": artifact, "conditions": [ready], "observedGeneration": 1}
        self._sent("PATCH", f"{path}/{source}/status", {"status": status})
        return revision

    def create(self, name: str, source: str, **spec: Any) -> Body:
        """Create a Kustomization of a published source."""
        reference = {"kind": "OCIRepository", "name": source}
        return self._sent(
            "POST",
            self._path(),
            {
                "apiVersion": f"{KUSTOMIZATIONS}/v1",
                "kind": "Kustomization",
                "metadata": {"name": name, "namespace": SYSTEM},
                "spec": {**spec, "sourceRef": reference},
            },
        )

    def get(self, name: str) -> Body:
        """Read a Kustomization."""
        return self._sent("GET", self._path(name))

    def wait(self, name: str, holds: Callable[[Body], bool], *, seconds: float = 90.0) -> Body:
        """Return a Kustomization as soon as something holds for it."""
        deadline = time.monotonic() + seconds
        while not holds(body := self.get(name)):
            assert time.monotonic() < deadline, body.get("status")
            time.sleep(0.05)
        return body

    def wait_ready(self, name: str, revision: str) -> Body:
        """Return a Kustomization when all of a revision is applied and Ready."""

        def ready(body: Body) -> bool:
            applied = (body.get("status") or {}).get("lastAppliedRevision")
            return applied == revision and condition(body).get("status") == "True"

        return self.wait(name, ready)

    def delete(self, name: str) -> None:
        """Delete a Kustomization and wait until what it applied is pruned."""
        self._sent("DELETE", self._path(name), good=(200, 202, 404))
        deadline = time.monotonic() + READY_SECONDS
        while self.api.request("GET", self._path(name)).status != requests.codes.not_found:
            assert time.monotonic() < deadline, f"{name} is still there"
            time.sleep(0.05)

    def _path(self, name: str = "") -> str:
        return f"/apis/{KUSTOMIZATIONS}/v1/namespaces/{SYSTEM}/kustomizations/{name}".rstrip("/")

    def _sent(self, method: str, path: str, body: Body | None = None, *, good: tuple[int, ...] = (200, 201)) -> Body:
        answer = self.api.request(method, path, body)
        assert answer.status in good, f"{method} {path}: {answer.status} {answer.message}"
        return answer.body


@contextmanager
def running_flux(api: ApiServer, kubectl: Client, folder: Path) -> Iterator[Flux]:
    """Install Flux's definitions and run its controller while the block runs; both go with it."""
    definitions = [str(module_folder(*module) / "config" / "crd" / "bases") for module in CRDS]
    files = [word for each in definitions for word in ("--filename", each)]
    kubectl.run("apply", "--server-side", *files)
    kubectl.run("wait", "--for=condition=Established", "--timeout=30s", *files)
    try:
        api.request("POST", "/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
        with _serving(folder) as address, _controller(kubectl, folder):
            yield Flux(api, folder, address)
    finally:
        kubectl.run("delete", "--ignore-not-found", "--wait=false", *files)
        api.request("DELETE", f"/api/v1/namespaces/{SYSTEM}")


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="artifacts")
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing about it."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


@contextmanager
def _controller(kubectl: Client, folder: Path) -> Iterator[None]:
    health, metrics = free_ports(2)
    command = [
        str(program(KUSTOMIZE_CONTROLLER)),
        "--enable-leader-election=false",
        "--requeue-dependency=1s",
        f"--health-addr=127.0.0.1:{health}",
        f"--metrics-addr=127.0.0.1:{metrics}",
        "--events-addr=",
        "--log-level=debug",
    ]
    environment = {
        **os.environ,
        "HOME": str(kubectl.home),
        "KUBECONFIG": kubectl.kubeconfig,
        "RUNTIME_NAMESPACE": SYSTEM,
    }
    log = folder.parent / "kustomize-controller.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(f"http://127.0.0.1:{health}/readyz"):
            assert process.poll() is None, log.read_text(encoding="utf-8")[-2000:]
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")[-2000:]
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
