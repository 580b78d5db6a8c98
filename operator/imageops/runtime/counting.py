"""Turn what the Controller does into metrics."""

from dataclasses import dataclass

from imageops.api.kinds import SESSION, Kind
from imageops.cluster.objects import ObjectKey
from imageops.core.effects import Decision
from imageops.runtime.objects import Entry
from imageops.telemetry.metrics import Metrics

_DIRECTIONS = {"ImagePull": "pull", "ImagePush": "push"}


@dataclass(frozen=True, slots=True)
class MetricsWatcher:
    """Counts decisions, ends and writes."""

    metrics: Metrics

    def decided(self, kind: Kind, *, seconds: float, failed: bool) -> None:
        """Count one decision with its effects."""
        name = kind.singular
        self.metrics.reconciles.labels(name, "error" if failed else "success").inc()
        self.metrics.reconcile_seconds.labels(name).observe(seconds)

    def attempt_started(self, kind: Kind) -> None:
        """Count an attempt in."""
        self.metrics.operations_running.labels(kind.kind).inc()

    def attempt_ended(self, kind: Kind, bytes_transferred: int | None) -> None:
        """Count an attempt out."""
        self.metrics.operations_running.labels(kind.kind).dec()
        direction = _DIRECTIONS.get(kind.kind)
        if direction is not None and bytes_transferred:
            self.metrics.bytes.labels(direction).inc(bytes_transferred)

    def ended(self, entry: Entry, decision: Decision) -> None:  # type: ignore[type-arg]
        """Count the end of a run."""
        status = decision.status
        kind, result = entry.key.kind, status.phase.lower()
        reason = status.conditions[0].reason if status.conditions else ""
        self.metrics.operations.labels(kind.kind, result, reason).inc()
        if kind is not SESSION and status.history:
            attempts = [attempt for attempt in status.history if attempt.run == status.run]
            milliseconds = sum(attempt.duration_milliseconds or 0 for attempt in attempts)
            self.metrics.operation_seconds.labels(kind.kind, result).observe(milliseconds / 1000)

    def wrote(self, key: ObjectKey, result: str) -> None:
        """Count a write of a status."""
        self.metrics.status_patches.labels(key.kind.kind, result).inc()
