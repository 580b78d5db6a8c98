"""Read files that a published Go module brings along: OpenAPI documents, CRDs of other projects."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

DOWNLOAD_SECONDS = 300


@cache
def module_folder(module: str, version: str) -> Path:
    """Return the folder of a module in Go's own cache, downloaded if it is not there; Go verifies its checksum."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{module}@{version}"],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=DOWNLOAD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return Path(json.loads(done.stdout)["Dir"])
