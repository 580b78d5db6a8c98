"""Decide what to do about what is already there, on the daemon or in the registry."""

from collections.abc import Collection

from imageops.api.errors import OperationError
from imageops.api.operations import IfExists, ImagePullPolicy, TagPreconditions
from imageops.api.reasons import Reason
from imageops.api.status import Trigger


def pull_verdict(policy: ImagePullPolicy, *, present: bool) -> Reason | None:
    """Say whether a pull is already done; None = the registry has to be asked.

    Raises:
        OperationError: ImageNotOnDaemon, when the policy forbids to fetch what is absent.

    """
    if policy is ImagePullPolicy.ALWAYS:
        return None
    if present:
        return Reason.ALREADY_PRESENT
    if policy is ImagePullPolicy.NEVER:
        raise OperationError(Reason.IMAGE_NOT_ON_DAEMON)
    return None


def policy_of_run(policy: ImagePullPolicy, trigger: str) -> ImagePullPolicy:
    """Return the policy of one run: one that drift has started asks the registry, or it would find the old image."""
    drifted = trigger == Trigger.INTERVAL and policy is ImagePullPolicy.IF_NOT_PRESENT
    return ImagePullPolicy.ALWAYS if drifted else policy


def push_verdict(
    *,
    if_exists: IfExists,
    required_digest: str | None,
    remote_digest: str | None,
    own_digests: Collection[str],
) -> Reason | None:
    """Say whether a push is already done or to be left; None = push.

    Args:
        if_exists: What to do about other or unknown content under the tag.
        required_digest: What the registry's tag must be now, if the spec demands something.
        remote_digest: What the registry's tag is now; None = it has no such tag, or does not show it.
        own_digests: The digests under which the daemon's content is known in the target repository.

    Raises:
        OperationError: PreconditionFailed or TagConflict.

    """
    if remote_digest is not None and remote_digest in own_digests:
        return Reason.ALREADY_PUSHED
    if required_digest is not None and remote_digest != required_digest:
        raise OperationError(Reason.PRECONDITION_FAILED)
    if remote_digest is None or if_exists is IfExists.REPLACE:
        return None
    if if_exists is IfExists.SKIP:
        return Reason.PUSH_SKIPPED
    raise OperationError(Reason.TAG_CONFLICT)


def tag_verdict(
    *,
    if_exists: IfExists,
    preconditions: TagPreconditions | None,
    source_id: str,
    target_id: str | None,
    target_digests: Collection[str],
) -> Reason | None:
    """Say whether a tag already is what is asked; None = set it.

    Args:
        if_exists: What to do when the target is another image.
        preconditions: What the target must be now, by image id or by digest.
        source_id: The image id of the source.
        target_id: The image id of the target now; None = there is no such tag.
        target_digests: The repository digests of the target now.

    Raises:
        OperationError: PreconditionFailed or TagConflict.

    """
    if target_id == source_id:
        return Reason.ALREADY_TAGGED
    if preconditions is not None:
        matches = (
            target_id == preconditions.image_id
            if preconditions.image_id is not None
            else preconditions.digest in target_digests
        )
        if not matches:
            raise OperationError(Reason.PRECONDITION_FAILED)
    if target_id is None or if_exists is IfExists.REPLACE:
        return None
    raise OperationError(Reason.TAG_CONFLICT)
