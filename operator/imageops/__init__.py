"""Perform image operations as Kubernetes custom resources."""
