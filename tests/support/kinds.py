"""Find a kind by its name, also the one that is not installed yet."""

from __future__ import annotations

from imageops.api.kinds import ALL_KINDS, IMAGE_OPERATION_POLICY

MODELLED_KINDS = (*ALL_KINDS, IMAGE_OPERATION_POLICY)
"""Every kind that has a model."""
KINDS_BY_NAME = {kind.kind: kind for kind in MODELLED_KINDS}
"""The same by name, such as `ImagePull`."""
