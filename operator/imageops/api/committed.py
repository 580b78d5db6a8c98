"""Write generated files into the tree, or tell which of them differ from what the code generates."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def drift(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Return the names of the files that are absent from the folder or differ from their text."""
    return [name for name, text in files.items() if _read(folder / name) != text]


def run(program: str, files: Mapping[str, str], arguments: Sequence[str] | None = None) -> int:
    """Perform `--write DIR` or `--check DIR` and return the exit status.

    Args:
        program: Name shown in the usage.
        files: File name to text.
        arguments: Of the command line; those of the process unless given.

    Returns:
        0, or 1 where `--check` found a difference.
    """
    parser = argparse.ArgumentParser(prog=program, description="Generate files from the models of the API.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", metavar="DIR", type=Path, help="write the files into this folder")
    action.add_argument("--check", metavar="DIR", type=Path, help="exit 1 if a file of this folder is out of date")
    options = parser.parse_args(arguments)
    if options.write is not None:
        options.write.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (options.write / name).write_text(text, encoding="utf-8")
        return 0
    stale = drift(options.check, files)
    for name in stale:
        sys.stderr.write(f"{options.check / name} is out of date: run {program} --write {options.check}\n")
    return 1 if stale else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
