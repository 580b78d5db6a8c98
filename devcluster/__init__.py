"""Start a real Kubernetes API, two real Docker Engines and real registries on this machine, for development and tests.

Nothing here is part of the operator: it may import only the standard library, rich, PyYAML and requests, and the
operator never imports it.
"""
