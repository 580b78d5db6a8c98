from __future__ import annotations

import asyncio
from typing import Any

import pytest

from imageops.cli import main as cli
from imageops.handlers import watch
from imageops.runtime import app
from imageops.runtime.settings import Settings
from imageops.telemetry import logs


def play(monkeypatch: pytest.MonkeyPatch, *, fails: Exception | None = None) -> list[tuple[Settings, Any]]:
    """Let the operator be one that only notes what it is started with."""
    started: list[tuple[Settings, Any]] = []

    async def run(settings: Settings, given: Any) -> None:
        await asyncio.sleep(0)
        started.append((settings, given))
        if fails is not None:
            raise fails

    monkeypatch.setattr(app, "run", run)
    monkeypatch.setattr(logs, "set_up", lambda _level: None)
    for name in ("IMAGEOPS_DAEMONS", "IMAGEOPS_HEALTH_PORT", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    return started


def test_the_operator_runs_by_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those are the variables of the environment; kopf is handed in."""
    started = play(monkeypatch)
    monkeypatch.setenv("IMAGEOPS_DAEMONS", "default=unix:///run/docker.sock")
    monkeypatch.setenv("IMAGEOPS_HEALTH_PORT", "0")
    assert cli.main(["operator"]) == 0
    [(settings, given)] = started
    assert (settings.daemons, settings.health_port) == ({"default": "unix:///run/docker.sock"}, 0)
    assert given is watch


def test_a_setting_of_no_use_is_named_and_nothing_starts(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the status of a wrong use."""
    started = play(monkeypatch)
    monkeypatch.setenv("IMAGEOPS_HEALTH_PORT", "http")
    assert cli.main(["operator"]) == cli.EXIT_USAGE
    assert capsys.readouterr().err == "imageops: IMAGEOPS_HEALTH_PORT=http is not a port\n"
    assert started == []


def test_an_operator_that_cannot_start_says_why(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without a stack; a fault of our own is not hidden so."""
    play(monkeypatch, fails=OSError("the address is in use"))
    assert cli.main(["operator"]) == cli.EXIT_FAILURE
    assert "the operator cannot start: the address is in use" in caplog.text
    play(monkeypatch, fails=RuntimeError())
    with pytest.raises(RuntimeError):
        cli.main(["operator"])


@pytest.mark.parametrize("arguments", [[], ["sail"], ["operator", "--fast"]])
def test_an_unknown_command_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With the usage."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == cli.EXIT_USAGE
    assert "usage: imageops" in capsys.readouterr().err
