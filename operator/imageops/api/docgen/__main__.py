"""Run the generator from the command line."""

import sys

from imageops.api.committed import run
from imageops.api.docgen.pages import reference_files

if __name__ == "__main__":
    sys.exit(run("python -m imageops.api.docgen", reference_files()))
