from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docsite.hooks import BROUGHT
from docsite.metrics import metrics_files
from imageops.api.committed import drift
from tests.support.pages import ROOT, Page

BUILD_SECONDS = 300
LOADED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?([^\"' >]+)|<link\b[^>]*\bhref=[\"']?([^\"' >]+)")
FROM_STYLES = re.compile(r"(?:url\(|@import\s)[\"']?(?:https?:)?//")
SETTINGS = ROOT / "operator" / "imageops" / "runtime" / "settings.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does, where every warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_page_of_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    """No script, style, font or picture: the site can be read behind an air gap, opened from its folder."""
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = [script or link for script, link in LOADED.findall(page.read_text(encoding="utf-8"))]
        assert loaded
        assert [address for address in loaded if "//" in address] == [], page.name
    for style in site.rglob("*.css"):
        assert FROM_STYLES.search(style.read_text(encoding="utf-8")) is None, style.name


def test_links_out_of_the_documentation_lead_to_the_repository(site: Path) -> None:
    """To the file as published; what the site brings in is linked within it."""
    read = {name: (site / name).read_text(encoding="utf-8") for name in ("how-to/k3s.html", "index.html")}
    assert 'href="https://github.com/imageops/imageops/blob/main/examples/k3s/imageops.yaml"' in read["how-to/k3s.html"]
    assert 'href="../reference/chart.html#modes"' in read["how-to/k3s.html"]
    assert all((site / name).with_suffix(".html").exists() for name in BROUGHT.values())
    assert not list(site.glob("*.json"))


def test_tables_and_lists_come_out_as_such(site: Path) -> None:
    """A forge's Markdown lets them follow a line of text; that of the site does not."""
    for page in site.rglob("*.html"):
        paragraphs = re.findall(r"<p>(.*?)</p>", page.read_text(encoding="utf-8"), re.DOTALL)
        assert [text for text in paragraphs if re.search(r"^(\||[*-] |\d+\. )", text, re.MULTILINE)] == [], page.name


def test_commands_come_out_as_code(site: Path) -> None:
    """Within a list that takes eight blanks; a forge is content with fewer."""
    for page in site.rglob("*.html"):
        paragraphs = re.findall(r"<p>(.*?)</p>", page.read_text(encoding="utf-8"), re.DOTALL)
        assert [
            text for text in paragraphs if re.match(r"(kubectl|helm|make|docker|git|\.ci/)\S* [a-z-]", text)
        ] == [], page.name


@pytest.mark.feature("doc.reference")
def test_the_page_about_metrics_is_what_the_code_generates() -> None:
    """A metric that is new, gone or renamed fails here until the page is written anew."""
    assert drift(ROOT / "docs" / "reference", metrics_files()) == []


@pytest.mark.feature("doc.reference")
def test_every_setting_is_in_the_table_of_operations() -> None:
    """No variable is read that the page does not tell of."""
    read = set(re.findall(r'"(IMAGEOPS_[A-Z_]+|KUBECONFIG)"', SETTINGS.read_text(encoding="utf-8")))
    assert read
    told = Page(ROOT / "docs" / "operations.md").terms
    assert read - set(told) == set()


@pytest.mark.feature("doc.limits")
def test_one_page_says_what_is_not_offered() -> None:
    """Referrers, compare-and-set against others, helpers, the kubelet's store, the daemon's egress, policies."""
    page = Page(ROOT / "docs" / "limits.md").text
    for word in ("Referrers", "Compare-and-set", "credential helpers", "kubelet", "egress", "Policies"):
        assert word in page
