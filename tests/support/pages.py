"""Read the pages of the documentation: their links, their YAML, their commands, and the names they mention."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from imageops.api.kinds import GROUP

ROOT = Path(__file__).parents[2]
SITE = ROOT / "mkdocs.yml"

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """One page in Markdown."""

    path: Path

    @property
    def name(self) -> str:
        """Where it lies below the root."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The page without its blocks of code."""
        return "\n".join(line for line, is_code in self._lines() if not is_code)

    @property
    def links(self) -> list[str]:
        """The targets of its links."""
        return _LINK.findall(_CODE_SPAN.sub("", self.prose))

    @property
    def anchors(self) -> set[str]:
        """The fragments by which its headings are reached, where Markdown is shown by a forge."""
        headings = (_CODE_SPAN.sub(r"\1", heading).lower() for heading in _HEADING.findall(self.prose))
        return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in headings}

    @property
    def terms(self) -> list[str]:
        """What stands in its prose as code."""
        return _CODE_SPAN.findall(self.prose)

    def blocks(self, language: str) -> list[str]:
        """Return the fenced blocks of a language."""
        return [text for _, found, text in _FENCE.findall(self.text) if found == language]

    @property
    def yaml(self) -> list[dict[str, Any]]:
        """Every document of its YAML blocks."""
        return [body for text in self.blocks("yaml") for body in yaml.safe_load_all(text) if body]

    @property
    def manifests(self) -> list[dict[str, Any]]:
        """The objects among them."""
        return [body for body in self.yaml if "kind" in body]

    @property
    def values(self) -> list[dict[str, Any]]:
        """The others: values of the chart."""
        return [body for body in self.yaml if "kind" not in body]

    @property
    def commands(self) -> list[list[str]]:
        """Its shell commands as words: the lines of indented blocks that a shell would take."""
        text = "\n".join(line for line, is_code in self._lines() if is_code)
        lines = re.sub(r"\\\n\s*", " ", text).splitlines()
        return [words for line in lines if (words := _words(line))]

    def _lines(self) -> Iterator[tuple[str, bool]]:
        """Yield the lines outside of fences, and whether each belongs to an indented block of code."""
        before, is_code = "", False
        for line in _FENCE.sub("", self.text).splitlines():
            is_code = line.startswith("    ") and (is_code or not before)
            yield line, is_code
            before = line


def _words(line: str) -> list[str]:
    """Split a line as a shell does; nothing for what is no command."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []
    return words[1:] if words[:1] == ["sudo"] else words


@cache
def pages() -> tuple[Page, ...]:
    """Return every page that readers are given."""
    outside = (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "charts/imageops/README.md"))
    return tuple(Page(path) for path in (*sorted((ROOT / "docs").rglob("*.md")), *outside))


def own_manifests(page: Page) -> list[dict[str, Any]]:
    """Return the page's objects of this project's kinds."""
    return [body for body in page.manifests if str(body["apiVersion"]).startswith(f"{GROUP}/")]


def navigation() -> list[str]:
    """Return the pages that the site's navigation leads to, in its order."""
    return [*_leaves(yaml.safe_load(SITE.read_text(encoding="utf-8"))["nav"])]


def _leaves(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from _leaves(below)
