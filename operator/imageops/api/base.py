"""Own how the kinds' fields become Python and back: naming, strictness, time, and CEL rules attached to a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True, slots=True)
class CelRule:
    """State one rule that the API server itself holds, as an entry of `x-kubernetes-validations`."""

    rule: str
    """The CEL expression; `self` is the value the model describes, `oldSelf` makes it a rule for updates only."""
    message: str
    """What the refused user reads; names the fields."""
    field_path: str | None = None
    """The field the error is reported at, relative to the model, such as `.runAfter`; None = the model itself."""
    message_expression: str | None = None
    """A CEL expression that tells more than the message does; where it fails, the message is shown."""

    def as_wire(self) -> dict[str, str]:
        """Return the entry as the CRD has it."""
        entry = {"rule": self.rule, "message": self.message}
        if self.message_expression is not None:
            entry["messageExpression"] = self.message_expression
        if self.field_path is not None:
            entry["fieldPath"] = self.field_path
        return entry


class ApiModel(BaseModel):
    """Describe a part of a kind: frozen, camelCase on the wire, an absent optional is None and never written."""

    model_config = ConfigDict(
        frozen=True,
        populate_by_name=True,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
    )

    cel: ClassVar[tuple[CelRule, ...]] = ()
    """CEL rules of this model; those of its base models hold too."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the CEL rules of the model and its bases to the generated schema."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        inherited = [rule for base in reversed(cls.__mro__) for rule in base.__dict__.get("cel", ())]
        if inherited:
            schema["x-kubernetes-validations"] = [rule.as_wire() for rule in inherited]
        return schema


class SpecModel(ApiModel):
    """Describe what users write: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class StatusModel(ApiModel):
    """Describe what the operator writes: an unknown field, of a newer operator, is ignored."""

    model_config = ConfigDict(extra="ignore")


def _in_whole_utc_seconds(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(microsecond=0)


Time = Annotated[AwareDatetime, AfterValidator(_in_whole_utc_seconds)]
"""A moment: aware, in UTC, whole seconds; on the wire RFC 3339 such as 2026-01-02T03:04:05Z."""


def to_wire(model: ApiModel) -> dict[str, Any]:
    """Return the model as the API server takes it: camelCase names, no absent field."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def nothing_in(value: tuple[Any, ...] | Mapping[str, Any]) -> bool:
    """Return whether a list or map is empty, and so is left out on the wire as if absent."""
    return not value
