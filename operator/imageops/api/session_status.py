"""Own the status of a Session: the record of what its run did, and what remains of former runs."""

from typing import Annotated

from pydantic import Field

from imageops.api.base import StatusModel, Time
from imageops.api.fields import (
    ATOMIC,
    Count,
    Digest,
    MediumText,
    OmitEmpty,
    Percent,
    ReferenceEcho,
    ShortText,
    StepName,
    Word,
)
from imageops.api.session import MAX_STEPS
from imageops.api.status import ObjectReference, Phase, RunStatus

ACTIVE_LENGTH = 8
"""Running operations that status.active lists."""
ERRORS_LENGTH = 10
"""Errors that status.errors keeps."""
HISTORY_MAX_LENGTH = 50
"""Executions that status.history keeps at most, whatever historyLimit says."""
RUNS_LENGTH = 5
"""Finished runs that status.runs keeps."""
ARGUMENT_MAX_COUNT = 12
"""Arguments that one entry of status.history states."""


class StepStatus(StatusModel):
    """State what became of one step."""

    name: StepName
    """Name of the step."""

    action: ShortText
    """promote, pull, tag or push."""

    operation_ref: ObjectReference | None = None
    """The operation that performs the step now, or did last. Absent: not started."""

    retries: Count | None = None
    """How often the step was made again within the run; part of the names of its operations. Absent: never."""

    phase: Word = Phase.PENDING.value
    """Pending, Running, Suspended, Succeeded, Failed, Cancelled or Skipped."""

    digest: Digest | None = None
    """Digest that was pulled, pushed or promoted."""

    attempts: Count = 0
    """Attempts of all operations of the step in this run."""

    start_time: Time | None = None
    """When the first operation of the step started."""

    completion_time: Time | None = None
    """When the step ended."""

    reason: Word | None = None
    """One word of the documented list of reasons."""


class ActiveOperation(StatusModel):
    """State how far one running operation is."""

    operation_ref: ObjectReference
    """The operation."""

    stage: Word | None = None
    """Its stage, one word."""

    percent: Percent | None = None
    """Its share done, 0 to 100."""


class SessionError(StatusModel):
    """Record an error of one operation; the same reason of the same operation raises the count."""

    operation_ref: ObjectReference
    """The operation that met it."""

    reason: Word
    """One word of the documented list of reasons."""

    reason_class: Annotated[Word, Field(alias="class")]
    """Final, Retryable or Waiting."""

    message: MediumText
    """One sentence of the operator's own, or what the API server said that refused it; at most 200 characters."""

    count: Annotated[int, Field(ge=1)] = 1
    """How often it was met."""

    first_time: Time
    """When it was met first."""

    last_time: Time
    """When it was met last."""


class ToolExecution(StatusModel):
    """Record one execution of an atomic tool."""

    tool: ShortText
    """Name of the tool, such as pull."""

    operation_ref: ObjectReference
    """The operation it worked for."""

    arguments: Annotated[dict[str, MediumText], Field(max_length=ARGUMENT_MAX_COUNT), OmitEmpty] = Field(
        default_factory=dict,
    )
    """What it was called with; never a credential."""

    run: Count
    """Number of the operation's run."""

    attempt: Count
    """Number of the attempt within the run, from 1."""

    start_time: Time
    """When it started."""

    duration_milliseconds: Count | None = None
    """How long it took. Absent: it runs."""

    outcome: Word | None = None
    """Succeeded, Failed, Cancelled, Suspended or Interrupted. Absent: it runs."""


class ReasonCount(StatusModel):
    """Count one reason."""

    reason: Word
    """One word of the documented list of reasons."""

    count: Count
    """How many finished operations ended with it."""


class Statistics(StatusModel):
    """Sum up the finished operations of the run."""

    success_percent: Percent | None = None
    """Share that succeeded, 0 to 100. Absent: none has finished."""

    average_milliseconds: Count | None = None
    """Mean duration. Absent: none has finished."""

    p95_milliseconds: Count | None = None
    """Duration that 95 of 100 did not exceed. Absent: none has finished."""

    bytes_transferred: Count = 0
    """Bytes moved by all of them."""

    reasons: Annotated[tuple[ReasonCount, ...], Field(max_length=64, json_schema_extra=ATOMIC), OmitEmpty] = ()
    """How many ended with which reason."""


class Evidence(StatusModel):
    """State for one push of the run what was taken from where and arrived where."""

    source: ReferenceEcho | None = None
    """Reference that was pulled, normalised. Absent: this run did not pull the image."""

    target: ReferenceEcho
    """Reference that was pushed, normalised."""

    image_id: Annotated[Digest | None, Field(alias="imageID")] = None
    """Image id on the daemon."""

    source_digest: Digest | None = None
    """Digest that the source registry states: where the containerd image store holds one platform of an index, that
    of the platform's own manifest, else that of what the reference names. Absent: unknown."""

    target_digest: Digest | None = None
    """Digest that the target registry states. Absent: unknown."""

    digest_preserved: bool = False
    """Whether both digests are known and equal."""

    unconfirmed: bool | None = None
    """true: the target registry took the push, and what it serves could not be read back. targetDigest is that of what
    was sent."""

    platforms: Annotated[tuple[ShortText, ...], Field(max_length=32, json_schema_extra=ATOMIC), OmitEmpty] = ()
    """Platforms that were pushed."""


class FinishedRun(StatusModel):
    """Record how a run of the Session ended."""

    run: Count
    """Number of the run."""

    completion_time: Time
    """When it ended."""

    phase: Word
    """Succeeded, Failed or Cancelled."""

    reason: Word
    """One word of the documented list of reasons."""

    source_digest: Digest | None = None
    """Digest of the source of its last push."""

    target_digest: Digest | None = None
    """Digest of the target of its last push."""


class SessionStatus(RunStatus):
    """State everything that happened in a Session."""

    expiration_time: Time | None = None
    """When ttlSecondsAfterFinished deletes the Session with its operations. Absent: never, or not ended."""

    last_handled_retry_failed_at: MediumText | None = None
    """Value of the annotation imageops.dev/retryFailedAt that was last answered."""

    pending_retry_failed_at: MediumText | None = None
    """Value of that annotation that was seen during a run and is answered after it, also when the annotation is taken
    away meanwhile. Absent: none."""

    total: Count = 0
    """Steps, or operations that joined."""

    pending: Count = 0
    """How many of them wait."""

    running: Count = 0
    """How many of them run."""

    succeeded: Count = 0
    """How many of them succeeded."""

    failed: Count = 0
    """How many of them failed."""

    cancelled: Count = 0
    """How many of them were cancelled."""

    skipped: Count = 0
    """How many of them were skipped."""

    steps: Annotated[tuple[StepStatus, ...], Field(max_length=MAX_STEPS, json_schema_extra=ATOMIC), OmitEmpty] = ()
    """What became of each step, in the order of spec.steps."""

    active: Annotated[
        tuple[ActiveOperation, ...],
        Field(max_length=ACTIVE_LENGTH, json_schema_extra=ATOMIC),
        OmitEmpty,
    ] = ()
    """Operations that run now, at most 8."""

    errors: Annotated[
        tuple[SessionError, ...], Field(max_length=ERRORS_LENGTH, json_schema_extra=ATOMIC), OmitEmpty
    ] = ()
    """The newest 10 errors."""

    history: Annotated[
        tuple[ToolExecution, ...],
        Field(max_length=HISTORY_MAX_LENGTH, json_schema_extra=ATOMIC),
        OmitEmpty,
    ] = ()
    """The newest tool executions, as many as historyLimit says, oldest first."""

    statistics: Statistics | None = None
    """Sums over the finished operations of the run."""

    evidence: Annotated[tuple[Evidence, ...], Field(max_length=MAX_STEPS, json_schema_extra=ATOMIC), OmitEmpty] = ()
    """One entry for each push of this run, the newest 64."""

    runs: Annotated[tuple[FinishedRun, ...], Field(max_length=RUNS_LENGTH, json_schema_extra=ATOMIC), OmitEmpty] = ()
    """The newest 5 finished runs, oldest first."""
