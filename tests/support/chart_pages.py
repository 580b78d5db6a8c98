"""Write the generated tables of the chart's pages: `python -m tests.support.chart_pages --write`.

The values of README.md come from the comments of values.yaml, the score of docs/chart-practices.md from its own rows.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
VALUES = ROOT / "charts" / "imageops" / "values.yaml"
README = VALUES.with_name("README.md")
PRACTICES = ROOT / "docs" / "chart-practices.md"

_BETWEEN = re.compile(r"(<!-- values: [^>]*-->\n).*(<!-- end of values -->)", re.DOTALL)
_COMMENT = "# -- "
_KEY = re.compile(r"( *)([A-Za-z]\w*):")
_PRACTICE = re.compile(r"\| (?P<number>\d+) \| (?P<text>[^|]+) \| (?P<mark>[-✓~]) \| (?P<shown>[^|]*)\|")
_FILE = re.compile(r"`([^` ]+/[^` ]+)`")
_SCORE = re.compile(r"\*\*Score: [^*]+\*\*")
_POINTS = {"✓": 1.0, "~": 0.5, "-": 0.0}


@dataclass(frozen=True, slots=True)
class Practice:
    """One row of the table of practices."""

    number: int
    text: str
    mark: str
    """✓ yes, ~ partial, - no."""
    files: tuple[str, ...]
    """Where it is done: paths below the root."""


def practices(page: str) -> list[Practice]:
    """Read the rows of docs/chart-practices.md."""
    found = map(_PRACTICE.match, page.splitlines())
    return [
        Practice(int(row["number"]), row["text"].strip(), row["mark"], tuple(_FILE.findall(row["shown"])))
        for row in found
        if row
    ]


def scored(page: str) -> str:
    """Return the page with the sum of its own rows in it."""
    rows = practices(page)
    return _SCORE.sub(f"**Score: {sum(_POINTS[row.mark] for row in rows):g} of {len(rows)}**", page)


def documented(values: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the comment of every value that has one."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in values.splitlines():
        text = line.strip()
        if text.startswith(_COMMENT):
            comment = [text.removeprefix(_COMMENT)]
        elif text.startswith("# ") and comment:
            comment.append(text.removeprefix("# "))
        elif match := _KEY.match(line):
            depth = len(match[1])
            path = [*(each for each in path if each[0] < depth), (depth, match[2])]
            if comment:
                yield ".".join(name for _, name in path), " ".join(comment)
            comment = []


def default(values: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path."""
    found: Any = values
    for name in path.split("."):
        found = found[name]
    return found


def with_table(readme: str, values: str) -> str:
    """Return README.md with the table of all values."""
    parsed = yaml.safe_load(values)
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for path, comment in documented(values):
        lines.append(f"| `{path}` | `{json.dumps(default(parsed, path))}` | {comment} |")
    table = "\n".join(lines)
    return _BETWEEN.sub(lambda match: f"{match[1]}{table}\n{match[2]}", readme)


def pages() -> dict[Path, str]:
    """Return the text that each page should have."""
    readme = with_table(README.read_text(encoding="utf-8"), VALUES.read_text(encoding="utf-8"))
    return {README: readme, PRACTICES: scored(PRACTICES.read_text(encoding="utf-8"))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.chart_pages", description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help="write the tables into the pages")
    parser.parse_args(arguments)
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
