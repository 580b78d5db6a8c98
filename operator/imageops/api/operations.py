"""Own the specs of the three operations: ImagePull, ImagePush and ImageTag.

A *What* field says what is asked: a change is one new run. A *How* field says how it is tried: a change touches a run
in progress or a failed one only. All other fields run nothing by themselves.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from imageops.api import rules
from imageops.api.base import CelRule, SpecModel
from imageops.api.fields import (
    SET,
    BackoffLimit,
    DaemonName,
    ImageDigest,
    ImageId,
    ObjectName,
    OmitEmpty,
    Platform,
    ReferenceText,
    Seconds,
    SessionName,
    SourceText,
    TaggedReferenceText,
    TimeoutSeconds,
)

PULL_TIMEOUT_SECONDS = 600
PUSH_TIMEOUT_SECONDS = 900
TAG_TIMEOUT_SECONDS = 120
DEFAULT_BACKOFF_LIMIT = 5


class ImagePullPolicy(StrEnum):
    """Say when the registry is asked."""

    IF_NOT_PRESENT = "IfNotPresent"
    """Only when the daemon lacks the image; also for the tag latest."""
    ALWAYS = "Always"
    """On every run."""
    NEVER = "Never"
    """Never: an absent image is an error."""


class IfExists(StrEnum):
    """Say what happens to a target tag that exists with other content."""

    FAIL = "Fail"
    """End with TagConflict, the tag unmoved."""
    REPLACE = "Replace"
    """Move the tag."""
    SKIP = "Skip"
    """Succeed with PushSkipped, the tag unmoved; of a push only."""


class DeletionPolicy(StrEnum):
    """Say what becomes of the image when the object is deleted."""

    RETAIN = "Retain"
    """The image stays on the daemon."""
    DELETE = "Delete"
    """The tag is removed from the daemon, unless another object or namespace holds it."""


class LocalReference(SpecModel):
    """Name an object of the same namespace."""

    name: ObjectName
    """Name of the object, in the namespace of the object that refers to it."""


class SessionReference(SpecModel):
    """Name a Session of the same namespace."""

    name: SessionName
    """Name of the Session, in the namespace of the operation."""


_PLATFORMS: dict[str, Any] = SET | {
    "maxItems": 16,  # the rule says more than a refused number of items
    "x-kubernetes-validations": [rules.ONE_PLATFORM.as_wire()],
}
Platforms = Annotated[tuple[Platform, ...], Field(min_length=1, max_length=1, json_schema_extra=_PLATFORMS), OmitEmpty]


class Credentials(SpecModel):
    """Name where credentials for the registries come from."""

    secret_ref: LocalReference | None = None
    """Secret with registry credentials, in the same namespace: dockerconfigjson or dockercfg, or basic-auth with the
    annotation imageops.dev/registry naming its host. It must hold an entry for the image, else the attempt ends
    SecretInvalid. Absent: serviceAccountName and the defaults behind it are asked."""

    service_account_name: ObjectName | None = None
    """ServiceAccount of the same namespace whose imagePullSecrets are tried in turn for the images they are for.
    Absent: a pull uses those of the ServiceAccount `default`. Where none is for the image, the registry is asked
    anonymously."""


class RunSpec(Credentials):
    """Hold the fields that operations and Sessions share."""

    daemon_name: DaemonName | None = None
    """Name of a Docker daemon that the administrator configured; never an address. Absent: the operator's own
    default, which status.daemon.name then states."""

    dry_run: bool = False
    """Check everything that can be known without writing to the daemon or a registry, then stop. Success is
    DryRunPassed, and the message lists what was not checked. Default: false."""

    active_deadline_seconds: Seconds | None = None
    """Seconds the whole run may take from status.startTime, retries included, 1 to 31536000. When they have passed
    the run ends DeadlineExceeded. Resuming after suspend starts them anew. Absent: no such limit."""

    backoff_limit: BackoffLimit = DEFAULT_BACKOFF_LIMIT
    """How often a failed attempt is made again within a run, 0 to 10. When used up the run ends
    BackoffLimitExceeded. Waiting and interrupted attempts do not count. Default: 5."""

    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """Seconds after its end when the object is deleted, 0 to 31536000. Ignored on objects that Argo CD, Flux, Helm
    or another GitOps tool manages. Absent: the object is kept."""

    suspend: bool = False
    """Do nothing while true; a running attempt is stopped. Setting it back starts one new attempt. Default: false."""

    cancel: bool = False
    """Stop the run, which then ends Cancelled; while true every new run ends so too, without a call to the daemon.
    Setting it back starts nothing by itself. Default: false."""


class OperationSpec(RunSpec):
    """Hold the fields that ImagePull, ImagePush and ImageTag share."""

    what_fields: ClassVar[frozenset[str]] = frozenset({"daemon_name", "dry_run"})
    """Python names of the fields whose change is a new run."""
    how_fields: ClassVar[frozenset[str]] = frozenset(
        {"secret_ref", "service_account_name", "timeout_seconds", "active_deadline_seconds", "backoff_limit"},
    )
    """Python names of the fields whose change touches a run in progress or a failed one only."""
    cel: ClassVar[tuple[CelRule, ...]] = (rules.SESSION_REF_IMMUTABLE,)

    timeout_seconds: TimeoutSeconds
    """Seconds one attempt may take, 1 to 86400. When they have passed the attempt ends TimedOut and is retried."""

    session_ref: SessionReference | None = None
    """Session of the same namespace that this operation joins: it is counted there and shares its limits. Immutable.
    Absent: the operation stands alone."""


class PullFields(SpecModel):
    """Hold what is asked of a pull."""

    image: ReferenceText
    """Image to pull: [host[:port]/]repository[:tag][@digest]. Without host: docker.io; without tag and digest: latest;
    with both the digest counts."""

    platforms: Platforms = ()
    """One entry: os/architecture[/variant], such as linux/arm64, or All for every child of the index (daemons with the
    containerd image store only). Absent: the daemon's own platform."""

    image_pull_policy: ImagePullPolicy = ImagePullPolicy.IF_NOT_PRESENT
    """IfNotPresent asks the registry only if the daemon lacks the image, also for the tag latest, and with platforms
    All how many entries the index has; Always asks on every run; Never asks never and ends ImageNotOnDaemon if the
    image is absent. Default: IfNotPresent."""


class ImagePullSpec(OperationSpec, PullFields):
    """Ask for an image to be present on a daemon."""

    what_fields: ClassVar[frozenset[str]] = OperationSpec.what_fields | {"image", "platforms", "image_pull_policy"}
    cel: ClassVar[tuple[CelRule, ...]] = (rules.INTERVAL_EXCLUDES_TTL,)

    timeout_seconds: TimeoutSeconds = PULL_TIMEOUT_SECONDS
    """Seconds one attempt may take, 1 to 86400. When they have passed the attempt ends TimedOut and is retried.
    Default: 600."""

    interval_seconds: Annotated[int, Field(ge=60, le=31_536_000)] | None = None
    """Seconds between checks that the image is present and its tag unmoved, 60 to 31536000, counted from
    status.completionTime with a little jitter. Drift is a new run. Excludes ttlSecondsAfterFinished. Absent: no
    checks."""

    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """Retain leaves the image on the daemon when the object is deleted; Delete removes the tag unless another object
    or namespace holds it. An operator for the whole cluster holds the object back by a finalizer until then; one for
    chosen namespaces sets none, and removes the tag if it is there to hear of the deletion. Default: Retain."""


class PushPreconditions(SpecModel):
    """State what the registry's tag must be before it is replaced."""

    digest: ImageDigest
    """Digest that the tag must have in the registry now; any other, or none, ends PreconditionFailed."""


class PushFields(SpecModel):
    """Hold what is asked of a push."""

    image: TaggedReferenceText
    """Image on the daemon, pushed under the same name: [host[:port]/]repository[:tag], no digest. Without host:
    docker.io; without tag: latest."""

    platforms: Platforms = ()
    """One entry: os/architecture[/variant] pushes that platform's manifest alone, All demands the whole index. Absent:
    whatever the daemon holds."""

    if_exists: IfExists = IfExists.FAIL
    """What to do when the tag exists in the registry with other content: Fail ends TagConflict, Skip ends PushSkipped
    (a success), Replace moves the tag. The same content is AlreadyPushed in every case. Default: Fail."""

    preconditions: PushPreconditions | None = None
    """What the registry's tag must be now for the push to be made. Absent: anything."""


class ImagePushSpec(OperationSpec, PushFields):
    """Ask for an image of a daemon to be in a registry."""

    what_fields: ClassVar[frozenset[str]] = OperationSpec.what_fields | {
        "image",
        "platforms",
        "if_exists",
        "preconditions",
    }

    timeout_seconds: TimeoutSeconds = PUSH_TIMEOUT_SECONDS
    """Seconds one attempt may take, 1 to 86400. When they have passed the attempt ends TimedOut and is retried.
    Default: 900."""


class TagPreconditions(SpecModel):
    """State what the target tag must be before it is moved; exactly one field."""

    cel: ClassVar[tuple[CelRule, ...]] = (rules.ONE_PRECONDITION,)

    image_id: Annotated[ImageId | None, Field(alias="imageID")] = None
    """Image id, sha256:…, that the target must name on the daemon now. Absent: digest is compared."""

    digest: ImageDigest | None = None
    """Registry digest that the image of the target must have now. Absent: imageID is compared."""


class TagFields(SpecModel):
    """Hold what is asked of a tag."""

    cel: ClassVar[tuple[CelRule, ...]] = (rules.PRECONDITIONS_NEED_REPLACE,)

    source: SourceText
    """Image on the daemon that gets the new name: a reference with an optional tag and digest, or an image id
    sha256:…"""

    target: TaggedReferenceText
    """New name: [host[:port]/]repository[:tag], no digest. Set on the daemon, not in a registry."""

    if_exists: Literal[IfExists.FAIL, IfExists.REPLACE] = IfExists.FAIL
    """What to do when the target names another image: Fail ends TagConflict, Replace moves the tag. Default: Fail."""

    preconditions: TagPreconditions | None = None
    """What the target must be now for the tag to be moved; needs ifExists: Replace. Compared among the operator's own
    work: the Docker Engine knows no compare-and-set. Absent: anything."""


class ImageTagSpec(OperationSpec, TagFields):
    """Ask for an image of a daemon to have a further name on it."""

    what_fields: ClassVar[frozenset[str]] = OperationSpec.what_fields | {
        "source",
        "target",
        "if_exists",
        "preconditions",
    }

    timeout_seconds: TimeoutSeconds = TAG_TIMEOUT_SECONDS
    """Seconds one attempt may take, 1 to 86400. When they have passed the attempt ends TimedOut and is retried.
    Default: 120."""
