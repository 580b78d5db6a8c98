"""An ImagePull, ImagePush or ImageTag, as a decision sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from imageops.api.operations import OperationSpec
from imageops.api.reasons import Reason
from imageops.api.status import OperationStatus
from imageops.core.decision_builder import DecisionBuilder
from imageops.core.object_view import ObjectView


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(ObjectView[OperationStatus]):
    """One ImagePull, ImagePush or ImageTag."""

    kind: str
    spec: OperationSpec | None
    """None when no model accepts it; `refusal` then says why."""
    arrived: frozenset[Reason] = frozenset()
    """The waiting reasons whose wait is over: what was waited for is there now."""
    daemon_away: bool = False
    """Whether the daemon is known not to answer; its return will be told."""
    references: Mapping[str, str] = field(default_factory=dict)
    """`reference` and `source_reference`, normalised, for the status."""
    finalizer: bool = False
    """Whether the operator's own finalizer stands on the object."""
    finalizes: bool = True
    """Whether this operator holds objects back by finalizers. One for chosen namespaces does not: whoever deletes
    such a namespace deletes its rights there too, and it could never let go."""
    deleted_at: datetime | None = None
    """When the deletion was asked for."""
    looked_at: datetime | None = None
    """When the image was last checked, or the object first seen, by this process."""
    confirmed: bool = True
    """Whether the object is known to be no stale cache of the API server; a process that starts may be shown one."""
    held_by_others: bool = False
    """Whether other objects ask for the same image on the same daemon; only told of an object that is deleted."""


OperationDecision = DecisionBuilder[Operation, OperationStatus]
"""One decision about an operation in the making."""
