"""Measure what the operator costs. Nothing here asserts a time: a missed goal is marked, the exit status stays 0."""
