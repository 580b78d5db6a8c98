"""The last line of a trial says what came of it."""

from __future__ import annotations

import re

import pytest

import e2e.__main__ as trial
from devcluster.errors import DevClusterError


@pytest.mark.parametrize(
    ("outcome", "status", "line"),
    [
        (0, 0, r"e2e: ok in \d+ s"),
        (3, 3, r"e2e: FAILED after \d+ s: exit status 3; logs are in .+"),
        (DevClusterError("no etcd"), 1, r"e2e: FAILED after \d+ s: no etcd"),
        (KeyboardInterrupt(), 130, r"e2e: FAILED after \d+ s: interrupted"),
    ],
)
def test_the_last_line_is_the_verdict(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: int | BaseException,
    status: int,
    line: str,
) -> None:
    """And the exit status is the command's own."""

    def run(*_: object) -> int:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(trial, "_run", run)
    assert trial.main(["pytest"]) == status
    assert re.fullmatch(line, capsys.readouterr().err.splitlines()[-1])
