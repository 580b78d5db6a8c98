"""Write and read kubeconfig files, and call an API server with them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import requests
import yaml

from devcluster.errors import DevClusterError
from devcluster.layout import write_private

_NAME = "imageops-dev"
_SECONDS = 60.0
"""For an answer: as long as the API server itself gives a request."""


@dataclass(frozen=True, slots=True)
class Access:
    """Say how one user reaches one API server. `user` is a kubeconfig's user entry, so it holds secrets."""

    server: str
    ca_data: str
    user: dict[str, str] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Access:
        """Read the current context of a kubeconfig.

        Files named in it are taken in. Raises `DevClusterError` if it gives no token and no client certificate.
        """
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
            contexts = {entry["name"]: entry["context"] for entry in document["contexts"]}
            context = contexts[document["current-context"]]
            cluster = next(it["cluster"] for it in document["clusters"] if it["name"] == context["cluster"])
            user = next(it["user"] for it in document["users"] if it["name"] == context["user"])
            ca_data = _data(cluster, "certificate-authority", path)
        except (OSError, KeyError, TypeError, StopIteration, yaml.YAMLError) as error:
            msg = f"KUBECONFIG names {path}, which is no kubeconfig with a current context ({type(error).__name__})"
            raise DevClusterError(msg) from error
        if "token" in user:
            kept = {"token": user["token"]}
        else:
            kept = {f"{key}-data": _data(user, key, path) for key in ("client-certificate", "client-key")}
        if not all(kept.values()):
            msg = f"{path}: only a token or a client certificate can be used here"
            raise DevClusterError(msg)
        return cls(server=cluster["server"], ca_data=ca_data, user=kept)

    def write(self, path: Path) -> None:
        """Write a kubeconfig that only its owner can read."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": _NAME,
            "clusters": [
                {"name": _NAME, "cluster": {"server": self.server, "certificate-authority-data": self.ca_data}}
            ],
            "users": [{"name": _NAME, "user": self.user}],
            "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}],
        }
        write_private(path, yaml.safe_dump(document, sort_keys=False))


def _data(entry: dict[str, str], key: str, path: Path) -> str:
    if inline := entry.get(f"{key}-data"):
        return inline
    if named := entry.get(key):
        return base64.b64encode((path.parent / named).read_bytes()).decode()
    return ""


class KubeClient:
    """Call an API server as the user of an `Access`, as a context manager. Answers are plain documents."""

    def __init__(self, access: Access, folder: Path) -> None:
        """Keep the certificates as files in this folder, as the TLS library wants them."""
        self._server = access.server
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(_keep(folder / "ca.pem", access.ca_data)) if access.ca_data else True
        if token := access.user.get("token"):
            self._session.headers["Authorization"] = f"Bearer {token}"
        else:
            self._session.cert = (
                str(_keep(folder / "client.pem", access.user["client-certificate-data"])),
                str(_keep(folder / "client-key.pem", access.user["client-key-data"])),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def get(self, path: str) -> dict[str, Any] | None:
        """Read one object; None if it does not exist."""
        response = self._session.get(self._server + path, timeout=_SECONDS)
        if response.status_code == requests.codes.not_found:
            return None
        return self._document(response)

    def create(self, path: str, document: dict[str, Any]) -> bool:
        """Create one object; answer False if it was there already."""
        response = self._session.post(self._server + path, json=document, timeout=_SECONDS)
        if response.status_code == requests.codes.conflict:
            return False
        self._document(response)
        return True

    def replace(self, path: str, document: dict[str, Any]) -> None:
        """Replace one object or subresource."""
        self._document(self._session.put(self._server + path, json=document, timeout=_SECONDS))

    def apply(self, path: str, document: dict[str, Any]) -> None:
        """Apply one object on the server side, taking over fields that others own."""
        response = self._session.patch(
            self._server + path,
            params={"fieldManager": "devcluster", "force": "true"},
            json=document,
            headers={"Content-Type": "application/apply-patch+yaml"},
            timeout=_SECONDS,
        )
        self._document(response)

    def delete(self, path: str) -> None:
        """Delete one object, if it is there."""
        response = self._session.delete(self._server + path, timeout=_SECONDS)
        if response.status_code != requests.codes.not_found:
            self._document(response)

    def _document(self, response: requests.Response) -> dict[str, Any]:
        if not response.ok:
            msg = f"the API server answered {response.status_code} to {response.request.method} {response.url}"
            raise DevClusterError(msg)
        document: dict[str, Any] = response.json()
        return document


def _keep(path: Path, encoded: str) -> Path:
    write_private(path, base64.b64decode(encoded).decode())
    return path
