"""Turn the JSON schema of a model into a structural schema, as CustomResourceDefinitions demand.

What a structural schema forbids (`$ref`, `anyOf` with null, numeric exclusive bounds, `const`, `additionalProperties:
false`) is rewritten; what cannot be said in one is refused here, at generation time.

Defaults reach the CRD only for text and numbers, and never below a list: the API server stores a default, and one
that appears inside a list is a difference from Git that GitOps tools try to undo for ever. A boolean has no default,
as its absence already means false.
"""

from typing import Any

from imageops.api.base import ApiModel

Schema = dict[str, Any]

_COPIED = frozenset(
    {
        "type",
        "format",
        "enum",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "required",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
    },
)
_EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_REWRITTEN = frozenset(
    {
        "title",
        "$defs",
        "description",
        "const",
        "default",
        "properties",
        "items",
        "additionalProperties",
        *_EXCLUSIVE,
    },
)


class NotStructuralError(Exception):
    """Say which part of a model has no structural schema."""


def structural_schema(model: type[ApiModel], *, defaults: bool) -> Schema:
    """Return the structural schema of a model.

    Args:
        model: The model of a spec or status.
        defaults: Whether defaults of the model become defaults of the CRD.

    Raises:
        NotStructuralError: A field has no structural schema, or models contain each other.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _Converter(schema.get("$defs", {})).convert(schema, model.__name__, defaults=defaults)


class _Converter:
    """Rewrite schemas, with the definitions they refer to at hand."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions
        self._open: list[str] = []

    def convert(self, schema: Schema, path: str, *, defaults: bool) -> Schema:
        """Return the structural form of one node and all below it."""
        if "$ref" in schema:
            return self._convert_reference(schema, path, defaults=defaults)
        if "anyOf" in schema:
            schema = _without_null(schema, path)
            return self.convert(schema, path, defaults=defaults)
        unknown = schema.keys() - _COPIED - _REWRITTEN
        if unknown or "type" not in _typed(schema):
            raise NotStructuralError(f"{path}: no structural schema for {sorted(unknown) or 'a node without type'}")
        result = {key: value for key, value in _typed(schema).items() if key in _COPIED}
        if "description" in schema:
            result = {"description": " ".join(schema["description"].split()), **result}
        for exclusive, bound in _EXCLUSIVE.items():
            if exclusive in schema:
                result |= {bound: schema[exclusive], exclusive: True}
        default = schema.get("default")
        if defaults and isinstance(default, str | int) and not isinstance(default, bool):
            result["default"] = default
        return result | self._children(schema, path, defaults=defaults)

    def _children(self, schema: Schema, path: str, *, defaults: bool) -> Schema:
        """Return the keys of a node that hold further schemas, each in its structural form."""
        result: Schema = {}
        if "properties" in schema:
            result["properties"] = {
                name: self.convert(field, f"{path}.{name}", defaults=defaults)
                for name, field in schema["properties"].items()
            }
        if "items" in schema:
            result["items"] = self.convert(schema["items"], f"{path}[]", defaults=False)
        values = schema.get("additionalProperties")
        if isinstance(values, dict):
            result["additionalProperties"] = self.convert(values, f"{path}{{}}", defaults=False)
        elif values:
            raise NotStructuralError(f"{path}: no structural schema for a map of anything")
        return result

    def _convert_reference(self, schema: Schema, path: str, *, defaults: bool) -> Schema:
        """Put the definition in the place of the reference; what stands beside the reference wins."""
        name = schema["$ref"].removeprefix("#/$defs/")
        if name in self._open:
            raise NotStructuralError(f"{path}: {name} contains itself")
        self._open.append(name)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        result = self.convert({**self._definitions[name], **beside}, path, defaults=defaults)
        self._open.pop()
        return result


def _without_null(schema: Schema, path: str) -> Schema:
    """Return an optional field as the field itself: absence stands for null."""
    choices = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
    if len(choices) != 1:
        raise NotStructuralError(f"{path}: no structural schema for a choice between several types")
    beside = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return {**choices[0], **beside}


def _typed(schema: Schema) -> Schema:
    """Return a node whose one allowed value is given as an enum."""
    return {**schema, "enum": [schema["const"]]} if "const" in schema else schema
