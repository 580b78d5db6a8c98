"""All suites of `make test` run whatever fails, and the end says which did."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.suites import LOGS, main

ROOT = Path(__file__).parents[3]
MAKEFILE = """
.PHONY: good also-good bad also-bad waits
good also-good:
\t@echo $@ has run
bad also-bad:
\t@echo $@ has run; exit 3
waits:
\t@echo waits; exec sleep 600
"""


@pytest.fixture(autouse=True)
def _targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give make targets of which some fail, and nothing of the make that may run this."""
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        monkeypatch.delenv(name, raising=False)


def lines(text: str) -> list[str]:
    """Return the lines of the end, without their times."""
    return re.sub(r" in \d+ s", "", text).splitlines()


@pytest.mark.feature("dev.suites")
def test_a_failure_keeps_no_suite_from_running(capfd: pytest.CaptureFixture[str]) -> None:
    """Wherever it is: first, beside or after. The end names each, and how to run the failed ones again."""
    assert main(["bad", "--beside", "also-bad", "good", "--after", "also-good"]) == 1
    said = capfd.readouterr().out
    assert lines(said)[-5:] == [
        "make bad: FAILED (exit status 2)",
        "make also-bad: FAILED (exit status 2)",
        "make good: ok",
        "make also-good: ok",
        "tests: FAILED, again by: make bad also-bad",
    ]
    for suite in ("bad", "also-bad", "good", "also-good"):
        assert f"\n{suite} has run\n" in f"\n{said}"
    assert (LOGS / "good.log").read_text(encoding="utf-8") == "good has run\n"


@pytest.mark.feature("dev.suites")
@pytest.mark.parametrize("suites", [["bad"], ["good", "--beside", "bad"], ["good", "--after", "bad"]])
def test_one_failure_anywhere_is_a_failure(suites: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Its exit status is never lost behind a later success."""
    assert main([*suites]) == 1
    assert lines(capfd.readouterr().out)[-1] == "tests: FAILED, again by: make bad"


@pytest.mark.feature("dev.suites")
def test_when_all_are_good_so_is_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    """The exit status says so too."""
    assert main(["good", "--beside", "also-good"]) == 0
    assert lines(capfd.readouterr().out)[-1] == "tests: ok"


def test_what_is_asked_to_end_ends_its_suites_and_begins_no_more(tmp_path: Path) -> None:
    """A time limit leaves nothing behind."""
    suites = ["waits", "--beside", "waits", "good", "--after", "also-good"]
    command = [sys.executable, "-m", "tests.support.suites", *suites]
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        heard = iter(process.stdout.readline, "waits\n")
        assert next(heard).startswith("beside make waits")
        assert list(heard) == []
        log = tmp_path / LOGS / "waits.log"
        while not log.exists() or "waits\n" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert lines(said)[-3:-1] == ["make good: FAILED (exit status 143)", "make also-good: FAILED (exit status 143)"]
