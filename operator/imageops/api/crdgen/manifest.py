"""Put the CustomResourceDefinition of a kind together: names, columns, selectable fields, schema, first status."""

from typing import Any

import yaml

from imageops.api.crdgen.structural import Schema, structural_schema
from imageops.api.kinds import ALL_KINDS, CATEGORY, GROUP, VERSION, Column, Kind
from imageops.api.status import UNSEEN_GENERATION, Phase

HEADER = "# Generated from the models in operator/imageops/api by `python -m imageops.api.crdgen`; do not edit.\n"
LINE_WIDTH = 120


def crd_files() -> dict[str, str]:
    """Return the file name and YAML text of every kind's CustomResourceDefinition."""
    return {f"{kind.plural}.{GROUP}.yaml": HEADER + _as_yaml(crd(kind)) for kind in ALL_KINDS}


def crd(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    names: dict[str, Any] = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.singular,
    }
    if kind.namespaced:  # `kubectl get imageops` has to work with rights in one namespace alone
        names["categories"] = [CATEGORY]
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
    }
    if kind.selectable_fields:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable_fields]
    if kind.status_model is not None:
        version["subresources"] = {"status": {}}
    version["schema"] = {"openAPIV3Schema": _object_schema(kind)}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {
            "group": GROUP,
            "names": names,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [version],
        },
    }


def _object_schema(kind: Kind) -> Schema:
    spec = structural_schema(kind.spec_model, defaults=True)
    schema: Schema = {
        "description": spec["description"],
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": "Group and version of the kind.", "type": "string"},
            "kind": {"description": "Name of the kind.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
        },
    }
    if kind.status_model is not None:
        status = structural_schema(kind.status_model, defaults=False)
        if kind.seeded:
            status["default"] = {"observedGeneration": UNSEEN_GENERATION, "phase": Phase.PENDING.value}
        schema["properties"]["status"] = status
    if kind.rules:
        schema["x-kubernetes-validations"] = [rule.as_wire() for rule in kind.rules]
    return schema


def _column(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.priority:
        entry["priority"] = int(column.priority)
    return entry


class _PlainDumper(yaml.SafeDumper):
    """Write every list and map out, without anchors."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  (signature of the base class)
        return True


def _as_yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_PlainDumper, sort_keys=False, width=LINE_WIDTH, allow_unicode=True)
