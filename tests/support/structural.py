"""Check a CustomResourceDefinition against the rules of structural schemas and our own, apart from the generator.

Source of the rules: the Kubernetes documentation on CustomResourceDefinitions, "Specifying a structural schema".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FORBIDDEN = {
    "$defs",
    "$id",
    "$ref",
    "allOf",
    "anyOf",
    "const",
    "definitions",
    "dependencies",
    "deprecated",
    "discriminator",
    "examples",
    "id",
    "not",
    "nullable",
    "oneOf",
    "patternProperties",
    "prefixItems",
    "propertyNames",
    "readOnly",
    "title",
    "uniqueItems",
    "writeOnly",
    "xml",
}
UNLIMITED = {".apiVersion", ".kind"}
"""Strings that the API server limits by itself."""
TYPES = {"array", "boolean", "integer", "object", "string"}
NOT_RE2 = re.compile(r"\(\?(?:[=!]|<[=!])|\\[wWdDsSbB]|[*+?}]\+")


def violations(definition: dict[str, Any]) -> list[str]:
    """Return what is wrong with a definition, one sentence each; empty if nothing is."""
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found = list(_of_node(schema, ""))
    found += _of_spec(schema["properties"]["spec"], "spec", below_list=False)
    if "status" in schema["properties"]:
        status = schema["properties"]["status"]
        found += [f"status{path}: has an enum" for path, node in nodes(status) if "enum" in node]
        found += [f"status{path}: has a default" for path, node in nodes(status) if path and "default" in node]
    return found


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and schema of a node and of everything below it."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def _of_node(schema: dict[str, Any], root: str) -> Iterator[str]:
    for path, node in nodes(schema, root):
        if forbidden := FORBIDDEN & node.keys():
            yield f"{path}: has {sorted(forbidden)}"
        if node.get("type") not in TYPES:
            yield f"{path}: has the type {node.get('type')}"
        if "additionalProperties" in node and ("properties" in node or "maxProperties" not in node):
            yield f"{path}: a map has fixed properties or no maxProperties"
        if any(not isinstance(node.get(bound, True), bool) for bound in ("exclusiveMinimum", "exclusiveMaximum")):
            yield f"{path}: an exclusive bound is a number"
        if NOT_RE2.search(node.get("pattern", "")):
            yield f"{path}: the pattern means something else in RE2, or nothing"
        if node["type"] == "array":
            yield from _of_list(node, path)
        if node["type"] == "string" and not ({"maxLength", "enum", "format"} & node.keys()) and path not in UNLIMITED:
            yield f"{path}: has no maxLength"
        if not node.get("description") and not re.fullmatch(r".*\[\]|.*\{\}|\.metadata", path):
            yield f"{path}: has no description"


def _of_list(node: dict[str, Any], path: str) -> Iterator[str]:
    kind = node.get("x-kubernetes-list-type")
    if "maxItems" not in node:
        yield f"{path}: a list has no maxItems"
    if kind not in {"atomic", "map", "set"}:
        yield f"{path}: a list has no list type"
    if kind == "set" and node["items"]["type"] in {"array", "object"}:
        yield f"{path}: a set holds more than scalars"
    if kind == "map":
        keys = node.get("x-kubernetes-list-map-keys", [])
        if not keys or not set(keys) <= set(node["items"].get("required", [])):
            yield f"{path}: a key of the list map is not required"


def _of_spec(schema: dict[str, Any], path: str, *, below_list: bool) -> Iterator[str]:
    """Yield what is wrong with the defaults of a spec."""
    if "default" in schema and (below_list or isinstance(schema["default"], bool)):
        yield f"{path}: a default below a list, or of a boolean"
    if "default" in schema and "enum" in schema and schema["default"] not in schema["enum"]:
        yield f"{path}: the default is not among the values"
    for name, field in schema.get("properties", {}).items():
        yield from _of_spec(field, f"{path}.{name}", below_list=below_list)
    if "items" in schema:
        yield from _of_spec(schema["items"], f"{path}[]", below_list=True)
    if "additionalProperties" in schema:
        yield from _of_spec(schema["additionalProperties"], f"{path}{{}}", below_list=True)
