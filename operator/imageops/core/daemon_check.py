"""Refuse a spec before anything is tried: one that names a daemon that nobody configured."""

from collections.abc import Collection, Iterator

from imageops.api.errors import OperationError
from imageops.api.operations import OperationSpec
from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec


def refusal(spec: OperationSpec | SessionSpec, *, daemons: Collection[str]) -> OperationError | None:
    """Return why a valid spec cannot be carried out here, or None.

    Args:
        spec: The spec.
        daemons: The names of the configured daemons.

    """
    for name in _daemon_names(spec):
        if name not in daemons:
            return OperationError(
                Reason.DAEMON_NOT_CONFIGURED,
                f"No daemon named {name!r} is configured; there are: {', '.join(sorted(daemons)) or 'none'}.",
            )
    return None


def _daemon_names(spec: OperationSpec | SessionSpec) -> Iterator[str]:
    if spec.daemon_name is not None:
        yield spec.daemon_name
    if isinstance(spec, SessionSpec):
        for step in spec.steps:
            for action in (step.pull, step.tag, step.push):
                if action is not None and action.daemon_name is not None:
                    yield action.daemon_name
