"""Check objects against the schemas that a version of Kubernetes, or the CRD of another project, publishes for them.

Stricter than a server in one way: a field that the schema does not have is an error at any depth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from faults.schema.crd import form
from tests.support.go_modules import module_folder

Schema = Mapping[str, Any]

KUBERNETES = {"1.32": "v1.32.9", "1.33": "v1.33.5", "1.34": "v1.34.4"}
"""The version whose documents stand for a minor version."""
_EXTERNAL_SECRETS = ("github.com/external-secrets/external-secrets", "v1.3.2")
_CRDS = {
    "monitoring.coreos.com": ("github.com/prometheus-operator/prometheus-operator", "v0.85.0", "example"),
    "cert-manager.io": ("github.com/cert-manager/cert-manager", "v1.21.2", "deploy/crds"),
    "external-secrets.io": (*_EXTERNAL_SECRETS, "config/crds/bases"),
    "generators.external-secrets.io": (*_EXTERNAL_SECRETS, "config/crds/bases"),
    "kustomize.toolkit.fluxcd.io": ("github.com/fluxcd/kustomize-controller", "v1.9.5", "config/crd/bases"),
    "policies.kyverno.io": ("github.com/kyverno/kyverno", "v1.19.1", "config/crds/policies.kyverno.io"),
    "source.toolkit.fluxcd.io": ("github.com/fluxcd/source-controller", "v1.9.5", "config/crd/bases"),
    "helm.cattle.io": ("github.com/k3s-io/helm-controller", "v0.17.7", "pkg/crds/yaml"),
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}


@dataclass(frozen=True, slots=True)
class Published:
    """One schema, and the document that its references point into."""

    schema: Schema
    document: Schema

    def problems(self, body: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with an object, one line each."""
        return list(self._problems(body, self.schema, body["kind"]))

    def _problems(self, value: Any, schema: Schema, path: str) -> Iterator[str]:
        schema = self._resolved(schema)
        if (choices := schema.get("oneOf") or schema.get("anyOf")) and "properties" not in schema:
            found = [list(self._problems(value, choice, path)) for choice in choices]
            yield from [] if any(not each for each in found) else found[0]
            return
        if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
            if not isinstance(value, int | str):
                yield f"{path}: {value!r} is neither a number nor a string"
            return
        kind = schema.get("type")
        mistaken = isinstance(value, bool) and kind != "boolean"  # Python's bool is an int
        if kind is not None and (mistaken or not isinstance(value, _TYPES[kind])):
            yield f"{path}: {value!r} is no {kind}"
        elif isinstance(value, dict):
            yield from self._of_object(value, schema, path)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                yield from self._problems(item, schema["items"], f"{path}[{number}]")
        elif "enum" in schema and value not in schema["enum"]:
            yield f"{path}: {value!r} is none of {schema['enum']}"
        elif (pattern := form(schema)) is not None and not re.search(pattern, value):
            yield f"{path}: {value!r} is not like {pattern}"

    def _of_object(self, value: Mapping[str, Any], schema: Schema, path: str) -> Iterator[str]:
        yield from (f"{path}: {name} is missing" for name in schema.get("required", ()) if name not in value)
        fields, others = schema.get("properties", {}), schema.get("additionalProperties")
        anything = schema.get("x-kubernetes-preserve-unknown-fields") or not (fields or others)
        for name, item in value.items():
            if name in fields:
                yield from self._problems(item, fields[name], f"{path}.{name}")
            elif isinstance(others, dict):
                yield from self._problems(item, others, f"{path}.{name}")
            elif not anything:
                yield f"{path}: there is no field {name}"

    def _resolved(self, schema: Schema) -> Schema:
        while True:
            [reference] = [part["$ref"] for part in (schema, *schema.get("allOf", ())) if "$ref" in part] or [None]
            if reference is None:
                return schema
            schema = self.document["components"]["schemas"][reference.rpartition("/")[2]]


@cache
def published(version: str, api_version: str, kind: str) -> Published:
    """Return the schema of a kind as a minor version of Kubernetes, or the project that owns the group, has it."""
    group, _, number = api_version.rpartition("/")
    if group in _CRDS:
        return _of_crd(group, number, kind)
    name = f"apis__{group}__{number}" if group else f"api__{number}"
    document = _kubernetes(version, name)
    wanted = {"group": group, "version": number, "kind": kind}
    for schema in document["components"]["schemas"].values():
        if wanted in schema.get("x-kubernetes-group-version-kind", ()):
            return Published(schema, document)
    raise LookupError(f"Kubernetes {version} has no {api_version} {kind}")


@cache
def _kubernetes(version: str, name: str) -> Schema:
    folder = module_folder("k8s.io/kubernetes", KUBERNETES[version]) / "api" / "openapi-spec" / "v3"
    document: Schema = json.loads((folder / f"{name}_openapi.json").read_text(encoding="utf-8"))
    return document


def definition(group: str, kind: str) -> dict[str, Any]:
    """Return the CRD of a kind that another project publishes."""
    module, version, folder = _CRDS[group]
    for file in sorted((module_folder(module, version) / folder).rglob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        if f"\n  group: {group}\n" in text and f"\n    kind: {kind}\n" in text:
            found: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)
            return found
    raise LookupError(f"{module} {version} has no CRD of {kind}")


def _of_crd(group: str, number: str, kind: str) -> Published:
    [version] = [each for each in definition(group, kind)["spec"]["versions"] if each["name"] == number]
    schema = version["schema"]["openAPIV3Schema"]
    # A definition says nothing about metadata, which the API server checks by itself.
    return Published({**schema, "properties": {**schema["properties"], "metadata": {"type": "object"}}}, {})
