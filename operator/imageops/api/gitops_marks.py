"""Own the marks by which tools that make an object again when it is gone mark what they look after."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Place(StrEnum):
    """Say where a mark stands."""

    LABEL = "label"
    ANNOTATION = "annotation"


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark of one tool."""

    tool: str
    place: Place
    key: str
    value: str | None = None
    """None: any."""
    manager: str | None = None
    """How the name of a field manager of the object has to begin, where the key alone may be anybody's."""

    def stands_on(self, metadata: Mapping[str, Any]) -> bool:
        """Tell whether an object with this metadata has the mark."""
        found = (metadata.get(f"{self.place}s") or {}).get(self.key)
        if found is None or self.value not in {None, found}:
            return False
        managers = (str(entry.get("manager", "")) for entry in metadata.get("managedFields") or ())
        return self.manager is None or any(name.startswith(self.manager) for name in managers)


MARKS = (
    Mark("Argo CD", Place.ANNOTATION, "argocd.argoproj.io/tracking-id"),
    # With label tracking Argo CD sets nothing but this label, which Helm's charts and people set as well.
    Mark("Argo CD, tracking by label", Place.LABEL, "app.kubernetes.io/instance", manager="argocd"),
    Mark("Argo CD, tracking by a label of its own", Place.LABEL, "argocd.argoproj.io/instance"),
    Mark("Flux", Place.LABEL, "kustomize.toolkit.fluxcd.io/name"),
    Mark("Flux", Place.LABEL, "helm.toolkit.fluxcd.io/name"),
    Mark("Helm", Place.ANNOTATION, "meta.helm.sh/release-name"),
    Mark("kapp and kapp-controller", Place.LABEL, "kapp.k14s.io/app"),
    Mark("Fleet, Rancher", Place.ANNOTATION, "objectset.rio.cattle.io/id"),
    Mark("Fleet, Rancher", Place.LABEL, "objectset.rio.cattle.io/hash"),
    Mark("Config Sync", Place.ANNOTATION, "configmanagement.gke.io/managed", value="enabled"),
    Mark("Config Sync, kpt", Place.ANNOTATION, "config.k8s.io/owning-inventory"),
    Mark("kubectl's ApplySets", Place.LABEL, "applyset.kubernetes.io/part-of"),
    Mark("Crossplane", Place.LABEL, "crossplane.io/composite"),
)
"""The marks that are known; an administrator may name more."""


def is_managed(metadata: Mapping[str, Any]) -> bool:
    """Tell whether a tool that is known would make an object with this metadata again."""
    return any(mark.stands_on(metadata) for mark in MARKS)
