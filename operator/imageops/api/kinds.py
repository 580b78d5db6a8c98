"""Own the list of kinds: how each is named and found, and which models describe it."""

from dataclasses import dataclass
from enum import IntEnum

from imageops.api import rules
from imageops.api.base import CelRule, SpecModel, StatusModel
from imageops.api.operations import ImagePullSpec, ImagePushSpec, ImageTagSpec
from imageops.api.policy import ImageOperationPolicySpec
from imageops.api.session import SessionSpec
from imageops.api.session_status import SessionStatus
from imageops.api.status import OperationStatus

GROUP = "imageops.dev"
VERSION = "v1alpha1"
CATEGORY = "imageops"

REQUESTED_AT = f"{GROUP}/requestedAt"
"""Annotation of users: a new value of any text asks for exactly one more run."""
RETRY_FAILED_AT = f"{GROUP}/retryFailedAt"
"""Annotation of users on a Session: a new value runs its failed and skipped steps again."""
REGISTRY_ANNOTATION = f"{GROUP}/registry"
"""Annotation of users on a basic-auth Secret: the registry host it is for."""
SESSION_LABEL = f"{GROUP}/session"
"""Label of the operator on the operations of a Session: the Session's name."""


class ColumnPriority(IntEnum):
    """Say when `kubectl get` shows a column."""

    ALWAYS = 0
    WIDE = 1


@dataclass(frozen=True, slots=True)
class Column:
    """Describe a column of `kubectl get`."""

    name: str
    json_path: str
    type: str = "string"
    """`date` is only for times that have passed: kubectl shows them as an age."""
    priority: ColumnPriority = ColumnPriority.ALWAYS


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Describe a kind of the group; there is one instance of each, so identity tells them apart."""

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    namespaced: bool
    spec_model: type[SpecModel]
    status_model: type[StatusModel] | None
    """None: the kind has no status."""
    columns: tuple[Column, ...]
    selectable_fields: tuple[str, ...] = ()
    """JSON paths that field selectors can use."""
    rules: tuple[CelRule, ...] = ()
    """CEL rules on the whole object; those of spec stand on the models."""
    seeded: bool = False
    """Whether a new object gets a first status, so that tools wait for the operator's first look."""

    @property
    def crd_name(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


def _ready(part: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{part}'


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_PHASE = Column("Phase", ".status.phase")
_REASON = Column("Reason", _ready("reason"))
_TRANSFER_COLUMNS = (
    Column("Image", ".spec.image"),
    _PHASE,
    _REASON,
    Column("Percent", ".status.progress.percent", "integer"),
    _AGE,
    Column("Ready", _ready("status"), priority=ColumnPriority.WIDE),
    Column("Digest", ".status.image.digest", priority=ColumnPriority.WIDE),
    Column("Daemon", ".status.daemon.name", priority=ColumnPriority.WIDE),
    Column("Attempts", ".status.attempts", "integer", ColumnPriority.WIDE),
    Column("Next-Retry", ".status.nextRetryTime", priority=ColumnPriority.WIDE),
    Column("Session", ".spec.sessionRef.name", priority=ColumnPriority.WIDE),
    Column("Message", _ready("message"), priority=ColumnPriority.WIDE),
)
_OPERATION_SELECTABLE = (".status.phase", ".spec.sessionRef.name", ".spec.daemonName")

IMAGE_PULL = Kind(
    kind="ImagePull",
    plural="imagepulls",
    singular="imagepull",
    short_names=("imgpull",),
    namespaced=True,
    spec_model=ImagePullSpec,
    status_model=OperationStatus,
    columns=_TRANSFER_COLUMNS,
    selectable_fields=(*_OPERATION_SELECTABLE, ".spec.image"),
    seeded=True,
)
IMAGE_PUSH = Kind(
    kind="ImagePush",
    plural="imagepushes",
    singular="imagepush",
    short_names=("imgpush",),
    namespaced=True,
    spec_model=ImagePushSpec,
    status_model=OperationStatus,
    columns=_TRANSFER_COLUMNS,
    selectable_fields=(*_OPERATION_SELECTABLE, ".spec.image"),
    seeded=True,
)
IMAGE_TAG = Kind(
    kind="ImageTag",
    plural="imagetags",
    singular="imagetag",
    short_names=("imgtag",),
    namespaced=True,
    spec_model=ImageTagSpec,
    status_model=OperationStatus,
    columns=(Column("Source", ".spec.source"), Column("Target", ".spec.target"), _PHASE, _REASON, _AGE),
    selectable_fields=(*_OPERATION_SELECTABLE, ".spec.target"),
    seeded=True,
)
SESSION = Kind(
    kind="Session",
    plural="sessions",
    singular="session",
    short_names=("imgsess",),
    namespaced=True,
    spec_model=SessionSpec,
    status_model=SessionStatus,
    columns=(
        _PHASE,
        _REASON,
        Column("Total", ".status.total", "integer"),
        Column("Running", ".status.running", "integer"),
        Column("Succeeded", ".status.succeeded", "integer"),
        Column("Failed", ".status.failed", "integer"),
        _AGE,
    ),
    selectable_fields=(".status.phase", ".spec.daemonName"),
    rules=(rules.SESSION_NAME,),
    seeded=True,
)
IMAGE_OPERATION_POLICY = Kind(
    kind="ImageOperationPolicy",
    plural="imageoperationpolicies",
    singular="imageoperationpolicy",
    short_names=(),
    namespaced=False,
    spec_model=ImageOperationPolicySpec,
    status_model=None,
    columns=(
        Column("Priority", ".spec.priority", "integer"),
        Column("Private-Addresses", ".spec.privateAddresses"),
        _AGE,
    ),
)
OPERATION_KINDS = (IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG)
"""The kinds that are one operation each."""
ALL_KINDS = (*OPERATION_KINDS, SESSION)
"""Every kind of the group that is installed. ImageOperationPolicy joins them once it is enforced."""
