"""Find a kind by its name, also the one that is not installed yet."""

from __future__ import annotations

from imageops.api.kinds import ALL_KINDS, IMAGE_OPERATION_POLICY

KINDS_BY_NAME = {kind.kind: kind for kind in (*ALL_KINDS, IMAGE_OPERATION_POLICY)}
"""Every kind that has a model, such as `ImagePull`."""
