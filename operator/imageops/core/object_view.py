"""An object as a decision sees it."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from imageops.api.errors import OperationError
from imageops.api.status import RunStatus
from imageops.core.api_refusal import ApiRefusal
from imageops.core.spechash import SpecHash

StatusT = TypeVar("StatusT", bound=RunStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectView(Generic[StatusT]):
    """An object as the API server last told it, with the status that was decided last."""

    uid: str
    generation: int
    spec_hash: SpecHash
    refusal: OperationError | None = None
    """Why the spec cannot be carried out at all, if it cannot."""
    requested_at: str | None = None
    deleting: bool = False
    unwritable: bool = False
    """Whether the API server refuses the status of this object for good, as the object stands."""
    managed: bool = False
    """Whether a GitOps tool keeps the object as its manifest says: it would make a deleted one again."""
    undeletable: ApiRefusal | None = None
    """What the API server said to the deletion of the object itself, whose time was over."""
    status: StatusT
    written: StatusT | None = None
    """The status the API server holds, as far as this process knows."""
