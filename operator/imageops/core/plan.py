"""Turn the steps of a Session into operations: which, under which names, with which specs."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imageops.api.base import SpecModel, to_wire
from imageops.api.fields import PLATFORM_ALL
from imageops.api.operations import ImagePullPolicy, LocalReference
from imageops.api.session import PromoteAction, PullAction, PushAction, SessionSpec, Step, TagAction
from imageops.api.status import OperationStatus

_SESSION_NAME_PART = 40
_STEP_NAME_PART = 12
_HASH_DIGITS = 10

PULL, TAG, PUSH = "ImagePull", "ImageTag", "ImagePush"
CONTAINERD = "containerd"
"""The image store, as `status.daemon.imageStore` says it, that keeps digests and whole indexes."""


@dataclass(frozen=True, slots=True)
class SessionName:
    """What the names of a Session's children are made of."""

    name: str
    uid: str


def kinds_of(step: Step) -> tuple[str, ...]:
    """Return the kinds of the operations that perform a step, in order."""
    match step.action:
        case PromoteAction():
            return (PULL, TAG, PUSH)
        case PullAction():
            return (PULL,)
        case TagAction():
            return (TAG,)
        case PushAction():
            return (PUSH,)


def child_name(session: SessionName, *, step: str, run: int, kind: str, attempt: int = 0) -> str:
    """Return the name of a child: readable at the front, unique by the hash of everything that tells it apart."""
    identity = "\0".join((session.uid, str(run), step, kind, str(attempt)))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:_HASH_DIGITS]
    front = session.name[:_SESSION_NAME_PART].rstrip("-.")
    return f"{front}-{step[:_STEP_NAME_PART].rstrip('-')}-{digest}"


def child_spec(
    spec: SessionSpec, step: Step, kind: str, *, session: str, former: Mapping[str, OperationStatus], image_store: str | None,
) -> dict[str, Any]:
    """Return the spec of the operation of one kind of a step.

    Args:
        spec: The Session's spec.
        step: The step.
        kind: Which of the step's operations.
        session: The Session's name.
        former: The status of the step's operations that succeeded before, by kind.
        image_store: The image store of the daemon.

    """
    own: dict[str, Any] = {
        "sessionRef": {"name": session},
        "backoffLimit": step.backoff_limit if step.backoff_limit is not None else spec.backoff_limit,
    }
    if step.timeout_seconds is not None:
        own["timeoutSeconds"] = step.timeout_seconds
    if spec.daemon_name is not None:
        own["daemonName"] = spec.daemon_name
    action = step.action
    if isinstance(action, PromoteAction):
        return own | _promotion(action, kind, former, image_store)
    return own | _wire(action)


def _promotion(
    action: PromoteAction, kind: str, former: Mapping[str, OperationStatus], image_store: str | None,
) -> dict[str, Any]:
    platforms = list(action.platforms) or ([PLATFORM_ALL] if image_store == CONTAINERD else [])
    if kind == PULL:
        # Always: the digest of the evidence must be the registry's of now.
        fields = {"image": action.source, "platforms": platforms, "imagePullPolicy": ImagePullPolicy.ALWAYS.value}
        return _drop_empty(fields | _secret(action.source_secret_ref))
    if kind == TAG:
        # By id: another pull may move the source tag in between. Only a local tag moves; the registry's is guarded
        # by the push.
        image = former[PULL].image
        source = image.id if image is not None and image.id is not None else action.source
        return {"source": source, "target": action.target, "ifExists": "Replace"}
    fields = {"image": action.target, "platforms": platforms, "ifExists": action.if_exists.value}
    return _drop_empty(fields | _secret(action.target_secret_ref))


def _secret(reference: LocalReference | None) -> dict[str, Any]:
    return {"secretRef": {"name": reference.name}} if reference is not None else {}


def _wire(action: SpecModel) -> dict[str, Any]:
    return _drop_empty(to_wire(action))


def _drop_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, [], {})}
