"""Settle how all tests run."""

from hypothesis import settings

# A busy machine is no fault of the code under test: no example has a time limit of its own. The examples are the same
# in each run, so that a change is judged by what it changed; new ones are looked for on purpose, not on the way.
settings.register_profile("imageops", deadline=None, derandomize=True)
settings.load_profile("imageops")
