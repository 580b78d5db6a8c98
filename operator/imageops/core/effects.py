"""What a decision asks the runtime to do."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Generic, TypeVar

from imageops.api.reasons import Reason

StatusT = TypeVar("StatusT")


class Write(Enum):
    """How a new status has to reach the API server."""

    NOTHING = "nothing"
    """It equals what is there, or is not worth a request yet."""
    REPORT = "report"
    """Soon: the newest wins, a slow API server delays nobody."""
    COMMIT = "commit"
    """Before any effect is carried out."""


class Purpose(Enum):
    """What the daemon is called for."""

    RUN = "run"
    """To do what the spec asks."""
    CHECK = "check"
    """To look whether what was done still holds."""
    REMOVAL = "removal"
    """To remove the image, before the object goes."""


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Begin to call the daemon."""

    run: int
    number: int
    purpose: Purpose = Purpose.RUN


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """Close the daemon call of the running attempt; its outcome will carry this reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class PassCheckpoint:
    """Let the attempt replace what it was about to: the record is in etcd."""


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Publish an Event on the object."""

    warning: bool
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class SetFinalizer:
    """Add the operator's own finalizer, or take it away."""

    present: bool


@dataclass(frozen=True, slots=True)
class DeleteSelf:
    """Delete the object, with what it owns: its time to live is over."""


@dataclass(frozen=True, slots=True)
class CreateChild:
    """Create an operation of a Session's step."""

    kind: str
    name: str
    step: str
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteChild:
    """Delete an operation that has no place in the Session any more."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class WakeMembers:
    """Have the operations of a Session looked at: what it demands of them has changed."""


Effect = (
    StartAttempt
    | StopAttempt
    | PassCheckpoint
    | RecordEvent
    | SetFinalizer
    | DeleteSelf
    | CreateChild
    | DeleteChild
    | WakeMembers
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Generic[StatusT]):
    """The status that holds from now on, how it is written, and what is to be done after that."""

    status: StatusT
    write: Write
    effects: tuple[Effect, ...] = ()
    wake_at: datetime | None = None
    """When to decide again if nothing happens before."""
