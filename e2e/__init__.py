"""Bring up a whole Kubernetes node of this machine's own, and try the chart on it as users do.

`isolation` gives the node namespaces of the kernel, `images` makes the images it runs, `node` says which processes it
is made of. The tests are in tests/e2e; they know a node only by what `environment` tells of it.
"""
