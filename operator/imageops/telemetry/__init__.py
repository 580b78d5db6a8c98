"""Show how the operator is: metrics, JSON logs, health."""
