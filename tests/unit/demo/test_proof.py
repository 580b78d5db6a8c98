from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.errors import DemoError
from demo.proof import Place, prove_equal
from devcluster.images import PushedImage, push_image
from tests.support.memory_registry import MemoryRegistry, serving

PLATFORMS = ("linux/amd64", "linux/arm64")


@pytest.fixture
def source() -> Iterator[MemoryRegistry]:
    """Serve the registry that is promoted from."""
    with serving() as store:
        yield store


@pytest.fixture
def target() -> Iterator[MemoryRegistry]:
    """Serve the registry that is promoted to."""
    with serving() as store:
        yield store


def pushed(registry: MemoryRegistry, *, seed: int = 1) -> tuple[PushedImage, Place]:
    """Put an image with two platforms and two attestations into a registry."""
    image = push_image(registry.address, "app", "1", platforms=PLATFORMS, attestations=True, seed=seed)
    return image, Place(image.registry, image.repository, image.tag)


def test_equal_content_is_proved_with_all_its_parts(source: MemoryRegistry, target: MemoryRegistry) -> None:
    """The proof names the index digest and counts what the target has."""
    image, here = pushed(source)
    _, there = pushed(target)
    proof = prove_equal(here, there)
    assert (proof.digest, proof.images, proof.attestations) == (image.digest, 2, 2)
    assert proof.blobs == 2 * (1 + 2) + 2 * 2


def test_other_content_under_the_tag_is_no_promotion(source: MemoryRegistry, target: MemoryRegistry) -> None:
    """An index that differs in anything is refused."""
    _, here = pushed(source, seed=1)
    _, there = pushed(target, seed=2)
    with pytest.raises(DemoError, match="different content"):
        prove_equal(here, there)


def test_an_absent_tag_is_told_with_the_registry_that_lacks_it(source: MemoryRegistry, target: MemoryRegistry) -> None:
    """The text says who answered what."""
    _, here = pushed(source)
    with pytest.raises(DemoError, match=rf"{target.address} answered 404"):
        prove_equal(here, Place(target.address, "app", "1"))
