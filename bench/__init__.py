"""Measure what the operator costs.

Nothing here asserts a time: a missed goal is marked, and the exit status stays 0. It tells only of a figure that grew
beyond what chance and the bar explain, where another commit is measured in turn.
"""
