"""Decide what happens next to an object.

Everything here is pure: no I/O, no clock, no randomness. Time comes in as an argument, jitter is derived from the
object's uid, and what is to be done goes out as effects that the runtime carries out.
"""
