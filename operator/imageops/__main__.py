"""Run the command as `python -m imageops`."""

import sys

from imageops.cli.main import main

sys.exit(main())
