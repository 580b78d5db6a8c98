"""What one layer of a running transfer is doing, in words that belong to no engine.

The engine produces these records and core folds them into an operation's progress. Neither may import the other, so
the vocabulary they share lives here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LayerState(StrEnum):
    """Where one layer stands in a pull or a push."""

    WAITING = "waiting"
    """Known to the engine; not one byte of it has moved."""
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    """All bytes are here and their checksum is computed."""
    DOWNLOADED = "downloaded"
    """All bytes are here, not yet unpacked."""
    EXTRACTING = "extracting"
    COMPLETE = "complete"
    """Pulled and unpacked; the end of a layer in a pull."""
    EXISTS = "exists"
    """Was at the destination before; no byte moved. An end in a pull and in a push."""
    RETRYING = "retrying"
    """The engine met an error with this layer and waits before its own next try."""
    PREPARING = "preparing"
    """Packed for the upload."""
    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    """The registry has acknowledged it; the end of a layer in a push."""
    MOUNTED = "mounted"
    """The registry took it over from another of its repositories; an end in a push, no byte moved."""
    UNAVAILABLE = "unavailable"
    """Belongs to a platform whose content this daemon lacks, so it is left out of a push."""


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """One thing the engine said about one layer."""

    id: str
    """The engine's short name of the layer, unique within one transfer."""
    state: LayerState
    current: int | None = None
    """Bytes done in this state; None where the engine counts something else (seconds) or nothing."""
    total: int | None = None
    """Bytes this state will take in all; None where the engine did not announce it."""
