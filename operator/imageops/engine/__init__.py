"""The image engine: the `ImageEngine` protocol and the Docker Engine behind it.

Belongs here: connections to a daemon, its API, its streams, and the translation of its errors into reasons. Does not
belong here: what an operation means, when it is tried again, who may do it. Imports `imageops.api` and nothing else of
ours; in particular not `core`.
"""
