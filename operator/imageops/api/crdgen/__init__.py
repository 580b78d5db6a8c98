"""Generate the CustomResourceDefinitions from the models: `python -m imageops.api.crdgen --write crds`."""
