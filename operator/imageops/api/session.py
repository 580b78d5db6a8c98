"""Own the spec of a Session: a group of steps, or an open group that operations join."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from imageops.api import rules
from imageops.api.base import CelRule, SpecModel
from imageops.api.errors import OperationError
from imageops.api.fields import (
    MAP_BY_NAME,
    SET,
    BackoffLimit,
    DaemonName,
    OmitEmpty,
    Quantity,
    ReferenceText,
    Seconds,
    StepName,
    TaggedReferenceText,
    TimeoutSeconds,
)
from imageops.api.operations import (
    Credentials,
    IfExists,
    LocalReference,
    Platforms,
    PullFields,
    PushFields,
    RunSpec,
    TagFields,
)
from imageops.api.reasons import Reason

MAX_STEPS = 64
DEFAULT_HISTORY_LIMIT = 20


class DigestPolicy(StrEnum):
    """Say what a promotion demands of the digests."""

    REQUIRE = "Require"
    """Success means the same digest on both sides."""
    REPORT = "Report"
    """A changed digest is stated in status.evidence and is no failure."""


class LocalImages(StrEnum):
    """Say what becomes of the images a promotion left on the daemon."""

    RETAIN = "Retain"
    """They stay."""
    DELETE = "Delete"
    """They are removed after success, unless another object or namespace holds them."""


class ActionType(StrEnum):
    """Name the action of a step, as the field that holds it."""

    PROMOTE = "promote"
    PULL = "pull"
    TAG = "tag"
    PUSH = "push"


class OperationAction(Credentials):
    """Hold what the actions made of one operation share."""

    daemon_name: DaemonName | None = None
    """Name of a configured Docker daemon. Absent: the Session's."""


class PullAction(OperationAction, PullFields):
    """Pull an image, as an ImagePull does."""


class TagAction(OperationAction, TagFields):
    """Tag an image, as an ImageTag does."""


class PushAction(OperationAction, PushFields):
    """Push an image, as an ImagePush does."""


class PromoteAction(SpecModel):
    """Copy an image from one registry to another: pull, tag, push, and a check of both registries."""

    source: ReferenceText
    """Image to promote: [host[:port]/]repository[:tag][@digest]."""

    target: TaggedReferenceText
    """Name to promote it to: [host[:port]/]repository[:tag], no digest."""

    source_secret_ref: LocalReference | None = None
    """Secret of the same namespace with the source registry's credentials. Absent: the Session's credentials."""

    target_secret_ref: LocalReference | None = None
    """Secret of the same namespace with the target registry's credentials. Absent: the Session's credentials."""

    platforms: Platforms = ()
    """One entry: os/architecture[/variant] promotes that platform's manifest alone, without its attestations, and All
    the whole index. Absent: All on a daemon with the containerd image store, else the daemon's own platform."""

    if_exists: Literal[IfExists.FAIL, IfExists.REPLACE] = IfExists.FAIL
    """What to do when the target exists in its registry with other content: Fail ends TagConflict, Replace moves the
    tag. Default: Fail."""

    digest_policy: DigestPolicy = DigestPolicy.REQUIRE
    """Require: success means the same digest on both sides, of one platform that of its own manifest, and a daemon
    that cannot keep it ends EngineUnsupported before anything is pushed. Report: go on, and state it in
    status.evidence. Default: Require."""

    local_images: LocalImages = LocalImages.RETAIN
    """What becomes of the images on the daemon after success: Retain keeps them, Delete removes those that no other
    object or namespace holds. Default: Retain."""


Action = PromoteAction | PullAction | TagAction | PushAction


class Step(SpecModel):
    """Do one thing within a Session; exactly one action."""

    cel: ClassVar[tuple[CelRule, ...]] = (rules.ONE_ACTION, rules.NOT_AFTER_ITSELF)

    name: StepName
    """Name of the step, unique in the Session: a DNS label of at most 40 characters."""

    run_after: Annotated[
        tuple[StepName, ...], Field(min_length=1, max_length=16, json_schema_extra=SET), OmitEmpty
    ] = ()
    """Names of steps that must have succeeded before this one starts, at most 16. Absent: none."""

    promote: PromoteAction | None = None
    """Copy an image from one registry to another. Exactly one of promote, pull, tag and push is given."""

    pull: PullAction | None = None
    """Pull an image. Exactly one of promote, pull, tag and push is given."""

    tag: TagAction | None = None
    """Tag an image on the daemon. Exactly one of promote, pull, tag and push is given."""

    push: PushAction | None = None
    """Push an image. Exactly one of promote, pull, tag and push is given."""

    timeout_seconds: TimeoutSeconds | None = None
    """Seconds one attempt of an operation of this step may take, 1 to 86400. Absent: 600 for a pull, 900 for a push,
    120 for a tag."""

    backoff_limit: BackoffLimit | None = None
    """How often a failed attempt of an operation of this step is made again, 0 to 10. Absent: the Session's."""

    @property
    def action(self) -> Action:
        """The one action of the step.

        Raises:
            OperationError: InvalidSpec where there is none or more than one.
        """
        given = [action for action in (self.promote, self.pull, self.tag, self.push) if action is not None]
        if len(given) != 1:
            raise OperationError(Reason.INVALID_SPEC, "A step needs exactly one of promote, pull, tag and push.")
        return given[0]

    @property
    def action_type(self) -> ActionType:
        """The name of the field that holds the action; the first one given."""
        return next(kind for kind in ActionType if getattr(self, kind.value) is not None)


class SessionLimits(SpecModel):
    """Bound what a run of a Session may use, looked at before an operation starts."""

    cel: ClassVar[tuple[CelRule, ...]] = (rules.LIMITS_SAY_SOMETHING,)

    operations: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How many operations may finish in a run, 1 to 100000; the next one ends SessionLimitExceeded. Absent: any."""

    transfer_size: Quantity | None = None
    """How many bytes the finished operations of a run may have moved, such as 10Gi; the next one after that ends
    SessionLimitExceeded. Absent: any."""


class SessionSpec(RunSpec):
    """Ask for a group of operations, or for an open group that operations join by sessionRef."""

    what_fields: ClassVar[frozenset[str]] = frozenset({"daemon_name", "dry_run", "steps"})
    """Python names of the fields whose change is a new run."""
    how_fields: ClassVar[frozenset[str]] = frozenset(
        {
            "secret_ref",
            "service_account_name",
            "active_deadline_seconds",
            "backoff_limit",
            "parallelism",
            "max_failed_steps",
            "limits",
        },
    )
    """Python names of the fields whose change touches a run in progress or a failed one only."""
    cel: ClassVar[tuple[CelRule, ...]] = (
        rules.KIND_OF_SESSION_IMMUTABLE,
        rules.RUN_AFTER_EXISTS,
        rules.OPEN_ONLY,
        rules.CLOSING_IS_FINAL,
    )

    steps: Annotated[
        tuple[Step, ...],
        Field(min_length=1, max_length=MAX_STEPS, json_schema_extra=MAP_BY_NAME),
        OmitEmpty,
    ] = ()
    """What to do, 1 to 64 steps with unique names. Absent: the Session is open. Whether there are steps cannot change
    later."""

    parallelism: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 1
    """How many steps may run at the same time, 1 to 64; with 1 they run in the order of the list. Default: 1."""

    max_failed_steps: Annotated[int, Field(ge=0, le=MAX_STEPS)] = 0
    """How many steps may fail before no more are started, 0 to 64: running ones then finish and the rest is Skipped.
    Any failed step ends the Session StepFailed. Default: 0."""

    history_limit: Annotated[int, Field(ge=0, le=50)] = DEFAULT_HISTORY_LIMIT
    """How many tool executions status.history keeps, 0 to 50. Default: 20."""

    limits: SessionLimits | None = None
    """What a run may use in all. Absent: no limits."""

    closed: bool = False
    """Close an open Session: it takes no further operation and ends when those it has are done. Cannot be taken back.
    Only without steps. Default: false."""

    idle_timeout_seconds: Seconds | None = None
    """Seconds without a running operation after which an open Session closes by itself, 1 to 31536000. Only without
    steps. Absent: never."""
