"""Run the generator from the command line."""

import sys

from imageops.api.committed import run
from imageops.api.crdgen.manifest import crd_files

if __name__ == "__main__":
    sys.exit(run("python -m imageops.api.crdgen", crd_files()))
