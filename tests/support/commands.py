"""Judge the commands that the documentation gives: whether what they name is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import yaml

from imageops.api.crdgen.manifest import crd
from imageops.api.kinds import ALL_KINDS, CATEGORY, REQUESTED_AT, RETRY_FAILED_AT
from tests.support.pages import ROOT

OUR_NAMES = {name for kind in ALL_KINDS for name in (kind.plural, kind.singular, *kind.short_names)} | {CATEGORY}
OTHERS_NAMES = frozenset(
    {
        "configmap",
        "crd",
        "deployment",
        "endpointslices",
        "events",
        "gitrepository",
        "helmchart",
        "job",
        "kustomization",
        "lease",
        "namespace",
        "networkpolicy",
        "node",
        "pods",
        "pvc",
        "secret",
        "serviceaccount",
        "statefulset",
    }
)
"""Kinds of Kubernetes, K3s and Flux, by the names that commands use."""
ANNOTATIONS = {REQUESTED_AT, RETRY_FAILED_AT}
_VERBS_ON_KINDS = {"annotate", "delete", "describe", "explain", "get", "label", "patch", "wait"}
_TARGET = re.compile(r"^([a-z0-9-]+):.* ## ", re.MULTILINE)
_VALUED = {"--namespace", "-n", "-l", "--for", "-o", "--field-selector", "--sort-by", "--timeout", "-p", "--type"}


def problems(words: Sequence[str]) -> list[str]:
    """Return what a command names that is not there; a program that is not ours to know has no problem."""
    match words:
        case ["make", target, *_]:
            known = _TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
            return [] if target in known else [f"no target {target}"]
        case ["python", "-m", module, *_]:
            return [] if find_spec(module) else [f"no module {module}"]
        case ["kubectl", *rest]:
            return [*_of_kubectl(rest)]
        case ["helm", *rest]:
            return [*_of_helm(rest)]
    return []


def has_value(path: str) -> bool:
    """Tell whether the chart has a value, such as `daemon.mode`; below a list or an open table it may have any."""
    node: Any = _values()
    for name in path.split("."):
        if isinstance(node, list) or node == {}:
            return True
        if not isinstance(node, dict) or name not in node:
            return False
        node = node[name]
    return True


def has_field(path: str) -> bool:
    """Tell whether any kind has a field, such as `spec.steps[].name`."""
    return any(_is_in(_schema(kind.kind), path.split(".")) for kind in ALL_KINDS)


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the paths of all values in a table."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@cache
def _values() -> dict[str, Any]:
    text = (ROOT / "charts" / "imageops" / "values.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    return values


@cache
def _schema(name: str) -> dict[str, Any]:
    [kind] = [kind for kind in ALL_KINDS if kind.kind == name]
    schema: dict[str, Any] = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _is_in(schema: Mapping[str, Any], path: Sequence[str]) -> bool:
    for part in path:
        below: Any = schema.get("properties", {}).get(part.removesuffix("[]"))
        if below is None:
            return False
        schema = below["items"] if below["type"] == "array" else below
    return True


def _of_kubectl(words: Sequence[str]) -> Iterator[str]:
    arguments = [word for before, word in pairwise(("", *words)) if before not in _VALUED and not word.startswith("-")]
    verb, resources = (arguments or [""])[0], arguments[1:]
    for resource in resources[: 1 if verb in _VERBS_ON_KINDS else 0]:
        for name in resource.partition("/")[0].split(","):
            if name not in OUR_NAMES | OTHERS_NAMES:
                yield f"no kind {name}"
    for before, word in pairwise(words):
        if before == "-f" and word not in {"-", "values.yaml"} and not (ROOT / word).exists():
            yield f"no file {word}"
        if before == "-p":
            yield from (f"no field {path}" for path in leaves(json.loads(word)) if not has_field(path))
    given = [word.partition("=")[0] for word in resources[1:] if verb == "annotate" and "=" in word]
    yield from (f"no annotation {name}" for name in given if name not in ANNOTATIONS)


def _of_helm(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        if word.startswith("charts/") and not (ROOT / word).exists():
            yield f"no chart {word}"
    for before, word in pairwise(words):
        if before in {"--set", "--set-string"}:
            keys = [pair.partition("=")[0] for pair in word.split(",")]
            yield from (f"no value {key}" for key in keys if not has_value(key))
