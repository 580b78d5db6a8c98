"""Own the types of single fields: their form, their limits, and the patterns the API server checks.

A constraint given to `Field` holds in Python and in the CRD; a form (`mistakes`) stands there as a rule that says what
is wrong. One given as `json_schema_extra` holds in the CRD alone: image references are read by their own grammar
(`references`), and text of a status is cut to its limit instead of being refused, so that a strange word from a daemon
can never make a status unwritable.
"""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from imageops.api import mistakes, references
from imageops.api.base import nothing_in
from imageops.api.mistakes import Form

PLATFORM_ALL = "All"
"""The entry of `platforms` that stands for every child of an index."""

DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
PLATFORM = "^(All|[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?)$"
QUANTITY = r"^[1-9][0-9]*(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$"
REPOSITORY_PATTERN = (
    rf"^(\*|(\*|(\*\.)?[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[a-fA-F0-9:]+\])(:{references.PORT})?"
    r"(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*(/\*)?)$"
)
DIGEST = "^[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,128}$"
IMAGE_DIGEST = "^(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$"
WORD = "^[A-Z][A-Za-z0-9]*$"
TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"

OmitEmpty = Field(exclude_if=nothing_in)
"""Marks a list or map that is left out on the wire while it is empty."""
SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
MAP_BY_NAME: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
MAP_BY_TYPE: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


def _in_form(form: Form) -> Callable[[dict[str, Any]], None]:
    """Say what has to stand in the definition: the form's rule, and for references the length that bounds its cost."""

    def describe(schema: dict[str, Any]) -> None:
        form.describe(schema)
        schema.setdefault("maxLength", references.TEXT_MAX_LENGTH)

    return describe


def _printable(value: object, limit: int) -> object:
    """Return text without control characters, cut to the limit; anything else is left to the type check."""
    if not isinstance(value, str):
        return value
    if not value.isprintable():
        value = "".join(character if character.isprintable() else " " for character in value)
    return value[:limit]


def _cut_64(value: object) -> object:
    return _printable(value, 64)


def _cut_200(value: object) -> object:
    return _printable(value, 200)


def _cut_512(value: object) -> object:
    return _printable(value, 512)


def _cut_reference(value: object) -> object:
    return _printable(value, references.TEXT_MAX_LENGTH)


# Fields of a spec.

DaemonName = Annotated[
    str,
    Field(min_length=1, max_length=63, pattern=DNS_LABEL, json_schema_extra=_in_form(mistakes.daemon_name(DNS_LABEL))),
]
"""The name of a daemon the administrator configured."""
ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
        json_schema_extra=_in_form(mistakes.object_name(DNS_SUBDOMAIN)),
    ),
]
"""The name of an object of Kubernetes."""
SessionName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern=DNS_SUBDOMAIN,
        json_schema_extra=_in_form(mistakes.object_name(DNS_SUBDOMAIN)),
    ),
]
"""The name of a Session: short enough for a label value."""
StepName = Annotated[
    str,
    Field(min_length=1, max_length=40, pattern=DNS_LABEL, json_schema_extra=_in_form(mistakes.step_name(DNS_LABEL))),
]
"""The name of a step within its Session."""
ReferenceText = Annotated[str, Field(json_schema_extra=_in_form(references.REFERENCE_FORM))]
"""An image reference with an optional tag and digest."""
TaggedReferenceText = Annotated[str, Field(json_schema_extra=_in_form(references.TAGGED_FORM))]
"""An image reference without a digest."""
SourceText = Annotated[str, Field(json_schema_extra=_in_form(references.SOURCE_FORM))]
"""An image reference, or the id of an image on the daemon."""
ImageDigest = Annotated[
    str, Field(max_length=135, pattern=IMAGE_DIGEST, json_schema_extra=_in_form(mistakes.digest(IMAGE_DIGEST)))
]
"""The digest of a manifest or index."""
ImageId = Annotated[
    str,
    Field(
        max_length=71,
        pattern=references.IMAGE_ID_PATTERN,
        json_schema_extra=_in_form(mistakes.image_id(references.IMAGE_ID_PATTERN)),
    ),
]
"""The id of an image on a daemon."""
Platform = Annotated[
    str, Field(max_length=64, pattern=PLATFORM, json_schema_extra=_in_form(mistakes.platform(PLATFORM)))
]
"""os/architecture or os/architecture/variant, or All."""
Quantity = Annotated[
    str, Field(max_length=24, pattern=QUANTITY, json_schema_extra=_in_form(mistakes.quantity(QUANTITY)))
]
"""A size in bytes as Kubernetes writes it, such as 10Gi or 500M."""
RepositoryPattern = Annotated[str, Field(min_length=1, max_length=255, pattern=REPOSITORY_PATTERN)]
"""host[:port]/repository with `*` for the whole, the leftmost part of the host, or the rest of the path.

A pattern and no form: 2 x 128 rules with 64 of these each are beyond what the API server lets rules cost."""
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]
"""A time span of one second to one year."""
TimeoutSeconds = Annotated[int, Field(ge=1, le=86_400)]
"""The time span of one attempt, up to one day."""
BackoffLimit = Annotated[int, Field(ge=0, le=10)]
"""How often a failed attempt is made again."""

# Fields of a status.

Count = Annotated[int, Field(ge=0)]
"""How many; never negative."""
Percent = Annotated[int, Field(ge=0, le=100)]
"""Hundredths done, whole."""
Word = Annotated[str, Field(max_length=64, pattern=WORD)]
"""One CamelCase word of a closed set; no enum in the CRD, so an older CRD takes a newer operator's word."""
Digest = Annotated[str, Field(max_length=200, pattern=DIGEST)]
"""A digest as a daemon or registry stated it."""
ShortText = Annotated[str, BeforeValidator(_cut_64), Field(json_schema_extra={"maxLength": 64, "pattern": TEXT})]
"""Printable text, cut to 64 characters."""
MediumText = Annotated[str, BeforeValidator(_cut_200), Field(json_schema_extra={"maxLength": 200, "pattern": TEXT})]
"""Printable text, cut to 200 characters."""
LongText = Annotated[str, BeforeValidator(_cut_512), Field(json_schema_extra={"maxLength": 512, "pattern": TEXT})]
"""Printable text, cut to 512 characters."""
ReferenceEcho = Annotated[
    str,
    BeforeValidator(_cut_reference),
    Field(json_schema_extra={"maxLength": references.TEXT_MAX_LENGTH, "pattern": TEXT}),
]
"""A normalised image reference, or an image id."""
