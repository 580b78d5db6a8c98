from __future__ import annotations

import runpy
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from imageops.api.base import ApiModel, SpecModel
from imageops.api.committed import drift, run
from imageops.api.crdgen.manifest import crd, crd_files
from imageops.api.crdgen.structural import NotStructuralError, structural_schema
from imageops.api.kinds import (
    ALL_KINDS,
    IMAGE_PULL,
    IMAGE_PUSH,
    IMAGE_TAG,
    OPERATION_KINDS,
    SESSION,
    Kind,
)
from tests.support.kinds import MODELLED_KINDS
from tests.support.structural import nodes, violations

CRDS = Path(__file__).parents[3] / "crds"

every_kind = pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.kind)
every_model = pytest.mark.parametrize("kind", MODELLED_KINDS, ids=lambda kind: kind.kind)
ESCAPES = {
    "address",
    "dockerhost",
    "host",
    "namespace",
    "password",
    "socket",
    "token",
    "tls",
    "url",
    "username",
}


def schema_of(kind: Kind, part: str) -> dict[str, Any]:
    """Return the schema of a kind's spec or status."""
    version = crd(kind)["spec"]["versions"][0]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"][part]
    return schema


@pytest.mark.feature("admission.generated")
def test_committed_definitions_are_what_the_models_generate() -> None:
    """The folder crds/ holds exactly the generated files."""
    files = crd_files()
    assert drift(CRDS, files) == []
    assert {path.name for path in CRDS.glob("*.yaml")} == files.keys()


@pytest.mark.feature("admission.generated")
@every_model
def test_definition_is_structural(kind: Kind) -> None:
    """No definition breaks a rule of structural schemas or one of ours."""
    assert violations(crd(kind)) == []


def test_only_kinds_that_teams_may_list_are_in_the_category() -> None:
    """`kubectl get imageops` asks for all of a category's kinds, and fails where one is refused."""
    grouped = {kind.kind for kind in ALL_KINDS if "categories" in crd(kind)["spec"]["names"]}
    assert grouped == {kind.kind for kind in (*OPERATION_KINDS, SESSION)}


NOT_RE2 = ".spec: the pattern means something else in RE2, or nothing"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"type": "object", "title": "x"}, [".spec: has ['title']"]),
        ({"type": "object", "anyOf": []}, [".spec: has ['anyOf']"]),
        ({"type": "number"}, [".spec: has the type number"]),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            [".spec: a map has fixed properties or no maxProperties"],
        ),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": 1}, [".spec: an exclusive bound is a number"]),
        (
            {"type": "string", "maxLength": 9, "pattern": "a(?=b)"},
            [NOT_RE2],
        ),
        (
            {"type": "string", "maxLength": 9, "pattern": "\\w"},
            [NOT_RE2],
        ),
        ({"type": "string"}, [".spec: has no maxLength"]),
        ({"type": "boolean", "default": True}, ["spec: a default below a list, or of a boolean"]),
        ({"type": "string", "enum": ["A"], "default": "B"}, ["spec: the default is not among the values"]),
        (
            {"type": "array", "items": {"type": "integer", "default": 1}},
            [
                ".spec: a list has no maxItems",
                ".spec: a list has no list type",
                "spec[]: a default below a list, or of a boolean",
            ],
        ),
    ],
)
def test_checker_is_not_blind(spec: dict[str, Any], found: list[str]) -> None:
    """The checker names each rule that a schema breaks."""
    assert violations(_with_spec({"description": "x", **spec})) == found


def _with_spec(spec: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "description": "x", "properties": {"spec": spec}}
    return {"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}}


@every_kind
def test_generation_is_repeatable(kind: Kind) -> None:
    """Two generations give the same text, and the text is the definition."""
    first = crd_files()[f"{kind.crd_name}.yaml"]
    assert first == crd_files()[f"{kind.crd_name}.yaml"]
    assert yaml.safe_load(first) == crd(kind)


@pytest.mark.feature("admission.no-escape")
@every_kind
def test_no_spec_has_a_way_out(kind: Kind) -> None:
    """No field of a namespaced spec can hold an address, another namespace, or a credential."""
    if not kind.namespaced:
        return
    names = {path.rsplit(".", 1)[-1].lower().removesuffix("[]") for path, _ in nodes(schema_of(kind, "spec"))}
    assert not names & ESCAPES


@pytest.mark.parametrize("kind", [*OPERATION_KINDS, SESSION], ids=lambda kind: kind.kind)
def test_status_is_seeded(kind: Kind) -> None:
    """A new object is unlike any observed one before the operator's first write."""
    assert schema_of(kind, "status")["default"] == {"observedGeneration": -1, "phase": "Pending"}


@every_model
def test_defaults_are_those_of_the_model(kind: Kind) -> None:
    """A default of the CRD is the model's, and none stands on booleans or daemonName."""
    schema = schema_of(kind, "spec")
    defaults = {name: field["default"] for name, field in schema["properties"].items() if "default" in field}
    for name, value in defaults.items():
        field = next(f for f in kind.spec_model.model_fields.values() if f.alias == name)
        assert field.default == value
        assert not isinstance(value, bool)
    assert "daemonName" not in defaults


@every_model
def test_documented_defaults_are_true(kind: Kind) -> None:
    """A description that states a default states the model's."""
    for name, field in schema_of(kind, "spec")["properties"].items():
        _, stated, rest = field["description"].partition("Default: ")
        if stated:
            model_field = next(f for f in kind.spec_model.model_fields.values() if f.alias == name)
            default = model_field.default
            assert rest.removesuffix(".") == (str(default).lower() if isinstance(default, bool) else str(default))


@pytest.mark.parametrize(("kind", "seconds"), [(IMAGE_PULL, 600), (IMAGE_PUSH, 900), (IMAGE_TAG, 120)])
def test_timeout_differs_by_kind(kind: Kind, seconds: int) -> None:
    """A pull has 600, a push 900, a tag 120 seconds unless set."""
    assert schema_of(kind, "spec")["properties"]["timeoutSeconds"]["default"] == seconds


def test_dates_are_only_for_past_times() -> None:
    """No column of type date is about the future, which kubectl would show as a negative age."""
    dates = {(kind.kind, column.json_path) for kind in ALL_KINDS for column in kind.columns if column.type == "date"}
    assert {path for _, path in dates} == {".metadata.creationTimestamp"}


class Recursive(ApiModel):
    """Contain itself."""

    inner: Recursive | None = None
    """The same again."""


class Choice(ApiModel):
    """Have a field of two types."""

    value: int | str = 1
    """A number or a text."""


class Anything(ApiModel):
    """Have a map of anything."""

    values: dict[str, Any]
    """Whatever."""


class Pair(ApiModel):
    """Have a tuple of fixed length."""

    pair: tuple[int, str]
    """Two things."""


@pytest.mark.parametrize("model", [Recursive, Choice, Anything, Pair], ids=lambda model: model.__name__)
def test_what_cannot_be_said_is_refused(model: type[ApiModel]) -> None:
    """A model without a structural schema stops the generation."""
    with pytest.raises(NotStructuralError, match=model.__name__):
        structural_schema(model, defaults=True)


class Colour(StrEnum):
    """Name a colour."""

    RED = "Red"


class Sample(SpecModel):
    """Have one field of each form that is rewritten."""

    bounded: Annotated[int, Field(gt=1, lt=9)] = 5
    """A number between two bounds."""

    flag: bool = True
    """A boolean."""

    colour: Colour | None = None
    """An optional enum
    over two lines."""

    when: datetime = datetime(2026, 1, 2, tzinfo=UTC)
    """A time."""


def test_rewritten_forms() -> None:
    """Exclusive bounds, optional references, single values and boolean defaults get their structural form."""
    schema = structural_schema(Sample, defaults=True)
    assert schema["properties"] == {
        "bounded": {
            "description": "A number between two bounds.",
            "type": "integer",
            "minimum": 1,
            "exclusiveMinimum": True,
            "maximum": 9,
            "exclusiveMaximum": True,
            "default": 5,
        },
        "flag": {"description": "A boolean.", "type": "boolean"},
        "colour": {"description": "An optional enum over two lines.", "type": "string", "enum": ["Red"]},
        "when": {
            "description": "A time.",
            "type": "string",
            "format": "date-time",
            "default": "2026-01-02T00:00:00Z",
        },
    }


def test_command_writes_and_finds_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` passes after `--write`, and names the file that was edited since."""
    files = crd_files()
    assert run("generate", files, ["--write", str(tmp_path / "new")]) == 0
    assert run("generate", files, ["--check", str(tmp_path / "new")]) == 0
    edited = tmp_path / "new" / f"{IMAGE_PULL.crd_name}.yaml"
    edited.write_text("edited", encoding="utf-8")
    assert run("generate", files, ["--check", str(tmp_path / "new")]) == 1
    assert str(edited) in capsys.readouterr().err


@pytest.mark.feature("admission.generated")
@pytest.mark.feature("doc.reference")
@pytest.mark.parametrize(("module", "folder"), [("crdgen", "crds"), ("docgen", "docs/reference")])
def test_generator_finds_the_tree_clean(monkeypatch: pytest.MonkeyPatch, module: str, folder: str) -> None:
    """`python -m` of each generator exits 0 over the committed files."""
    monkeypatch.setattr(sys, "argv", [module, "--check", str(CRDS.parent / folder)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"imageops.api.{module}", run_name="__main__")
    assert ended.value.code == 0
