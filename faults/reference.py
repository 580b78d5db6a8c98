"""What the operator asked for, and was told, in clean runs: the points that plans are made for.

The list is kept in a file, so that a plan has the same number everywhere. `python -m faults record` writes it anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from faults.record import Record, numbered

FILE = Path(__file__).with_name("reference.json")


@dataclass(frozen=True, slots=True)
class Reference:
    """The points of the workload."""

    requests: tuple[str, ...]
    """Writes to the API server and calls of daemons, by name."""
    events: tuple[str, ...]
    """Watch events, by name."""

    @classmethod
    def load(cls) -> Self:
        """Read the file."""
        document = json.loads(FILE.read_text(encoding="utf-8"))
        return cls(requests=tuple(document["requests"]), events=tuple(document["events"]))

    def save(self) -> None:
        """Write the file."""
        FILE.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        """Take what is in each of several clean runs, in the order of the first."""
        return cls(
            requests=_common([numbered(record.calls) for record in records]),
            events=_common([list(event_names(record)) for record in records]),
        )


def event_names(record: Record) -> Iterable[str]:
    """Name the watch events of a trial: kind and object, the number of the event, and its type."""
    counts: Counter[str] = Counter()
    for state in record.states:
        about = f"{state.plural}/{record.names.plain(state.name)}"
        counts[about] += 1
        yield f"{about} {state.type} #{counts[about]}"


def _common(lists: Sequence[Sequence[str]]) -> tuple[str, ...]:
    others = [set(one) for one in lists[1:]]
    return tuple(name for name in lists[0] if all(name in other for other in others))
