"""Turn the steps of a Session into operations: which, under which names, with which specs, and what they leave."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from imageops.api.base import to_wire
from imageops.api.fields import PLATFORM_ALL
from imageops.api.operations import ImagePullPolicy, LocalReference
from imageops.api.references import Reference, parse_image_id
from imageops.api.session import LocalImages, PromoteAction, PullAction, PushAction, SessionSpec, Step, TagAction
from imageops.api.status import ImageStatus, OperationStatus
from imageops.core.session_summary import CONTAINERD, PULL, PUSH, TAG

_SESSION_NAME_PART = 40
_STEP_NAME_PART = 12
_HASH_DIGITS = 10


@dataclass(frozen=True, slots=True)
class ChildNames:
    """What the names of a Session's operations are made of in one run."""

    session: str
    uid: str
    run: int
    foreign: frozenset[str] = frozenset()
    """Names that objects of other owners hold, so that no operation can have them."""

    def of(self, step: str, kind: str, retries: int) -> str:
        """Return the name of the operation of one kind of a step that was made again so many times."""
        for salt in count():
            name = self._name(step, kind, retries, salt)
            if name not in self.foreign:
                return name
        raise AssertionError

    def _name(self, step: str, kind: str, retries: int, salt: int) -> str:
        identity = "\0".join((self.uid, str(self.run), step, kind, str(retries), str(salt)))
        digest = hashlib.sha256(identity.encode()).hexdigest()[:_HASH_DIGITS]
        front = self.session[:_SESSION_NAME_PART].rstrip("-.")
        return f"{front}-{step[:_STEP_NAME_PART].rstrip('-')}-{digest}"


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


def makes(step: Step) -> frozenset[str]:
    """Return the references that a step leaves on the daemon."""
    match step.action:
        case PromoteAction() as action:
            return frozenset({str(Reference.parse(action.source)), str(Reference.parse(action.target))})
        case PullAction() as action:
            return frozenset({str(Reference.parse(action.image))})
        case TagAction() as action:
            return frozenset({str(Reference.parse(action.target))})
        case PushAction():
            return frozenset()


def leaves_nothing(step: Step) -> bool:
    """Tell whether a step is to keep nothing on the daemon."""
    return step.promote is not None and step.promote.local_images is LocalImages.DELETE


def needs(step: Step) -> str | None:
    """Return the reference that a step needs on the daemon before it starts."""
    match step.action:
        case TagAction() as action:
            return None if parse_image_id(action.source) else str(Reference.parse(action.source))
        case PushAction() as action:
            return str(Reference.parse(action.image))
        case _:
            return None


def operation_spec(
    spec: SessionSpec,
    step: Step,
    kind: str,
    *,
    session: str,
    former: Mapping[str, OperationStatus],
    image_store: str | None,
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
        "timeoutSeconds": step.timeout_seconds,
        "daemonName": spec.daemon_name,
        "dryRun": spec.dry_run or None,
    }
    action = step.action
    fields = _promotion(action, kind, former, image_store) if isinstance(action, PromoteAction) else to_wire(action)
    return {name: value for name, value in (own | fields).items() if value not in (None, [], {})}


def _promotion(
    action: PromoteAction,
    kind: str,
    former: Mapping[str, OperationStatus],
    image_store: str | None,
) -> dict[str, Any]:
    whole_indexes = image_store == CONTAINERD
    platforms = list(action.platforms) or ([PLATFORM_ALL] if whole_indexes else [])
    if kind == PULL:
        # Always: the digest of the evidence must be the registry's of now.
        fields = {"image": action.source, "platforms": platforms, "imagePullPolicy": ImagePullPolicy.ALWAYS.value}
        return fields | _secret(action.source_secret_ref)
    if kind == TAG:
        # Only a local tag moves; the registry's is guarded by the push.
        source = _pulled(former[PULL].image, whole_indexes=whole_indexes) or action.source
        return {"source": source, "target": action.target, "ifExists": "Replace"}
    # A graph driver has no more than the one platform that was pulled, and cannot push by platform.
    platforms = platforms if whole_indexes else []
    fields = {"image": action.target, "platforms": platforms, "ifExists": action.if_exists.value}
    return fields | _secret(action.target_secret_ref)


def _pulled(image: ImageStatus | None, *, whole_indexes: bool) -> str | None:
    """Return what names a pulled image whatever becomes of its tag, which another pull may move; None = nothing does.

    Where whole indexes are kept that is the digest of the index: the daemon knows no image by the id of one platform.
    """
    if image is None or not image.present:
        return None
    return image.digest if whole_indexes else image.id


def _secret(reference: LocalReference | None) -> dict[str, Any]:
    return {"secretRef": {"name": reference.name}} if reference is not None else {}
