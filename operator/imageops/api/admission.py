"""Hold the second gate: what the API server cannot see about a spec, checked before any call to a daemon.

The first gate is the CRD: patterns, limits and CEL rules. This one reads references by the full grammar, compares
normalised references, and finds cycles.
"""

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from imageops.api.base import SpecModel
from imageops.api.errors import OperationError
from imageops.api.kinds import Kind
from imageops.api.operations import PullFields, PushFields, TagFields
from imageops.api.reasons import Reason
from imageops.api.references import Reference, parse_image_id
from imageops.api.session import PromoteAction, SessionSpec, Step

_FIELD_NAME = re.compile("[A-Za-z][A-Za-z0-9]{0,62}")

_COMPLAINTS = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this kind",
    "enum": "must be {expected}",
    "literal_error": "has a value that is not allowed",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "does not have the required form",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
}
"""Our own words for pydantic's error types; the placeholders are limits of our own, never a user's value."""


def parse_spec(kind: Kind, wire: Mapping[str, Any]) -> SpecModel:
    """Read the spec of an object as the API server delivers it.

    Args:
        kind: Kind of the object.
        wire: Its `spec`.

    Raises:
        OperationError: InvalidSpec, naming the first field that is wrong and never repeating its value.
    """
    try:
        return kind.spec_model.model_validate(wire)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise OperationError(Reason.INVALID_SPEC, f"{_path(first['loc'])} {_complaint(first)}.") from None


def check(kind: Kind, spec: SpecModel) -> None:
    """Refuse a spec that can never be performed.

    Args:
        kind: Kind of the object.
        spec: Its spec, of the kind's own model.

    Raises:
        OperationError: InvalidReference or InvalidSpec, naming the field.
    """
    if not isinstance(spec, kind.spec_model):
        raise OperationError(Reason.INVALID_SPEC, f"This spec is not that of the kind {kind.kind}.")
    if isinstance(spec, SessionSpec):
        for index, step in enumerate(spec.steps):
            _check_action(step.action, f"spec.steps[{index}].{step.action_type}")
        _check_order(spec.steps)
    else:
        _check_action(spec, "spec")


def _check_action(action: SpecModel, path: str) -> None:
    """Check the references of one operation or of one action of a step."""
    if isinstance(action, PullFields):
        _reference(action.image, f"{path}.image")
    elif isinstance(action, PushFields):
        _tagged_reference(action.image, f"{path}.image")
    elif isinstance(action, TagFields):
        _source_is_not_target(
            None if parse_image_id(action.source) else _reference(action.source, f"{path}.source"),
            _tagged_reference(action.target, f"{path}.target"),
            path,
        )
    elif isinstance(action, PromoteAction):
        _source_is_not_target(
            _reference(action.source, f"{path}.source"),
            _tagged_reference(action.target, f"{path}.target"),
            path,
        )


def _reference(text: str, path: str) -> Reference:
    try:
        return Reference.parse(text)
    except OperationError as error:
        raise OperationError(error.reason, f"{path}: {error.message}", hint=error.hint) from None


def _tagged_reference(text: str, path: str) -> Reference:
    reference = _reference(text, path)
    if reference.digest is not None:
        raise OperationError(Reason.INVALID_REFERENCE, f"{path}: The image reference must have no digest here.")
    return reference


def _source_is_not_target(source: Reference | None, target: Reference, path: str) -> None:
    if source == target:
        raise OperationError(Reason.INVALID_SPEC, f"{path}.source and {path}.target are the same reference.")


def _check_order(steps: tuple[Step, ...]) -> None:
    """Refuse an order of steps that cannot be kept."""
    names = {step.name for step in steps}
    if len(names) < len(steps):
        raise OperationError(Reason.INVALID_SPEC, "spec.steps: every step needs a name of its own.")
    if any(not names.issuperset(step.run_after) for step in steps):
        raise OperationError(Reason.INVALID_SPEC, "spec.steps: every name in runAfter must be the name of a step.")
    try:
        TopologicalSorter({step.name: step.run_after for step in steps}).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise OperationError(Reason.INVALID_SPEC, f"spec.steps: runAfter goes in a circle: {circle}.") from None


def _path(location: tuple[int | str, ...]) -> str:
    """Return where an error is, such as `spec.steps[0].name`; a name that is no field name is left out."""
    return "spec" + "".join(_path_parts(location))


def _path_parts(location: tuple[int | str, ...]) -> Iterator[str]:
    for part in location:
        if isinstance(part, int):
            yield f"[{part}]"
        elif _FIELD_NAME.fullmatch(part):
            yield f".{part}"


def _complaint(error: ErrorDetails) -> str:
    words = _COMPLAINTS.get(error["type"], "is not valid")
    return words.format_map(error.get("ctx", {}))
