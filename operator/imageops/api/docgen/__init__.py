"""Generate the pages about kinds and reasons: `python -m imageops.api.docgen --write docs/reference`."""
