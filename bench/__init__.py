"""Measure what the operator costs. Nothing here asserts a time: a missed goal is marked, and the exit status stays 0."""
