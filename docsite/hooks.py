"""Carry links and pages of the repository over into the site.

The pages in `docs` are read in a checkout as well as on the site, so their links lead to files of the repository: to
other pages, to examples, to the code. On the site a link to a page leads to that page, and a link to any other file to
the file where the repository is published. MkDocs finds these functions by their names.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

BROUGHT = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "charts/imageops/README.md": "reference/chart.md",
}
"""Pages that lie elsewhere in the repository for good reasons, and where they are on the site."""
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|[#/])([^)#\s]+)(#[^)\s]*)?(?=\))")
"""The target of a link that is relative, and its fragment."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of the folder."""
    for path, uri in BROUGHT.items():
        files.append(File.generated(config, uri, abs_src_path=str(_root(config) / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links of a page to where their targets are for a reader of the site."""
    folder = posixpath.dirname(_source(page.file.src_uri))
    sites = {_source(file.src_uri): file.src_uri for file in files.documentation_pages()}

    def lead(match: re.Match[str]) -> str:
        target, fragment = posixpath.normpath(posixpath.join(folder, match[1])), match[2] or ""
        if target in sites:
            return posixpath.relpath(sites[target], posixpath.dirname(page.file.src_uri)) + fragment
        path = _root(config) / target
        if not path.exists():
            return match[0]  # and the build fails
        return f"{config.extra['repository']}/{'tree' if path.is_dir() else 'blob'}/main/{target}{fragment}"

    return _LINK.sub(lead, markdown)


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent


def _source(uri: str) -> str:
    """Return where in the repository a page of the site lies."""
    return next((path for path, brought in BROUGHT.items() if brought == uri), f"docs/{uri}")
