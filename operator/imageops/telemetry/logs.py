"""Write logs as one JSON object a line.

Fields: ts, level, logger, msg; operation lines add what they are about as further fields. Tracebacks keep the places
and leave out the texts of exceptions, which may repeat what a registry or a Secret said.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

_OWN_FIELDS = ("kind", "namespace", "name", "uid", "generation", "op_id")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        for name in _OWN_FIELDS:
            value = record.__dict__.get(f"imageops_{name}")
            if value is not None:
                line[name] = value
        if record.exc_info is not None and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["stack"] = _places(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str) -> None:
    """Send all logs of the process to standard error as JSON, ours at the level, the libraries' from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("imageops").setLevel(level)
    logging.getLogger("kopf").setLevel(logging.WARNING)


def _places(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-12:]]
