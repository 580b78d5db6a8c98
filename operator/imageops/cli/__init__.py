"""The `imageops` command."""
