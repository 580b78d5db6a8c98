"""Run one target under libFuzzer, which changes inputs and keeps those that reach new code.

A process of its own, `python -m faults.fuzz.mutating TARGET FLAGS… FOLDER…`, as libFuzzer ends the one it runs in.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["imageops.access", "imageops.api.references", "imageops.engine"]):
    from faults.fuzz.targets import TARGETS


def main() -> None:
    """Hand the process over to libFuzzer."""
    name, *flags = sys.argv[1:]
    target = next(target for target in TARGETS if target.name == name)
    atheris.Setup([sys.argv[0], f"-max_len={target.longest}", *flags], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
