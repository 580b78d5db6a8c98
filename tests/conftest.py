"""Settle how all tests run."""

from hypothesis import settings

# A busy machine is no fault of the code under test: no example has a time limit of its own.
settings.register_profile("imageops", deadline=None)
settings.load_profile("imageops")
