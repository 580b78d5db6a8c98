"""Give tests of the development cluster a registry in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.memory_registry import MemoryRegistry, serving


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    """Serve an empty registry while the test runs."""
    with serving() as store:
        yield store
