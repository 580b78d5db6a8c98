"""Show progress while it happens, and the outcome as tables; on a terminal with bars, elsewhere in plain lines."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from rich import box
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from demo.promotion import Body, Operation

_MEGABYTE = 1_000_000
_SHORT_DIGEST = len("sha256:") + 12


class LiveView:
    """One bar for each operation, a context manager; where nobody can see bars, a line for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._lines: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("  {task.description:<10}"),
                TextColumn("{task.fields[stage]:<11}"),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[numbers]}"),
                console=self._console,
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def update(self, operations: Sequence[Operation]) -> None:
        """Show how the operations are now."""
        for operation in operations:
            if self._bars is not None:
                self._update_bar(self._bars, operation)
            else:
                self._print_line(operation)

    def _update_bar(self, bars: Progress, operation: Operation) -> None:
        if operation.name not in self._tasks:
            self._tasks[operation.name] = bars.add_task(operation.kind, total=100, stage="", numbers="")
        bars.update(
            self._tasks[operation.name],
            completed=_percent(operation),
            stage=_word(operation),
            numbers=_numbers(operation),
        )

    def _print_line(self, operation: Operation) -> None:
        line = f"{operation.kind:<10} {_word(operation):<11} {_percent(operation):>3} %  {_numbers(operation)}".rstrip()
        if self._lines.get(operation.name) != line:
            self._lines[operation.name] = line
            self._console.print(f"  {line}", markup=False, highlight=False)


def steps_table(session: Body, operations: Sequence[Operation]) -> Table:
    """Tell how each step of the Session ended, and the operations it was made of."""
    table = _table("Steps", "step", "phase", "reason", "digest", "attempts", "seconds")
    for step in session["status"].get("steps") or ():
        table.add_row(
            f"{step['name']} ({step['action']})",
            step.get("phase", ""),
            step.get("reason", ""),
            _short(step.get("digest")),
            str(step.get("attempts", 0)),
            _seconds(step),
        )
    for operation in operations:
        seconds = "" if operation.milliseconds is None else f"{operation.milliseconds / 1000:.1f}"
        table.add_row(f"  {operation.kind}", operation.phase, operation.reason, _short(operation.digest), "", seconds)
    return table


def events_table(events: Sequence[Body]) -> Table:
    """List Events as `kubectl events` does."""
    table = _table("Events", "time", "type", "reason", "object", "message")
    for event in events:
        about = event["involvedObject"]
        table.add_row(
            event["lastTimestamp"][len("2000-01-01T") :].removesuffix("Z"),
            event["type"],
            event["reason"],
            about["kind"],
            event["message"],
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[-1].overflow = "fold"
    return table


def _word(operation: Operation) -> str:
    """Say what an operation does now: its stage while it runs, its reason once it has ended or waits."""
    return (operation.stage if operation.phase == "Running" else None) or operation.reason or operation.phase


def _percent(operation: Operation) -> int:
    return 100 if operation.phase == "Succeeded" else operation.percent or 0


def _numbers(operation: Operation) -> str:
    parts = []
    if operation.bytes_done is not None:
        total = "" if operation.bytes_total is None else f" of {operation.bytes_total / _MEGABYTE:.1f}"
        parts.append(f"{operation.bytes_done / _MEGABYTE:.1f}{total} MB")
    if operation.layers_total is not None:
        parts.append(f"{operation.layers_done or 0} of {operation.layers_total} layers")
    if operation.bytes_per_second is not None and operation.phase == "Running":
        parts.append(f"{operation.bytes_per_second / _MEGABYTE:.1f} MB/s")
    return ", ".join(parts)


def _short(digest: str | None) -> str:
    return digest[:_SHORT_DIGEST] if digest else ""


def _seconds(step: dict[str, Any]) -> str:
    if "startTime" not in step or "completionTime" not in step:
        return ""
    start, end = (datetime.fromisoformat(step[name]) for name in ("startTime", "completionTime"))
    return f"{(end - start).total_seconds():.0f}"
