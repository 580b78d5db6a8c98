"""Build the documentation's site: what MkDocs needs to be told beyond `mkdocs.yml`."""
