"""A Session, as a decision sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imageops.api.session import SessionSpec
from imageops.api.session_status import SessionStatus
from imageops.api.status import Phase
from imageops.core.api_refusal import ApiRefusal
from imageops.core.decision_builder import DecisionBuilder
from imageops.core.object_view import ObjectView
from imageops.core.plan import ChildNames, kinds_of, leaves_nothing
from imageops.core.session_summary import Member
from imageops.core.step_scheduler import retries_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(ObjectView[SessionStatus]):
    """One Session."""

    name: str
    spec: SessionSpec | None
    """None when no model accepts it; `refusal` then says why."""
    members: Sequence[Member] = ()
    retry_failed_at: str | None = None
    foreign: frozenset[str] = frozenset()
    """Names that objects of other owners hold."""
    refused: Mapping[str, ApiRefusal] = field(default_factory=dict)
    """What the API server said to the creation, or to the deletion, of operations, by their names."""
    image_store: str | None = None
    """The image store of the daemon that the Session's operations use; None = not known yet."""


SessionDecision = DecisionBuilder[Session, SessionStatus]
"""One decision about a Session in the making."""


def unused(session: Session, status: SessionStatus, spec: SessionSpec) -> set[str]:
    """Return the operations of promotions that succeeded and are to keep nothing on the daemon."""
    rows = {row.name: row for row in status.steps if row.phase == Phase.SUCCEEDED}
    names = child_names_of(session, status)
    return {
        names.of(step.name, kind, retries_of(rows, step))
        for step in spec.steps
        if step.name in rows and leaves_nothing(step)
        for kind in kinds_of(step)
    }


def child_names_of(session: Session, status: SessionStatus) -> ChildNames:
    """Return what the names of the Session's operations are made of in its present run."""
    return ChildNames(session.name, session.uid, status.run, session.foreign)
