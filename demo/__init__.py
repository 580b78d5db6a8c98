"""Show the main job on this machine: an image promoted from one registry to another, bit for bit.

A visitor to the operator, no part of it: it applies a manifest as a plain user, reads statuses and Events as anybody
may, and checks the result with the registries' own API.
"""
