"""Give unit tests of the engine a daemon that can be told to lie."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from imageops.engine.docker_engine import DockerEngine
from tests.support.scripted_daemon import ScriptedDaemon


@pytest.fixture
def sockets() -> Iterator[Path]:
    """Give a folder with a short name, wherever temporary files lie: a Unix socket's path has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="io-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def daemon(sockets: Path) -> Iterator[ScriptedDaemon]:
    """Serve a daemon that can be told to lie."""
    with ScriptedDaemon(sockets / "d.sock") as scripted:
        yield scripted


@pytest_asyncio.fixture
async def engine(daemon: ScriptedDaemon) -> AsyncIterator[DockerEngine]:
    """Give an engine for that daemon."""
    made = DockerEngine("builder", daemon.address, max_transfers=2)
    yield made
    await made.close()
