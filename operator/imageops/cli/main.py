"""Read the command line and run what it names."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

import uvloop
from kubernetes.aio.config import ConfigException

from imageops import handlers
from imageops.runtime import app
from imageops.runtime.settings import Settings, SettingsError
from imageops.telemetry import logs

logger = logging.getLogger("imageops.cli")

EXIT_FAILURE = 1
EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="imageops", description="Image operations as Kubernetes objects.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("operator", help="run the operator; its settings are the IMAGEOPS_* variables")
    parser.parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(f"imageops: {error}", file=sys.stderr)  # noqa: T201 - a command talks to people
        return EXIT_USAGE
    logs.set_up(settings.log_level)
    try:
        uvloop.run(app.run(settings, handlers.watch))
    except (OSError, ConfigException) as error:
        logger.error("the operator cannot start: %s", error)  # noqa: TRY400 - a stack says nothing more
        return EXIT_FAILURE
    return 0
