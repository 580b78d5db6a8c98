from __future__ import annotations

import pytest

from imageops.api.errors import OperationError
from imageops.api.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1k", 1000),
        ("1Ki", 1024),
        ("500M", 500_000_000),
        ("10Gi", 10 * 1024**3),
        ("1.5G", 1_500_000_000),
        ("0.1Ki", 102),
        ("2Ti", 2 * 1024**4),
        ("1P", 10**15),
    ],
)
def test_size_in_bytes(text: str, size: int) -> None:
    """A number with a binary or decimal suffix is that many bytes, rounded down."""
    assert parse_quantity(text) == size


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1GB", "-1", "1e3", "1.", "1Gi\n", "٣"])
def test_anything_else_is_refused(text: str) -> None:
    """What is no size is InvalidSpec."""
    with pytest.raises(OperationError, match="InvalidSpec"):
        parse_quantity(text)
