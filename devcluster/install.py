"""Apply what the operator needs before it starts: the kinds, its own rights, and those of its users."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml

from devcluster.kubeconfig import Access, KubeClient

ROOT = Path(__file__).parents[1]

_COLLECTIONS = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Namespace": "/api/v1/namespaces",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


def install(kubeconfig: Path) -> None:
    """Apply the CRDs and the roles, as the user of a kubeconfig file who may do so."""
    with tempfile.TemporaryDirectory() as folder, KubeClient(Access.read(kubeconfig), Path(folder)) as client:
        for document in manifests():
            metadata = document["metadata"]
            collection = _COLLECTIONS[document["kind"]].format(namespace=metadata.get("namespace"))
            client.apply(f"{collection}/{metadata['name']}", document)


def manifests() -> list[dict[str, Any]]:
    """Read the committed CRDs and roles."""
    files = [*sorted((ROOT / "crds").glob("*.yaml")), *sorted((ROOT / "devcluster" / "manifests").glob("*.yaml"))]
    return [document for file in files for document in yaml.safe_load_all(file.read_text(encoding="utf-8")) if document]
