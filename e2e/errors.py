"""Say what kept the node from coming up."""

from __future__ import annotations


class NodeError(Exception):
    """A node, or an image for it, cannot be had; the text says why and what helps."""
