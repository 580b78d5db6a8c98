"""Make two teams in an API server: namespaces, and users who may edit in one of them and nowhere else."""

from __future__ import annotations

import base64
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devcluster.certificates import make_request
from devcluster.errors import DevClusterError
from devcluster.kubeconfig import Access, KubeClient
from devcluster.kubernetes import OPERATOR, TEAM_A, TEAM_B, kubeconfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from devcluster.layout import Layout

TEAMS = {TEAM_A: "team-a", TEAM_B: "team-b"}
"""The namespace of each team's user."""

_SECONDS = 60.0
_POLL_SECONDS = 0.1
_RBAC = "rbac.authorization.k8s.io"
_REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


def make_teams(access: Access) -> tuple[str, ...]:
    """Make what is missing of the teams, wait until it works, and return the namespaces that were made.

    It works when the ClusterRole `edit` has been put together and each namespace has its ServiceAccount `default`.
    """
    with tempfile.TemporaryDirectory() as folder, KubeClient(access, Path(folder)) as client:
        made = []
        for user, namespace in TEAMS.items():
            body: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            if client.create("/api/v1/namespaces", body):
                made.append(namespace)
            client.create(f"/apis/{_RBAC}/v1/namespaces/{namespace}/rolebindings", _binding(user))
        _wait("the ClusterRole edit has rules", lambda: _has_rules(client))
        for namespace in TEAMS.values():
            _wait(f"{namespace} has its ServiceAccount", partial(_has_account, client, namespace))
        return tuple(made)


def make_users(access: Access, layout: Layout) -> None:
    """Have certificates signed for the plain users by an API server that is not ours, and write their kubeconfig files.

    Raises `DevClusterError` if the cluster has no signer of user certificates.
    """
    with tempfile.TemporaryDirectory() as folder, KubeClient(access, Path(folder)) as client:
        for user in (OPERATOR, *TEAMS):
            replace(access, user=_certified(client, user, Path(folder))).write(kubeconfig(layout, user))


def remove_teams(access: Access, namespaces: tuple[str, ...]) -> None:
    """Delete these namespaces and all that is in them."""
    with tempfile.TemporaryDirectory() as folder, KubeClient(access, Path(folder)) as client:
        for namespace in namespaces:
            client.delete(f"/api/v1/namespaces/{namespace}")


def _binding(user: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": user}],
    }


def _has_rules(client: KubeClient) -> bool:
    role = client.get(f"/apis/{_RBAC}/v1/clusterroles/edit")
    return bool(role and role.get("rules"))


def _has_account(client: KubeClient, namespace: str) -> bool:
    return client.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default") is not None


def _certified(client: KubeClient, user: str, folder: Path) -> dict[str, str]:
    key, request = folder / f"{user}.key", folder / f"{user}.csr"
    make_request(key=key, request=request, subject=f"/CN={user}")
    path = f"{_REQUESTS}/{user}"
    client.delete(path)
    body = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": user},
        "spec": {
            "request": base64.b64encode(request.read_bytes()).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }
    client.create(_REQUESTS, body)
    document = client.get(path) or body
    approval = {"type": "Approved", "status": "True", "reason": "DevCluster", "message": "A test user."}
    client.replace(f"{path}/approval", document | {"status": {"conditions": [approval]}})
    certificates: list[str] = []

    def signed() -> bool:
        certificate = ((client.get(path) or {}).get("status") or {}).get("certificate")
        certificates.extend([certificate] if certificate else [])
        return bool(certificates)

    _wait(f"the cluster signed a certificate for {user}", signed)
    client.delete(path)
    return {
        "client-certificate-data": certificates[0],
        "client-key-data": base64.b64encode(key.read_bytes()).decode(),
    }


def _wait(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        if time.monotonic() > deadline:
            msg = f"waited {_SECONDS:g} s in vain until {what}"
            raise DevClusterError(msg)
        time.sleep(_POLL_SECONDS)
