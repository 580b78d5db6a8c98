"""Tell by hash which part of a spec changed: what is asked, or how it is tried.

The hash is taken over the fields that differ from their defaults, so that an operator with one more defaulted field
computes the same hash for an old object and runs nothing.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from imageops.api.operations import OperationSpec
from imageops.api.session import SessionSpec

PREFIX = "v1:"
_HEX_DIGITS = 16

RunnableSpec = OperationSpec | SessionSpec
"""A spec that asks for runs."""


@dataclass(frozen=True, slots=True)
class SpecHash:
    """The two halves of `status.observedSpecHash`, each 16 hexadecimal digits."""

    what: str
    how: str

    @classmethod
    def of(cls, spec: RunnableSpec) -> Self:
        """Hash a valid spec."""
        return cls(_digest(_fields(spec, spec.what_fields)), _digest(_fields(spec, spec.how_fields)))

    @classmethod
    def of_refused(cls, raw_spec: Mapping[str, Any]) -> Self:
        """Hash a spec that no model accepts: every change of it is a change of What."""
        return cls(_digest(raw_spec), "")

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str | None) -> Self | None:
        """Read a stamped hash back; None for an absent one or one of another version."""
        if text is None or not text.startswith(PREFIX):
            return None
        what, _, how = text.removeprefix(PREFIX).partition(".")
        return cls(what, how)

    def __str__(self) -> str:
        return f"{PREFIX}{self.what}.{self.how}"


def _fields(spec: RunnableSpec, names: Collection[str]) -> Any:
    return _prune(spec.model_dump(mode="json", by_alias=True, include=set(names), exclude_defaults=True))


def _prune(value: Any) -> Any:
    """Drop what means the same as absent: null, false, and empty maps and lists."""
    if isinstance(value, dict):
        return {key: kept for key, item in value.items() if not _is_absent(kept := _prune(item))}
    if isinstance(value, list):
        return [_prune(item) for item in value]
    return value


def _is_absent(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, dict | list) and not value)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS]
