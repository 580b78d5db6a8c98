"""A third party's tool, as the guide in docs/how-to/own-tool.md shows it, on a real daemon and registry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from devcluster.env import Environment
from imageops.api.status import OperationStatus
from tests.integration.conftest import MakeImage
from tests.support.pages import ROOT, Page

pytestmark = pytest.mark.integration

GUIDE = Page(ROOT / "docs" / "how-to" / "own-tool.md")


def platforms_of_the_guide() -> Callable[[str, str], Awaitable[OperationStatus]]:
    """Return the function that the guide shows, as it stands there."""
    [code] = GUIDE.blocks("python")
    names: dict[str, Callable[[str, str], Awaitable[OperationStatus]]] = {}
    exec(compile(code, GUIDE.name, "exec"), names)  # noqa: S102 - the guide's own code
    return names["platforms"]


@pytest.mark.feature("tool.own")
async def test_the_tool_of_the_guide_is_tracked_like_a_pull(cluster: Environment, make_image: MakeImage) -> None:
    """One attempt in history, closed as Succeeded, with conditions and progress like those of a pull."""
    image = make_image(platforms=("linux/amd64", "linux/arm64"))
    status = await platforms_of_the_guide()(cluster.docker_host, image.reference)
    assert (status.phase, status.attempts, status.failed_attempts) == ("Succeeded", 1, 0)
    assert [(entry.attempt, entry.outcome, entry.reason) for entry in status.history] == [(1, "Succeeded", "Completed")]
    assert {condition.type: condition.status for condition in status.conditions} == {
        "Succeeded": "True",
        "Ready": "True",
    }
    assert status.conditions[0].message == "The registry offers linux/amd64, linux/arm64."
    assert status.progress is not None
    assert status.progress.percent == 100


@pytest.mark.feature("tool.own")
async def test_an_absent_image_ends_the_tool_of_the_guide_for_good(cluster: Environment) -> None:
    """A final reason makes one attempt and carries its hint, as in a pull."""
    status = await platforms_of_the_guide()(cluster.docker_host, f"{cluster.registry}/test/absent:1")
    assert (status.phase, status.attempts) == ("Failed", 1)
    assert status.error is not None
    assert status.error.reason == "ImageNotFound"
    assert status.error.hint
