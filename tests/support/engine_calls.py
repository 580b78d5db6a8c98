"""What tests of the engine do with it again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from devcluster.gate import RegistryGate
from devcluster.images import PushedImage
from devcluster.ledger import GateRequest
from imageops.api.errors import OperationError
from imageops.api.progress import LayerRecord
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.engine.docker_engine import DockerEngine

WAIT_SECONDS = 60.0
"""Deadline of every wait."""


@asynccontextmanager
async def connected(name: str, address: str) -> AsyncIterator[DockerEngine]:
    """Give the client of an engine, and close it afterwards."""
    docker = DockerEngine(name, address)
    try:
        yield docker
    finally:
        await docker.close()


def ignore(_: LayerRecord) -> None:
    """Take a record and do nothing with it."""


async def reason_of(work: Awaitable[object]) -> Reason:
    """Await work that must fail, and return why it did."""
    with pytest.raises(OperationError) as caught:
        await asyncio.wait_for(work, WAIT_SECONDS)
    return caught.value.reason


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def seen(gate: RegistryGate, holds: Callable[[Sequence[GateRequest]], bool]) -> tuple[GateRequest, ...]:
    """Wait until a gate's requests fulfil a condition, without stopping the event loop."""
    return await asyncio.to_thread(gate.wait, holds)


async def pulled(docker: DockerEngine, image: PushedImage) -> Reference:
    """Pull an image, and return what it is called on the daemon."""
    reference = Reference.parse(image.reference)
    await docker.pull(reference, platform=None, auth=None, sink=ignore)
    return reference


def behind(gate: RegistryGate, image: PushedImage) -> Reference:
    """Name an image by a gate in front of its registry."""
    return Reference.parse(f"{gate.address}/{image.repository}:{image.tag}")


def blob_gets(requests: Sequence[GateRequest]) -> list[GateRequest]:
    """List the requests for blobs."""
    return [request for request in requests if request.method == "GET" and "/blobs/" in request.path]
