"""Count what the operator does, under the names that existing dashboards query. No object's name is a label."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

DURATION_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_200, 1_800)
"""Seconds; a large image over a slow line takes half an hour."""


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        """Register them all."""
        self.registry = CollectorRegistry()
        labels = {"registry": self.registry}
        self.reconciles = Counter(
            "controller_runtime_reconcile",
            "Decisions taken.",
            ["controller", "result"],
            **labels,  # type: ignore[arg-type]
        )
        self.reconcile_seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Seconds a decision and its effects took.",
            ["controller"],
            buckets=DURATION_BUCKETS,
            **labels,  # type: ignore[arg-type]
        )
        self.operations = Counter(
            "imageops_operations",
            "Runs that ended.",
            ["kind", "result", "reason"],
            **labels,  # type: ignore[arg-type]
        )
        self.operation_seconds = Histogram(
            "imageops_operation_duration_seconds",
            "Seconds from the start of a run to its end.",
            ["kind", "result"],
            buckets=DURATION_BUCKETS,
            **labels,  # type: ignore[arg-type]
        )
        self.operations_running = Gauge(
            "imageops_operations_running",
            "Attempts in progress.",
            ["kind"],
            **labels,  # type: ignore[arg-type]
        )
        self.bytes = Counter(
            "imageops_bytes",
            "Bytes moved between registries and daemons.",
            ["direction"],
            **labels,  # type: ignore[arg-type]
        )
        self.daemon_up = Gauge(
            "imageops_daemon_up",
            "Whether the daemon answered the last look.",
            ["daemon"],
            **labels,  # type: ignore[arg-type]
        )
        self.status_patches = Counter(
            "imageops_status_patch",
            "Writes of status, by what came of them.",
            ["kind", "result"],
            **labels,  # type: ignore[arg-type]
        )
        self.status_refused = Gauge(
            "imageops_status_refused_objects",
            "Objects whose status the API server refuses for good; each ended in memory and is tried when it changes.",
            **labels,  # type: ignore[arg-type]
        )
        self.last_event_age = Gauge(
            "imageops_watch_last_event_age_seconds",
            "Seconds since the last watch event of any kind.",
            **labels,  # type: ignore[arg-type]
        )
        self.watch_failures = Counter(
            "imageops_watch_failures",
            "Lists and watches that were refused or broke, and were made anew.",
            ["resource"],
            **labels,  # type: ignore[arg-type]
        )
        self.watches_refused = Gauge(
            "imageops_watch_places_refused",
            "Namespaces, or the cluster, in which the operator has no right to list and watch.",
            **labels,  # type: ignore[arg-type]
        )
        self.leader = Gauge(
            "leader_election_master_status",
            "Whether this process holds the Lease.",
            ["name"],
            **labels,  # type: ignore[arg-type]
        )

    def exposition(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
