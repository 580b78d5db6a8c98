"""Turn what the Controller does into metrics."""

from functools import cache

from imageops.api.kinds import SESSION, Kind
from imageops.cluster.objects import ObjectKey
from imageops.core.effects import Decision
from imageops.runtime.objects import Entry
from imageops.telemetry.metrics import Metrics

_DIRECTIONS = {"ImagePull": "pull", "ImagePush": "push"}


class MetricsRecorder:
    """Counts decisions, ends and writes."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # What each update counts is kept at hand: the library looks it up under a lock (`make bench`).
        self._reconciles = cache(metrics.reconciles.labels)
        self._reconcile_seconds = cache(metrics.reconcile_seconds.labels)
        self._status_patches = cache(metrics.status_patches.labels)

    def decided(self, kind: Kind, *, seconds: float, failed: bool) -> None:
        """Count one decision with its effects."""
        name = kind.singular
        self._reconciles(name, "error" if failed else "success").inc()
        self._reconcile_seconds(name).observe(seconds)

    def attempt_started(self, kind: Kind) -> None:
        """Count an attempt in."""
        self._metrics.operations_running.labels(kind.kind).inc()

    def attempt_ended(self, kind: Kind, bytes_transferred: int | None) -> None:
        """Count an attempt out."""
        self._metrics.operations_running.labels(kind.kind).dec()
        direction = _DIRECTIONS.get(kind.kind)
        if direction is not None and bytes_transferred:
            self._metrics.bytes.labels(direction).inc(bytes_transferred)

    def ended(self, entry: Entry, decision: Decision) -> None:  # type: ignore[type-arg]
        """Count the end of a run."""
        status = decision.status
        kind, result = entry.key.kind, status.phase.lower()
        reason = status.conditions[0].reason if status.conditions else ""
        self._metrics.operations.labels(kind.kind, result, reason).inc()
        if kind is not SESSION and status.history:
            attempts = [attempt for attempt in status.history if attempt.run == status.run]
            milliseconds = sum(attempt.duration_milliseconds or 0 for attempt in attempts)
            self._metrics.operation_seconds.labels(kind.kind, result).observe(milliseconds / 1000)

    def wrote(self, key: ObjectKey, result: str) -> None:
        """Count a write of a status."""
        self._status_patches(key.kind.kind, result).inc()
