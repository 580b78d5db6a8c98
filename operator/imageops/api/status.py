"""Own the status of the three operations and the parts it shares with the status of a Session.

Words of closed sets are plain strings here: a status written by a newer operator must stay readable to an older one.
The enums below are what this operator writes.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from imageops.api.base import StatusModel, Time
from imageops.api.fields import (
    ATOMIC,
    MAP_BY_TYPE,
    Count,
    DaemonName,
    Digest,
    LongText,
    MediumText,
    ObjectName,
    OmitEmpty,
    Percent,
    ReferenceEcho,
    ShortText,
    Word,
)

HISTORY_LENGTH = 10
"""Attempts that status.history of an operation keeps."""
PLATFORMS_LENGTH = 32
"""Platforms of one image that a status lists."""
UNSEEN_GENERATION = -1
"""status.observedGeneration before the operator's first write: unequal to every generation, so kstatus waits."""


class Phase(StrEnum):
    """Sum the conditions up in one word, for people and columns."""

    PENDING = "Pending"
    """Waits to start, or to start again after a failed attempt."""
    RUNNING = "Running"
    """Is being performed; an open Session too."""
    SUSPENDED = "Suspended"
    """Stopped by suspend."""
    SUCCEEDED = "Succeeded"
    """The run ended well."""
    FAILED = "Failed"
    """The run ended for good with an error."""
    CANCELLED = "Cancelled"
    """The run was cancelled."""
    SKIPPED = "Skipped"
    """Was not started; of a step only."""


class ConditionType(StrEnum):
    """Name the conditions the operator writes."""

    SUCCEEDED = "Succeeded"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


class ConditionStatus(StrEnum):
    """Say whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Trigger(StrEnum):
    """Say what started a run."""

    SPEC = "Spec"
    """A new object, or a changed What field."""
    TOKEN = "Token"  # noqa: S105  (a word of the API, no secret)
    """A new value of the annotation imageops.dev/requestedAt or imageops.dev/retryFailedAt."""
    INTERVAL = "Interval"
    """A periodic check found drift."""


class HistoryOutcome(StrEnum):
    """Say how one attempt or execution ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SUSPENDED = "Suspended"
    INTERRUPTED = "Interrupted"
    """The operator stopped while it ran."""


class AuthMethod(StrEnum):
    """Say where the credential of an attempt came from."""

    SECRET_REF = "SecretRef"  # noqa: S105  (a word of the API, no secret)
    """The operation's or step's own secretRef."""
    SESSION = "Session"
    """The Session's secretRef."""
    SERVICE_ACCOUNT = "ServiceAccount"
    """The imagePullSecrets of serviceAccountName, or of the ServiceAccount default."""
    ANONYMOUS = "Anonymous"
    """None had the host: the registry was asked without a credential."""


class Condition(StatusModel):
    """State one aspect of the object, in the form all of Kubernetes uses."""

    type: Word
    """Succeeded, Ready, Reconciling or Stalled; the last two are absent where they do not hold."""

    status: Annotated[str, Field(max_length=16, pattern="^[A-Z][a-z]+$")]
    """True, False or Unknown."""

    observed_generation: int
    """metadata.generation that the condition was computed from."""

    last_transition_time: Time
    """When status last changed."""

    reason: Word
    """One word of the documented list of reasons."""

    message: LongText = ""
    """One sentence of the operator's own; at most 512 characters."""


class ObjectReference(StatusModel):
    """Name an object of the same namespace by kind and name."""

    kind: Word
    """Kind, such as ImagePull."""

    name: ObjectName
    """Name of the object."""


class SecretReference(StatusModel):
    """Name a Secret of the same namespace."""

    name: ObjectName
    """Name of the Secret."""


class ImageStatus(StatusModel):
    """State what was found about the image, by inspect or from the registry; unknown values are absent."""

    id: Digest | None = None
    """Image id on the daemon; where one platform of an index was pulled, the containerd image store gives it an id of
    its own: the digest of its manifest."""

    digest: Digest | None = None
    """Digest in the registry of the manifest or index that the reference names."""

    size_bytes: Count | None = None
    """Size on the daemon in bytes, as its image store counts."""

    platforms: Annotated[
        tuple[ShortText, ...], Field(max_length=PLATFORMS_LENGTH, json_schema_extra=ATOMIC), OmitEmpty
    ] = ()
    """Platforms that are present, such as linux/amd64; 32 at most."""

    present: bool | None = None
    """Whether the daemon had the image at the last look."""

    unconfirmed: bool | None = None
    """true: the registry took the push, and what it serves could not be read back. The digest is that of what was
    sent."""


class PreviousImage(StatusModel):
    """State what the target was before it was replaced; what a roll-back needs."""

    id: Digest | None = None
    """Image id that the tag named on the daemon."""

    digest: Digest | None = None
    """Digest that the tag had in the registry."""


class Progress(StatusModel):
    """State how far the present or last attempt is; no number falls within an attempt."""

    stage: Word | None = None
    """Stage of the attempt, one word."""

    percent: Percent | None = None
    """Share done, 0 to 100: by bytes where their total is known, else by layers."""

    bytes_done: Count | None = None
    """Bytes moved so far."""

    bytes_total: Count | None = None
    """Bytes to move in all. Absent until every unfinished layer has announced its size."""

    layers_done: Count | None = None
    """Layers that are done."""

    layers_total: Count | None = None
    """Layers in all."""

    bytes_per_second: Count | None = None
    """Speed over the last seconds."""

    last_update_time: Time | None = None
    """When these numbers were taken."""


class ErrorStatus(StatusModel):
    """State the last error of the run; absent after success."""

    reason: Word
    """One word of the documented list of reasons."""

    message: LongText
    """One sentence of the operator's own; at most 512 characters."""

    hint: LongText | None = None
    """What to do next."""

    reason_class: Annotated[Word, Field(alias="class")]
    """Final, Retryable or Waiting."""

    retry_after_seconds: Count | None = None
    """Least delay in seconds before the next attempt, where the registry stated one."""


class AuthStatus(StatusModel):
    """State which credential the last attempt used, never what it is."""

    method: Word
    """SecretRef, Session, ServiceAccount or Anonymous."""

    secret_ref: SecretReference | None = None
    """The Secret that was used. Absent: none."""


class DaemonStatus(StatusModel):
    """State which Docker daemon the operation uses."""

    name: DaemonName
    """Its configured name, also where spec.daemonName is absent."""

    version: ShortText | None = None
    """Version of the Docker Engine."""

    image_store: ShortText | None = None
    """containerd or graphdriver."""


class HistoryEntry(StatusModel):
    """Record one attempt."""

    run: Count
    """Number of the run it belongs to."""

    trigger: Word
    """What started the run: Spec, Token or Interval."""

    attempt: Count
    """Number of the attempt within the run, from 1."""

    start_time: Time
    """When the attempt started."""

    completion_time: Time | None = None
    """When it ended. Absent: it runs."""

    outcome: Word | None = None
    """Succeeded, Failed, Cancelled, Suspended or Interrupted. Absent: it runs."""

    reason: Word | None = None
    """One word of the documented list of reasons."""

    digest: Digest | None = None
    """Digest that was pulled or pushed."""

    bytes_transferred: Count | None = None
    """Bytes the attempt moved."""

    duration_milliseconds: Count | None = None
    """How long the attempt took."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=8, json_schema_extra=MAP_BY_TYPE), OmitEmpty]


class RunStatus(StatusModel):
    """Hold the status that operations and Sessions share."""

    observed_generation: Annotated[int, Field(ge=UNSEEN_GENERATION)] = UNSEEN_GENERATION
    """metadata.generation that this status answers; -1 before the operator's first look."""

    observed_spec_hash: Annotated[str, Field(max_length=140, pattern="^[A-Za-z0-9:._-]*$")] | None = None
    """Version and hashes of the What and How fields that the present run answers."""

    run: Count = 0
    """Number of the present or last run, from 1; 0 before the first."""

    trigger: Word | None = None
    """What started the present or last run: Spec, Token or Interval."""

    phase: Word = Phase.PENDING.value
    """Pending, Running, Suspended, Succeeded, Failed or Cancelled; derived from the conditions."""

    conditions: Conditions = ()
    """Succeeded and Ready, and Reconciling or Stalled while they hold."""

    start_time: Time | None = None
    """When the run started, or was last resumed after suspend."""

    completion_time: Time | None = None
    """When the run ended. Absent: it has not."""

    last_handled_requested_at: MediumText | None = None
    """Value of the annotation imageops.dev/requestedAt that was last answered with a run."""

    pending_requested_at: MediumText | None = None
    """Value of that annotation that was seen during a run and asks for one more after it, also when the annotation is
    taken away meanwhile. Absent: none."""


class OperationStatus(RunStatus):
    """State everything that happened to one ImagePull, ImagePush or ImageTag."""

    next_retry_time: Time | None = None
    """When the next attempt starts. Absent: none is planned."""

    reference: ReferenceEcho | None = None
    """The image reference, normalised; of an ImageTag the target."""

    source_reference: ReferenceEcho | None = None
    """Of an ImageTag: the source, a normalised reference or an image id."""

    image: ImageStatus | None = None
    """What was found about the image."""

    previous: PreviousImage | None = None
    """What a replaced target was before. Absent: nothing was replaced."""

    progress: Progress | None = None
    """How far the present or last attempt is."""

    error: ErrorStatus | None = None
    """The last error of the run. Absent after success."""

    auth: AuthStatus | None = None
    """Which credential was used."""

    daemon: DaemonStatus | None = None
    """Which daemon is used."""

    attempts: Count = 0
    """Attempts started in this run."""

    failed_attempts: Count = 0
    """Attempts of this run that count against backoffLimit."""

    history: Annotated[
        tuple[HistoryEntry, ...],
        Field(max_length=HISTORY_LENGTH, json_schema_extra=ATOMIC),
        OmitEmpty,
    ] = ()
    """The newest 10 attempts, oldest first."""

    history_dropped: Count = 0
    """How many older attempts are no longer in history."""
