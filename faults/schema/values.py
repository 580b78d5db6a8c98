"""Make values for one property out of its schema: limits and what lies beyond them, each word, other types, nothing.

What a schema cannot tell (which image there is) comes from names that begin with `$`; `Site` puts the real ones in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from faults.schema.crd import Path_, Schema


class Absent(Enum):
    """The value of a property that is not there."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Candidate:
    """One value for one property."""

    label: str
    value: Any
    reasons: frozenset[str] = frozenset()
    """What the operator must refuse it for; empty: it need not."""


_NAMES_OF_IMAGES = frozenset({"image", "source", "target"})
_TEXTS = ("", "a", "a.b", "A", "-a", "a-", "a b", "a_b", "a\n", "é", "a/b:c:d", "sha256:0")
_NO_IMAGES = ("", "A", "-a", "a-", "a b", "a\n", "é", "a/b:c:d")
_ZEROS = f"sha256:{'0' * 64}"
_LONG_NAME = "$registry/" + "a" * 250
_IDENTIFIER = "0a" * 32
_OTHER_TYPES: Mapping[str, tuple[Any, ...]] = {
    "string": (7, ["a"]),
    "integer": ("5", 1.5),
    "boolean": ("true", 1),
    "object": ("text", []),
    "array": ("text", {}),
}
_PULL = {"image": "$present"}
_UNREADABLE = frozenset({"InvalidReference"})
_CONTRADICTION = frozenset({"InvalidSpec"})

_REAL: Mapping[str, tuple[Candidate, ...]] = {
    "image": (
        Candidate("another image", "$other"),
        Candidate("an image that nobody has", "$absent"),
        Candidate("too long a name", _LONG_NAME, _UNREADABLE),
        Candidate("an identifier", _IDENTIFIER, _UNREADABLE),
    ),
    "source": (
        Candidate("another image", "$other"),
        Candidate("a digest too", "$present@$digest"),
        Candidate("an image that nobody has", "$absent"),
        Candidate("too long a name", _LONG_NAME, _UNREADABLE),
        Candidate("an identifier", _IDENTIFIER, _UNREADABLE),
    ),
    "target": (
        Candidate("another name", "$second"),
        Candidate("the source", "$present", _CONTRADICTION),
        Candidate("too long a name", _LONG_NAME, _UNREADABLE),
        Candidate("an identifier", _IDENTIFIER, _UNREADABLE),
    ),
    "platforms": (
        Candidate("the daemon's", ["linux/amd64"]),
        Candidate("a foreign one", ["plan9/mips"]),
        Candidate("all", ["All"]),
        Candidate("two", ["linux/amd64", "All"]),
        Candidate("twice the same", ["All", "All"]),
    ),
    "digest": (Candidate("the right one", "$digest"), Candidate("a wrong one", _ZEROS)),
    "imageID": (Candidate("the right one", "$id"), Candidate("a wrong one", _ZEROS)),
    "daemonName": (
        Candidate("the default", "default"),
        Candidate("the other one", "graphdriver"),
        Candidate("one that nobody configured", "nowhere", frozenset({"DaemonNotConfigured"})),
    ),
    "transferSize": (Candidate("a size", "10Gi"), Candidate("a fraction", "1.5G"), Candidate("a byte", "1")),
    "runAfter": (
        Candidate("the first step", ["first"]),
        Candidate("itself", ["second"]),
        Candidate("no step", ["third"]),
        Candidate("twice the same", ["first", "first"]),
        Candidate("too many", [f"s{number}" for number in range(17)]),
    ),
    "preconditions": (
        Candidate("both", {"digest": "$digest", "imageID": "$id"}),
        Candidate("without ifExists", {"digest": "$digest"}),
    ),
    "steps": (
        Candidate("one more", [{"name": "first", "pull": _PULL}, {"name": "other", "pull": _PULL}]),
        Candidate(
            "in a circle",
            [{"name": "a", "runAfter": ["b"], "pull": _PULL}, {"name": "b", "runAfter": ["a"], "pull": _PULL}],
            _CONTRADICTION,
        ),
        Candidate("one name twice", [{"name": "a", "pull": _PULL}, {"name": "a", "pull": _PULL}]),
        Candidate("too many", [{"name": f"s{number}", "pull": _PULL} for number in range(65)]),
    ),
}
_ENTRIES: Mapping[str, tuple[Candidate, ...]] = {
    "steps": (
        Candidate("another step", {"name": "other", "pull": _PULL}),
        Candidate("no action", {"name": "other"}),
        Candidate("two actions", {"name": "other", "pull": _PULL, "push": {"image": "$pushed"}}),
    ),
    "platforms": (
        Candidate("all", "All"),
        Candidate("the daemon's", "linux/amd64"),
        Candidate("Arm", "linux/arm64/v8"),
    ),
    "runAfter": (Candidate("the first step", "first"),),
}
_SECRETS = (
    Candidate("a good Secret", "right"),
    Candidate("a Secret of another host", "foreign"),
    Candidate("a Secret that names a helper", "helper"),
    Candidate("a Secret of no use", "opaque"),
)
_ACCOUNTS = (Candidate("the default one", "default"), Candidate("one with a Secret", "puller"))
_SESSIONS = (Candidate("an open Session", "open"), Candidate("a closed Session", "closed"))


def candidates(path: Path_, node: Schema, *, required: bool) -> Iterator[Candidate]:
    """Yield values for a property, good and bad, always the same ones in the same order."""
    if not required:
        yield Candidate("absent", ABSENT)
    yield from _real(path)
    yield from _BY_TYPE[node["type"]](path, node)
    yield from (Candidate(f"another type, {type(value).__name__}", value) for value in _OTHER_TYPES[node["type"]])


def _real(path: Path_) -> Iterator[Candidate]:
    name = path[-1]
    if name == "[]":
        yield from _ENTRIES.get(path[-2], ())
    elif path[-2:] == ("promote", "platforms"):
        yield Candidate("all", ["All"])
        yield Candidate("one platform", ["linux/amd64"])
    else:
        yield from _REAL.get(name, ())
    if path[-2:-1] and path[-2].lower().endswith("secretref"):
        yield from _SECRETS
    elif path[-2:-1] == ("sessionRef",):
        yield from _SESSIONS
    elif name == "serviceAccountName":
        yield from _ACCOUNTS
    if name == "source" and "tag" in path:
        yield Candidate("an image id", "$id")
        yield Candidate("an image id that nobody has", _ZEROS)


def _texts(path: Path_, node: Schema) -> Iterator[Candidate]:
    if "enum" in node:
        yield from (Candidate(f"the word {word}", word) for word in node["enum"])
        yield from (Candidate("no word", word) for word in ("Nonsense", "", node["enum"][0].lower()))
        return
    longest = node.get("maxLength", 0)
    # As an image, a short text would be taken, and lead out of the machine.
    for text in _NO_IMAGES if path[-1] in _NAMES_OF_IMAGES else _TEXTS:
        yield Candidate(f"the text {text!r}", text)
    yield Candidate("beyond the longest", "a" * (longest + 1))
    if path[-1] not in _NAMES_OF_IMAGES:
        yield Candidate("the longest", "a" * longest)
    if path[-1] == "transferSize":
        yield from (Candidate(f"the size {text}", text) for text in ("0", "-1", "10Zi", "1e3", "9" * longest))


def _numbers(_: Path_, node: Schema) -> Iterator[Candidate]:
    yield Candidate("the least", node["minimum"])
    yield Candidate("the most", node["maximum"])
    yield Candidate("between", (node["minimum"] + min(node["maximum"], 600)) // 2)
    yield Candidate("below the least", node["minimum"] - 1)
    yield Candidate("beyond the most", node["maximum"] + 1)


def _booleans(_path: Path_, _node: Schema) -> Iterator[Candidate]:
    yield Candidate("true", value=True)
    yield Candidate("false", value=False)


def _objects(_path: Path_, _node: Schema) -> Iterator[Candidate]:
    yield Candidate("empty", {})
    yield Candidate("an unknown field", {"nonsense": 1})


def _lists(_path: Path_, _node: Schema) -> Iterator[Candidate]:
    yield Candidate("empty", [])
    yield Candidate("entries of another type", [7])


_BY_TYPE = {"string": _texts, "integer": _numbers, "boolean": _booleans, "object": _objects, "array": _lists}
