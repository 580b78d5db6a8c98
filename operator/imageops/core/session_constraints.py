"""Say what a Session asks of its operations, and what one of them may take from the others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from imageops.api.quantity import parse_quantity
from imageops.api.session import SessionLimits, SessionSpec
from imageops.core import session_summary as summary
from imageops.core.run import finished
from imageops.core.session import Session, child_names_of, unused
from imageops.core.session_stop import stop_reason
from imageops.core.session_summary import Member
from imageops.core.step_scheduler import names_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConstraints:
    """What the Session of an operation asks of it."""

    missing: bool = False
    cancel: bool = False
    """Cancelled, or past its deadline."""
    suspend: bool = False
    closed: bool = False
    """Takes no further run; those that have begun go on."""
    over_limit: bool = False
    """Has used up its limits: nothing that has made no attempt yet may start."""
    remove_image: bool = False
    """Has no further use for what the operation left on the daemon."""


def constraints_of(session: Session, *, owned: str | None, now: datetime) -> SessionConstraints:
    """Say what a Session asks of one of its operations; a deadline that has passed cancels them.

    Args:
        session: The Session; its members are looked at only where it has limits.
        owned: The name of the operation, if it is one of the Session's own; None if it joined.
        now: The present.

    """
    spec, status = session.spec, session.status
    if spec is None:
        return SessionConstraints()
    return SessionConstraints(
        cancel=stop_reason(spec, status, now=now) is not None,
        suspend=spec.suspend,
        closed=owned is None and (bool(spec.steps) or spec.closed or finished(status)),
        over_limit=spec.limits is not None and _over_limit(spec.limits, _ended_in_run(session, spec)),
        remove_image=owned is not None and owned in unused(session, status, spec),
    )


def assumed(members: Iterable[Member]) -> dict[str, str | None]:
    """Return the references that the finished operations of a dry run would have made, with the digest where known."""
    done = (one.status for one in members if one.finished)
    return {
        status.reference: status.image.digest if status.image is not None else None
        for status in done
        if status.reference is not None
    }


def _ended_in_run(session: Session, spec: SessionSpec) -> list[Member]:
    """Return the operations that have finished; those of a former run's steps may still be on their way out."""
    rows = {row.name: row for row in session.status.steps}
    own = names_of(spec, child_names_of(session, session.status), rows)
    return [one for one in session.members if one.finished and (not one.owned or (one.kind, one.name) in own)]


def _over_limit(limits: SessionLimits, ended: Sequence[Member]) -> bool:
    if limits.operations is not None and len(ended) >= limits.operations:
        return True
    return limits.transfer_size is not None and summary.transferred(ended) >= parse_quantity(limits.transfer_size)
