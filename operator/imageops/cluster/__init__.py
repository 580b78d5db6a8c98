"""Talk to the API server: read Secrets, write status, create children, publish Events."""
