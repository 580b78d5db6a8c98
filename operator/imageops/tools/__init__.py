"""The atomic-tool framework, and pull, push and tag built on it.

A tool is one atomic step with a name, typed arguments and a typed result. It is run by `execute_with_progress` or
`execute_without_progress`, which share one path.
"""
