from __future__ import annotations

from typing import Any

import pytest

from imageops.api.operations import OperationSpec
from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec
from imageops.core.daemon_check import refusal
from tests.support.builders import promote_step, pull_spec, pull_step, push_spec, session_spec, tag_spec

DAEMONS = ("builder", "default")


@pytest.mark.parametrize(
    "spec",
    [
        pull_spec(daemonName="builder"),
        push_spec(),
        tag_spec(),
        session_spec(pull_step("a"), promote_step("b", platforms=["linux/arm64"]), daemonName="default"),
        SessionSpec(),
    ],
    ids=["pull", "push", "tag", "session", "open-session"],
)
def test_what_can_be_obeyed_is_not_refused(spec: OperationSpec | SessionSpec) -> None:
    """None means go."""
    assert refusal(spec, daemons=DAEMONS) is None


@pytest.mark.parametrize(
    "spec",
    [
        pull_spec(daemonName="nowhere"),
        session_spec(pull_step("a"), daemonName="nowhere"),
        session_spec({"name": "a", "pull": {"image": "x", "daemonName": "nowhere"}}),
        session_spec({"name": "a", "tag": {"source": "x", "target": "y", "daemonName": "nowhere"}}),
        session_spec({"name": "a", "push": {"image": "x", "daemonName": "nowhere"}}),
    ],
    ids=["operation", "session", "pull-step", "tag-step", "push-step"],
)
@pytest.mark.parametrize("daemons", [DAEMONS, ()], ids=["some", "none"])
def test_a_daemon_that_nobody_configured_is_refused(spec: Any, daemons: tuple[str, ...]) -> None:
    """The message lists those that are there."""
    error = refusal(spec, daemons=daemons)
    assert error is not None
    assert error.reason is Reason.DAEMON_NOT_CONFIGURED
    assert error.message.endswith("builder, default." if daemons else "none.")
