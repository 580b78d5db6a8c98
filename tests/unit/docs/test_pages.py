from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from imageops.api.admission import check, parse_spec
from imageops.api.reasons import Reason, ReasonClass
from imageops.telemetry.metrics import Metrics
from tests.support.commands import has_field, has_value, leaves, problems
from tests.support.kinds import KINDS_BY_NAME
from tests.support.pages import ROOT, Page, navigation, own_manifests, pages

PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
GUIDES = pytest.mark.parametrize("page", [page for page in pages() if page.manifests], ids=lambda page: page.name)
FIELD = re.compile(r"(?:spec|status)(?:\.[a-zA-Z]+(?:\[\])?)+")
VARIABLE = re.compile(r"IMAGEOPS_[A-Z_]+[A-Z]")
METRIC = re.compile(r"imageops_[a-z_]+")
VALUE = re.compile(
    r"(?:certManager|crds|daemon|metrics|networkPolicy|podDisruptionBudget|rbac|serviceAccount|test)"
    r"(?:\.[A-Za-z]+)+(?:\[\])?(?:\.[A-Za-z]+)*"
)
VALUES = [(page.name, values) for page in pages() for values in page.values]


def test_the_navigation_leads_to_every_page_of_docs() -> None:
    """Once each; what lies outside of docs is led to as well where the site brings it in."""
    led_to = navigation()
    assert len(led_to) == len(set(led_to))
    inside = {page.name.removeprefix("docs/") for page in pages() if page.name.startswith("docs/")}
    brought = {"changelog.md", "contributing.md", "reference/chart.md"}
    assert set(led_to) == inside | brought


@PAGES
def test_every_link_leads_somewhere(page: Page) -> None:
    """To a file of the repository, and to a heading where a fragment is given; anything else is https."""
    for link in page.links:
        target, _, fragment = link.partition("#")
        if ":" in target:
            assert target.startswith("https://"), link
            continue
        path = (page.path.parent / target).resolve() if target else page.path
        assert path.is_relative_to(ROOT), link
        assert path.exists(), link
        if fragment:
            assert fragment in Page(path).anchors, link


@pytest.mark.feature("doc.quickstart")
@GUIDES
def test_every_manifest_is_one_that_the_operator_takes(page: Page) -> None:
    """It parses as its kind, and passes the second gate; objects of other projects at least say what they are."""
    for body in page.manifests:
        assert {"apiVersion", "kind", "metadata"} <= body.keys()
        assert {"name", "generateName"} & body["metadata"].keys()
    for body in own_manifests(page):
        kind = KINDS_BY_NAME[body["kind"]]
        check(kind, parse_spec(kind, body["spec"]))


@pytest.mark.feature("doc.quickstart")
@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_one_that_the_operator_takes(path: Any) -> None:
    """So are the files that the pages point to."""
    for body in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        if str(body.get("apiVersion")).startswith("imageops.dev/"):
            kind = KINDS_BY_NAME[body["kind"]]
            check(kind, parse_spec(kind, body["spec"]))


@pytest.mark.parametrize(("page", "values"), VALUES, ids=[name for name, _ in VALUES])
def test_every_block_of_values_has_values_of_the_chart(page: str, values: dict[str, Any]) -> None:
    """None is misspelt; the chart's own tests render them."""
    assert [path for path in leaves(values) if not has_value(path)] == [], page


@pytest.mark.feature("doc.quickstart")
@PAGES
def test_every_command_names_what_is_there(page: Page) -> None:
    """Targets, modules, files, kinds, fields, annotations and values."""
    assert [(words, found) for words in page.commands if (found := problems(words))] == []


@PAGES
def test_every_name_in_prose_is_there(page: Page) -> None:
    """Fields of spec and status, the operator's variables, its metrics, and values of the chart."""
    terms = [] if page.name == "docs/features.md" else page.terms  # its ids look like fields
    assert [term for term in terms if FIELD.fullmatch(term) and not has_field(term)] == []
    known = " ".join(path.read_text(encoding="utf-8") for path in _sources())
    assert [name for name in VARIABLE.findall(page.prose) if name not in known] == []
    exposed = Metrics().exposition().decode()
    assert [term for term in terms if METRIC.fullmatch(term) and term.removesuffix("_bucket") not in exposed] == []
    values = [term.replace("[]", "") for term in terms if VALUE.fullmatch(term)]
    assert [term for term in values if not (has_value(term) or has_field(f"status.{term}"))] == []


@pytest.mark.parametrize(
    ("heading", "reason_class"),
    [
        ("It waits", ReasonClass.WAITING),
        ("It is tried again", ReasonClass.RETRYABLE),
        ("It has failed", ReasonClass.FINAL),
    ],
)
def test_troubleshooting_has_each_reason_where_its_class_belongs(heading: str, reason_class: ReasonClass) -> None:
    """A reason that has moved to another class, or is gone, does not stay in its table."""
    text = Page(ROOT / "docs" / "troubleshooting.md").text
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = [Reason(word) for cell in cells for word in re.findall(r"`(\w+)`", cell)]
    assert len(named) > 4
    assert {reason.reason_class for reason in named} == {reason_class}


def _sources() -> list[Any]:
    return [path for package in ("operator", "devcluster", "e2e") for path in (ROOT / package).rglob("*.py")]
