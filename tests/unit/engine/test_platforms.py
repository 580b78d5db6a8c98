from __future__ import annotations

import json

import pytest

from imageops.engine import platforms


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
    assert platforms.same(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [("linux/arm64", "linux/amd64"), ("linux/arm/v6", "linux/arm/v7"), ("windows/amd64", "linux/amd64"), ("linux", "")],
)
def test_different_platforms(first: str, second: str) -> None:
    """Another system, architecture or variant is another platform."""
    assert not platforms.same(first, second)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("linux", "arm64", "v8"), "linux/arm64/v8"),
        (("linux", "amd64", ""), "linux/amd64"),
        (("linux", "", ""), None),
        (("", "amd64", ""), None),
        (("unknown", "unknown", ""), None),
    ],
)
def test_a_platform_is_whole_or_absent(parts: tuple[str, str, str], expected: str | None) -> None:
    """What the daemon does not know, or calls unknown as in an attestation, is no platform."""
    assert platforms.join(*parts) == expected


def test_the_api_takes_a_platform_as_json() -> None:
    """Inspect and push want an object, not the text a pull takes."""
    assert json.loads(platforms.to_json("linux/arm64/v8")) == {"os": "linux", "architecture": "arm64", "variant": "v8"}
    assert json.loads(platforms.to_json("linux/amd64")) == {"os": "linux", "architecture": "amd64"}
