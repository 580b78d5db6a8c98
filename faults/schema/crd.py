"""Read the committed CRDs: their properties, their CEL rules, and what is wrong with a value by them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from imageops.api.kinds import GROUP, Kind

Schema = Mapping[str, Any]
Path_ = tuple[str, ...]
"""Names of properties from the spec down; `[]` stands for the entries of a list."""

_CRDS = Path(__file__).parents[2] / "crds"
_MATCHES = "self.matches("
"""Begins the rule that holds the form of a text."""
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
    "number": (int, float),
}


@functools.cache
def schema(kind: Kind, part: str) -> Schema:
    """Return the schema of `spec` or `status`."""
    text = (_CRDS / f"{kind.plural}.{GROUP}.yaml").read_text(encoding="utf-8")
    version = yaml.safe_load(text)["spec"]["versions"][0]
    found: Schema = version["schema"]["openAPIV3Schema"]["properties"][part]
    return found


def nodes(node: Schema, path: Path_ = ()) -> Iterator[tuple[Path_, Schema]]:
    """Yield a node and all below it, each with its path."""
    yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from nodes(inner, (*path, name))
    if "items" in node:
        yield from nodes(node["items"], (*path, "[]"))


def properties(kind: Kind) -> list[Path_]:
    """Return the paths of all properties of a spec."""
    return [path for path, _ in nodes(schema(kind, "spec")) if path]


def rules(kind: Kind) -> set[str]:
    """Return the messages of all CEL rules of a spec."""
    return {
        rule["message"]
        for path, node in nodes(schema(kind, "spec"))
        for rule in node.get("x-kubernetes-validations", ())
        if form(node) is None
    }


def form(node: Schema) -> str | None:
    """Return the regular expression that a text has to match, which stands in a rule or in `pattern`."""
    for rule in node.get("x-kubernetes-validations", ()):
        if rule["rule"].startswith(_MATCHES):
            return str(json.loads(rule["rule"].removeprefix(_MATCHES).removesuffix(")")))
    return node.get("pattern")


def problems(node: Schema, value: Any, path: str = "") -> Iterator[str]:
    """Yield what is wrong with a value by its schema, CEL apart, each with the path of what is wrong."""
    expected = _TYPES[node["type"]]
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        yield f"{path}: is no {node['type']}"
    elif isinstance(value, dict):
        yield from _of_object(node, value, path)
    elif isinstance(value, list):
        yield from _of_list(node, value, path)
    elif isinstance(value, str):
        yield from _of_text(node, value, path)
    elif not node.get("minimum", value) <= value <= node.get("maximum", value):
        yield f"{path}: is out of range"


def _of_object(node: Schema, value: Mapping[str, Any], path: str) -> Iterator[str]:
    known = node.get("properties", {})
    yield from (f"{path}.{name}: is required" for name in node.get("required", ()) if name not in value)
    for name, inner in value.items():
        if name in known:
            yield from problems(known[name], inner, f"{path}.{name}")
        elif "additionalProperties" in node:
            yield from problems(node["additionalProperties"], inner, f"{path}.{name}")
        else:
            yield f"{path}.{name}: is unknown"


def _of_list(node: Schema, value: list[Any], path: str) -> Iterator[str]:
    if not node.get("minItems", 0) <= len(value) <= node.get("maxItems", len(value)):
        yield f"{path}: has too few or too many entries"
    names = node.get("x-kubernetes-list-map-keys", ())
    keys = [[entry.get(name) for name in names] if isinstance(entry, dict) else entry for entry in value]
    if node.get("x-kubernetes-list-type") in {"set", "map"} and len({str(key) for key in keys}) < len(keys):
        yield f"{path}: has an entry twice"
    for number, entry in enumerate(value):
        yield from problems(node["items"], entry, f"{path}[{number}]")


def _of_text(node: Schema, value: str, path: str) -> Iterator[str]:
    if "enum" in node and value not in node["enum"]:
        yield f"{path}: is none of the words"
    if not node.get("minLength", 0) <= len(value) <= node.get("maxLength", len(value)):
        yield f"{path}: is too short or too long"
    # RE2's $ is the end of the text, Python's may be before a last line end.
    pattern = form(node)
    if pattern is not None and not re.search(pattern.replace("$", r"\Z"), value):
        yield f"{path}: has another form"
