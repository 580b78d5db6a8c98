from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from faults.fuzz import corpus
from faults.fuzz.targets import TARGETS, BrokenPromiseError, Target, check_redaction, check_reference

INPUTS = 5_000
SECONDS = 300


def of_name(target: Target) -> str:
    """Name a test for its target."""
    return target.name


@pytest.mark.feature("fault.fuzz")
@pytest.mark.parametrize("target", TARGETS, ids=of_name)
def test_every_kept_input_is_stood(target: Target) -> None:
    """What engines said, and what fuzzing once found, does not break a promise of the parser."""
    inputs = corpus.starting(target.name)
    assert len(inputs) > 10
    for data in inputs:
        target.check(data)


@pytest.mark.feature("fault.fuzz")
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="Atheris is not made for this platform")
@pytest.mark.parametrize("target", TARGETS, ids=of_name)
def test_new_inputs_are_stood(target: Target) -> None:
    """A short run of what `make fuzz` does gives no finding."""
    command = [
        sys.executable,
        "-m",
        "faults.fuzz",
        target.name,
        "--runs",
        str(INPUTS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, cwd=corpus.ROOT)
    assert done.returncode == 0, done.stdout
    assert f"{INPUTS:,} inputs" in done.stdout


def test_a_broken_promise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redactor that passes a secret on, and a parser that raises something else, are findings."""
    monkeypatch.setattr("faults.fuzz.targets.redact", lambda text, _=(): text)
    with pytest.raises(BrokenPromiseError):
        check_redaction(b"\x0d\x00\x00correct-horserefused")
    monkeypatch.setattr("faults.fuzz.targets.Reference.parse", int)
    with pytest.raises(ValueError, match="invalid literal"):
        check_reference(b"nginx")
