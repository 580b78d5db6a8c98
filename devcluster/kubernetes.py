"""Describe the Kubernetes control plane: etcd, kube-apiserver with RBAC, kube-controller-manager."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from devcluster import parts
from devcluster.certificates import Pki
from devcluster.kubeconfig import Access
from devcluster.layout import write_private
from devcluster.ports import ADDRESS, free_ports
from devcluster.probes import Probe
from devcluster.services import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from devcluster.layout import Layout
    from devcluster.parts import Part

ETCD, APISERVER, CONTROLLER_MANAGER = "etcd", "apiserver", "controller-manager"

ADMIN, OPERATOR, TEAM_A, TEAM_B = "imageops-admin", "imageops-operator", "imageops-team-a", "imageops-team-b"
USERS = (ADMIN, OPERATOR, TEAM_A, TEAM_B)
"""User names. The first is in the group system:masters, the others have only what is bound to them."""

_CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "certificatesigningrequest-signing-controller",
)
"""What objects of this project meet in a cluster, and the signer of user certificates; nodes and pods do not exist."""


_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  resources:
  - {group: "", resources: [secrets, serviceaccounts]}
- level: None
"""
"""Names what was asked for, and no content."""


def kubeconfig(layout: Layout, user: str) -> Path:
    """Locate the kubeconfig of a user."""
    return layout.kube / f"{user.removeprefix('imageops-')}.kubeconfig"


def audit_log(layout: Layout) -> Path:
    """Locate the API server's record of who asked for which Secret or ServiceAccount."""
    return layout.run / "kubernetes" / "audit.log"


def kubernetes_services(layout: Layout, program: Callable[[Part], Path], *, also: Sequence[str] = ()) -> list[Service]:
    """Describe the control plane; make its keys, its users' tokens and their kubeconfig files.

    `also` are addresses beside loopback at which the API server is to be known.
    """
    folder = layout.run / "kubernetes"
    pki = Pki(folder / "pki")
    pki.make(also=also)
    etcd_port, peer_port, api_port, manager_port = free_ports(4)
    server = f"https://{ADDRESS}:{api_port}"
    ca_data = base64.b64encode(pki.ca.read_bytes()).decode()
    tokens = folder / "tokens.csv"
    rows = []
    for user in USERS:
        token = secrets.token_urlsafe(32)
        rows.append(f"{token},{user},{user}" + (',"system:masters"' if user == ADMIN else ""))
        Access(server=server, ca_data=ca_data, user={"token": token}).write(kubeconfig(layout, user))
    write_private(tokens, "\n".join(rows) + "\n")
    policy = folder / "audit-policy.yaml"
    policy.write_text(_AUDIT_POLICY, encoding="utf-8")
    etcd_url, peer_url = f"http://{ADDRESS}:{etcd_port}", f"http://{ADDRESS}:{peer_port}"
    etcd = Service(
        name=ETCD,
        argv=(
            str(program(parts.ETCD)),
            f"--data-dir={folder}/etcd",
            f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
        ),
        probe=Probe(url=f"{etcd_url}/health"),
        log=f"{layout.logs}/{ETCD}.log",
        address=etcd_url,
    )
    apiserver = Service(
        name=APISERVER,
        argv=(
            str(program(parts.KUBE_APISERVER)),
            f"--etcd-servers={etcd_url}",
            f"--bind-address={ADDRESS}",
            f"--secure-port={api_port}",
            "--endpoint-reconciler-type=none",  # a loopback address may not be advertised, and nothing looks for it
            "--service-cluster-ip-range=10.96.0.0/24",
            f"--tls-cert-file={pki.server}",
            f"--tls-private-key-file={pki.server_key}",
            f"--client-ca-file={pki.ca}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=Node,RBAC",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={audit_log(layout)}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki.accounts_public}",
            f"--service-account-signing-key-file={pki.accounts_key}",
            "--allow-privileged=true",
        ),
        probe=Probe(url=f"{server}/readyz", ca=str(pki.ca)),
        log=f"{layout.logs}/{APISERVER}.log",
        address=server,
        after=(ETCD,),
    )
    manager = Service(
        name=CONTROLLER_MANAGER,
        argv=(
            str(program(parts.KUBE_CONTROLLER_MANAGER)),
            f"--kubeconfig={kubeconfig(layout, ADMIN)}",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--leader-elect=false",
            f"--bind-address={ADDRESS}",
            f"--secure-port={manager_port}",
            f"--tls-cert-file={pki.server}",
            f"--tls-private-key-file={pki.server_key}",
            f"--root-ca-file={pki.ca}",
            f"--service-account-private-key-file={pki.accounts_key}",
            f"--cluster-signing-cert-file={pki.ca}",
            f"--cluster-signing-key-file={pki.ca_key}",
        ),
        probe=Probe(url=f"https://{ADDRESS}:{manager_port}/healthz", ca=str(pki.ca)),
        log=f"{layout.logs}/{CONTROLLER_MANAGER}.log",
        address=f"https://{ADDRESS}:{manager_port}",
        after=(APISERVER,),
    )
    return [etcd, apiserver, manager]
