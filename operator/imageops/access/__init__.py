"""Say who may use what: credentials out of Secrets, matched to exactly one registry host."""
