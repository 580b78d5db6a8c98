"""Talk to the API server the way kubectl does, and read the corpus of manifests that it must take or refuse."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import requests
import yaml
from kubernetes import client, config

from devcluster import env
from imageops.api.kinds import GROUP, VERSION, Kind
from tests.support.kinds import KINDS_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(__file__).parents[1] / "integration" / "admission"
REQUEST_TIMEOUT_SECONDS = 30
SERVED_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what the API server said to one request."""

    status: int
    body: dict[str, Any]
    warnings: tuple[str, ...]

    @property
    def message(self) -> str:
        """The text of a refusal, empty for an accepted request."""
        return str(self.body.get("message", "")) if self.status >= requests.codes.bad_request else ""


class ApiServer:
    """Send requests to the API server as the cluster's administrator."""

    def __init__(self, kubeconfig: str) -> None:
        """Read address and credentials of the kubeconfig's current context."""
        settings = client.Configuration()
        load: Callable[..., None] = config.load_kube_config
        load(config_file=kubeconfig, client_configuration=settings)
        self._address = settings.host
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = settings.ssl_ca_cert or True
        if settings.cert_file and settings.key_file:
            self._session.cert = (settings.cert_file, settings.key_file)
        token = settings.get_api_key_with_prefix("authorization") or settings.get_api_key_with_prefix("BearerToken")
        if token:
            self._session.headers["Authorization"] = token

    @classmethod
    def of_environment(cls) -> Self:
        """Return the API server that KUBECONFIG names, else that of this checkout's development cluster."""
        return cls(os.environ.get("KUBECONFIG") or env.load().kubeconfig)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def request(self, method: str, path: str, body: object = None, **parameters: str) -> Answer:
        """Send one request with strict field validation and return the answer, whatever its status."""
        content_type = {
            "PATCH": "application/merge-patch+json",
            "APPLY": "application/apply-patch+yaml",
        }.get(method, "application/json")
        response = self._session.request(
            "PATCH" if method == "APPLY" else method,
            self._address + path,
            params={"fieldValidation": "Strict", **parameters},
            json=body,
            headers={"Content-Type": content_type},
            timeout=REQUEST_TIMEOUT_SECONDS,
        )
        warnings = response.raw.headers.getlist("Warning")
        structured = "json" in response.headers.get("Content-Type", "")  # an unknown path is answered in plain text
        return Answer(response.status_code, response.json() if structured else {}, tuple(warnings))

    def stream(self, path: str, **parameters: str) -> requests.Response:
        """Open a watch and return its response, whose lines are events; the caller closes it."""
        response = self._session.get(self._address + path, params=parameters, stream=True, timeout=None)
        response.raise_for_status()
        return response

    def replace(self, path: str, part: str, value: object, **parameters: str) -> Answer:
        """Replace spec or status of an object by PUT, anew from what is stored while somebody else is quicker.

        Args:
            path: Path of the object.
            part: `spec` or `status`; the status is written through its subresource.
            value: What takes its place.
            parameters: Of the request.
        """
        deadline = time.monotonic() + REQUEST_TIMEOUT_SECONDS
        subresource = "/status" if part == "status" else ""
        while True:
            stored = self.request("GET", path).body
            answer = self.request("PUT", f"{path}{subresource}", {**stored, part: value}, **parameters)
            if answer.status != requests.codes.conflict or time.monotonic() > deadline:
                return answer

    def wait_until_served(self, kind: Kind) -> None:
        """Return when objects of the kind can be listed.

        Raises:
            TimeoutError: They could not within 30 s.
        """
        deadline = time.monotonic() + SERVED_TIMEOUT_SECONDS
        while self.request("GET", f"/apis/{GROUP}/{VERSION}/{kind.plural}", limit="1").status != requests.codes.ok:
            if time.monotonic() > deadline:
                message = f"{kind.kind} is not served"
                raise TimeoutError(message)
            time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Case:
    """Hold one manifest of the corpus, and why it is refused."""

    file: str
    name: str
    kind: Kind
    spec: object
    was: object = None
    """The spec before an update; None: the manifest is a new object."""
    says: tuple[str, ...] = ()
    """What the refusal must contain: the field, and the reason."""
    metadata: dict[str, Any] = field(default_factory=dict)

    def manifest(self, spec: object, *, namespace: str) -> dict[str, Any]:
        """Return the object as a user would apply it."""
        metadata: dict[str, Any] = {"name": self.name, **self.metadata}
        if self.kind.namespaced:
            metadata["namespace"] = namespace
        manifest = {"apiVersion": f"{GROUP}/{VERSION}", "kind": self.kind.kind, "metadata": metadata}
        return manifest if spec is None else {**manifest, "spec": spec}

    def path(self, *, namespace: str) -> str:
        """Return where objects of the case's kind are created."""
        scope = f"/namespaces/{namespace}" if self.kind.namespaced else ""
        return f"/apis/{GROUP}/{VERSION}{scope}/{self.kind.plural}"


def cases(folder: str) -> list[Case]:
    """Return the cases of `valid` or `invalid`, in the order of the files."""
    return [
        Case(
            file=path.name,
            name=entry["name"],
            kind=KINDS_BY_NAME[entry["kind"]],
            spec=entry.get("spec"),
            was=entry.get("was"),
            says=tuple(entry.get("says", ())),
            metadata=entry.get("metadata", {}),
        )
        for path in sorted((CORPUS / folder).glob("*.yaml"))
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]
