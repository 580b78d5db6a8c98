"""Attack the operator on real parts: kill it, blind it and mislead it at every point of a workload, and judge the rest.

`python -m faults` runs plans. A plan plays one workload with one fault in it, and oracles compare the record of what
happened with a clean run. Two proxies, before the API server and before each Engine, see and number every request; what
they do to one is the plan's to say. The operator is a process of its own, and knows nothing of all this.
"""
