from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.features import TABLE, FeatureMarkerError, MarkedTest, Row, marked_tests, render, report, rows

PROMISED = Path(__file__).with_name("ids.txt")
"""Every id that was ever in the table."""
OPEN = Path(__file__).with_name("open.txt")
"""The ids of what is promised and not yet there."""

TEXT = """\
Words, and `a.code` between them.

| id | what must hold | shown by | tests |
|---|---|---|---|
| `pull.works` | A pull works | unit |
| `push.works` | A push works | integration | unit/old 3 |
"""


@pytest.mark.feature("dev.table")
def test_each_row_has_a_test_unless_it_is_known_to_be_open() -> None:
    """What got its first test is no longer open: the list only shrinks."""
    shown = {test.feature for test in marked_tests()}
    without = [row.id for row in rows(TABLE.read_text(encoding="utf-8")) if row.id not in shown]
    assert without == OPEN.read_text(encoding="utf-8").split()


@pytest.mark.feature("dev.table")
def test_no_test_names_an_unknown_row() -> None:
    """Every marker of every test names a row of the table."""
    known = {row.id for row in rows(TABLE.read_text(encoding="utf-8"))}
    assert [test for test in marked_tests() if test.feature not in known] == []


@pytest.mark.feature("dev.table")
def test_no_row_vanishes_or_stands_there_twice() -> None:
    """Each id that was ever promised stands in the table once; a new one is added to ids.txt."""
    ids = [row.id for row in rows(TABLE.read_text(encoding="utf-8"))]
    assert ids == PROMISED.read_text(encoding="utf-8").split()
    assert len(ids) == len(set(ids))


def test_rows_are_read_with_and_without_their_tests() -> None:
    """Headings, rulers and prose are no rows."""
    assert rows(TEXT) == [Row("pull.works", "A pull works", "unit"), Row("push.works", "A push works", "integration")]


def test_rendering_replaces_the_tests_of_a_row_and_nothing_else() -> None:
    """Each file stands there once with its count, a row without tests says so, and rendering twice changes nothing."""
    tests = [MarkedTest("pull.works", "unit/test_a", name) for name in ("test_one", "test_two")]
    once = render(TEXT, tests)
    assert "| `pull.works` | A pull works | unit | unit/test_a 2 |" in once
    assert "| `push.works` | A push works | integration | - |" in once
    assert once.splitlines()[:4] == TEXT.splitlines()[:4]
    assert render(once, tests) == once


def test_the_report_ends_with_the_rows_that_have_no_test() -> None:
    """A row with tests is followed by them; one without is listed at the end with what must show it."""
    lines = list(report(rows(TEXT), [MarkedTest("pull.works", "unit/test_a", "test_one")]))
    assert lines[:2] == ["pull.works: A pull works", "    unit/test_a::test_one"]
    assert lines[-2:] == ["1 of 2 rows have tests. These have none:", "    push.works (integration)"]


def test_markers_are_found_wherever_pytest_takes_them(tmp_path: Path) -> None:
    """On functions, coroutines, classes, single parameters and whole modules."""
    (tmp_path / "test_all.py").write_text(
        """
pytestmark = [pytest.mark.feature("a.module")]

@pytest.mark.feature("a.function", "a.second")
def test_one(): ...

@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.feature("a.parameter"))])
async def test_two(x): ...

@pytest.mark.feature("a.class")
class TestThree:
    @pytest.mark.feature("a.method")
    def test_four(self): ...

@pytest.mark.feature("a.helper")
def helper(): ...
""",
        encoding="utf-8",
    )
    found = {(test.name, test.feature) for test in marked_tests(tmp_path) if test.feature != "a.module"}
    assert found == {
        ("test_one", "a.function"),
        ("test_one", "a.second"),
        ("test_two", "a.parameter"),
        ("TestThree::test_four", "a.class"),
        ("TestThree::test_four", "a.method"),
    }
    assert sum(test.feature == "a.module" for test in marked_tests(tmp_path)) == 3


@pytest.mark.parametrize("arguments", ["NAME", "", '"a.row", *MORE', 'id="a.row"'])
def test_a_marker_that_cannot_be_read_is_refused(arguments: str, tmp_path: Path) -> None:
    """A computed id could name anything."""
    text = f"@pytest.mark.feature({arguments})\ndef test_one(): ...\n"
    (tmp_path / "test_bad.py").write_text(text, encoding="utf-8")
    with pytest.raises(FeatureMarkerError, match="test_bad:1"):
        marked_tests(tmp_path)
