"""Run the operator with tools that fail in a way nobody foresaw: `python -m tests.support.failing_tools operator`."""

from __future__ import annotations

import sys
from typing import NoReturn

from imageops.cli.main import main
from imageops.tools.pull import PullTool
from imageops.tools.push import PushTool
from imageops.tools.tag import TagTool

PLANTED = "planted-password-in-an-exception"


class UnforeseenError(Exception):
    """An exception that no module knows, with a secret in its text."""


async def _fail(*_: object) -> NoReturn:
    raise UnforeseenError(PLANTED)


if __name__ == "__main__":
    for tool in (PullTool, PushTool, TagTool):
        tool.run = _fail  # type: ignore[method-assign, assignment]
    sys.exit(main())
