"""Know which test shows which row of docs/features.md: `python -m tests.support.features` lists all rows.

Markers are read from the tests' source, so listing them needs no cluster and imports no test.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

TESTS = Path(__file__).parents[1]
TABLE = TESTS.parent / "docs" / "features.md"

_ROW = re.compile(r"\| `(?P<id>[a-z0-9-]+(?:\.[a-z0-9-]+)+)` \| (?P<text>[^|]+) \| (?P<shown_by>[^|]+) \|[^|]*\|?")


class FeatureMarkerError(ValueError):
    """A marker names its row by something other than strings; the text says where."""


@dataclass(frozen=True, slots=True)
class Row:
    """One promise of the table."""

    id: str
    text: str
    shown_by: str
    """The least kinds of tests that must show it."""


@dataclass(frozen=True, slots=True)
class MarkedTest:
    """One test, and a row that it shows."""

    feature: str
    file: str
    """Path below `tests`, without its ending."""
    name: str


def rows(table: str) -> list[Row]:
    """Read the rows of the table, in their order."""
    return [Row(match["id"], match["text"], match["shown_by"]) for match in map(_match, table.splitlines()) if match]


def marked_tests(folder: Path = TESTS) -> list[MarkedTest]:
    """Read the markers of all test files below a folder.

    Raises:
        FeatureMarkerError: A marker does not name its rows by strings.
    """
    found = []
    for path in sorted(folder.rglob("test_*.py")):
        file = path.relative_to(folder).with_suffix("").as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        everywhere = [feature for node in tree.body if _is_pytestmark(node) for feature in _features(node, file)]
        for name, features in _tests_in(tree, file):
            found += [MarkedTest(feature, file, name) for feature in dict.fromkeys([*everywhere, *features])]
    return found


def render(table: str, tests: Sequence[MarkedTest]) -> str:
    """Return the table with the tests of each row beside it: their files, and how many there are in each."""
    lines = []
    for line in table.splitlines():
        match = _match(line)
        files = Counter(test.file for test in tests if match and test.feature == match["id"])
        shown = ", ".join(f"{file} {count}" for file, count in sorted(files.items())) or "-"
        lines.append(f"| `{match['id']}` | {match['text']} | {match['shown_by']} | {shown} |" if match else line)
    return "\n".join(lines) + "\n"


def report(table: Sequence[Row], tests: Sequence[MarkedTest]) -> Iterator[str]:
    """Yield every row with its tests, then the rows that have none."""
    without = []
    for row in table:
        own = [test for test in tests if test.feature == row.id]
        if not own:
            without.append(row)
            continue
        yield f"{row.id}: {row.text}"
        yield from (f"    {test.file}::{test.name}" for test in own)
    yield ""
    yield f"{len(table) - len(without)} of {len(table)} rows have tests. These have none:"
    yield from (f"    {row.id} ({row.shown_by})" for row in without)


def main(arguments: Sequence[str] | None = None) -> int:
    """List the rows, or write the tests into the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.features", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tests of each row into docs/features.md")
    options = parser.parse_args(arguments)
    text, tests = TABLE.read_text(encoding="utf-8"), marked_tests()
    if options.write:
        TABLE.write_text(render(text, tests), encoding="utf-8")
    else:
        sys.stdout.writelines(f"{line}\n" for line in report(rows(text), tests))
    return 0


def _match(line: str) -> re.Match[str] | None:
    return _ROW.fullmatch(line.rstrip())


def _tests_in(tree: ast.Module, file: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the tests of a module, those in its classes too, each with the rows its decorators name."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            outer = _decorators(node, file)
            for member in node.body:
                if _is_test(member):
                    yield f"{node.name}::{member.name}", [*outer, *_decorators(member, file)]
        elif _is_test(node):
            yield node.name, _decorators(node, file)


def _is_test(node: ast.stmt) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")


def _decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, file: str) -> list[str]:
    """Return the rows that decorators name, parameters with marks of their own among them."""
    return [feature for decorator in node.decorator_list for feature in _features(decorator, file)]


def _features(node: ast.AST, file: str) -> Iterator[str]:
    for call in ast.walk(node):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "feature"):
            continue
        named = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if not named or len(named) < len(call.args) or call.keywords:
            message = f"{file}:{call.lineno}: a feature marker takes strings, and at least one"
            raise FeatureMarkerError(message)
        yield from named


def _is_pytestmark(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in targets)


if __name__ == "__main__":
    sys.exit(main())
