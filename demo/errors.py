"""Name the one error that ends the demonstration."""

from __future__ import annotations


class DemoError(Exception):
    """Say in one sentence what did not come out as promised."""
