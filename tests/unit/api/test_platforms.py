from __future__ import annotations

import pytest

from imageops.api.platforms import matches, normalise


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("linux/arm64", "linux/arm64/v8"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/arm", "linux/arm/v7"),
        ("Linux/AMD64", "linux/amd64"),
    ],
)
def test_spellings_of_one_platform(first: str, second: str) -> None:
    """A variant that everybody means and another name of an architecture make no difference."""
    assert normalise(first) == normalise(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [("linux/arm64", "linux/amd64"), ("linux/arm/v6", "linux/arm/v7"), ("windows/amd64", "linux/amd64"), ("linux", "")],
)
def test_different_platforms(first: str, second: str) -> None:
    """Another system, architecture or variant is another platform."""
    assert normalise(first) != normalise(second)


@pytest.mark.parametrize(
    ("asked", "actual", "expected"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/arm64", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm/v7", "linux/arm", True),
        ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm/v6", "linux/arm", False),
        ("linux/x86_64", "linux/amd64", True),
        ("linux/aarch64", "linux/arm64/v8", True),
        ("linux/armhf", "linux/arm/v7", True),
        ("windows/amd64", "linux/amd64", False),
        ("linux/amd64", None, False),
    ],
)
def test_a_platform_without_variant_asks_for_any(asked: str, actual: str | None, *, expected: bool) -> None:
    """And arm64 is arm64/v8, however it is spelled."""
    assert matches(asked, actual) is expected
