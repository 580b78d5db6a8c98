"""Name the one error that the development cluster raises to whoever runs it."""

from __future__ import annotations


class DevClusterError(Exception):
    """Say what went wrong and what to do about it, in one sentence fit for a terminal."""
