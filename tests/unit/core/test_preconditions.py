from __future__ import annotations

from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.operations import IfExists, ImagePullPolicy, TagPreconditions
from imageops.api.reasons import Reason
from imageops.core.preconditions import policy_of_run, pull_verdict, push_verdict, tag_verdict
from tests.support.builders import DIGEST, IMAGE_ID, OTHER_DIGEST, OTHER_ID

GO = None
"""The verdict that the operation has to be performed."""


def verdict(decide: Any, **facts: Any) -> Reason | None:
    """Return what a verdict says or refuses with."""
    try:
        result: Reason | None = decide(**facts)
    except OperationError as error:
        return error.reason
    return result


@pytest.mark.parametrize(
    ("policy", "present", "expected"),
    [
        (ImagePullPolicy.IF_NOT_PRESENT, True, Reason.ALREADY_PRESENT),
        (ImagePullPolicy.IF_NOT_PRESENT, False, GO),
        (ImagePullPolicy.ALWAYS, True, GO),
        (ImagePullPolicy.ALWAYS, False, GO),
        (ImagePullPolicy.NEVER, True, Reason.ALREADY_PRESENT),
        (ImagePullPolicy.NEVER, False, Reason.IMAGE_NOT_ON_DAEMON),
    ],
)
def test_a_pull_obeys_its_policy(policy: ImagePullPolicy, *, present: bool, expected: Reason | None) -> None:
    """Always asks the registry, Never does not, IfNotPresent only for what is absent."""
    assert verdict(lambda: pull_verdict(policy, present=present)) == expected


@pytest.mark.parametrize("policy", ImagePullPolicy)
def test_a_run_that_drift_has_started_asks_the_registry(policy: ImagePullPolicy) -> None:
    """Or it would find the old image and be content; Never stays never."""
    always = ImagePullPolicy.ALWAYS
    assert policy_of_run(policy, "Spec") is policy
    assert policy_of_run(policy, "Interval") is (policy if policy is ImagePullPolicy.NEVER else always)


@pytest.mark.parametrize(
    ("if_exists", "required", "remote", "expected"),
    [
        # the same content is done in every mode and before any precondition
        (IfExists.FAIL, None, DIGEST, Reason.ALREADY_PUSHED),
        (IfExists.SKIP, None, DIGEST, Reason.ALREADY_PUSHED),
        (IfExists.REPLACE, None, DIGEST, Reason.ALREADY_PUSHED),
        (IfExists.REPLACE, OTHER_DIGEST, DIGEST, Reason.ALREADY_PUSHED),
        # a free tag is taken
        (IfExists.FAIL, None, None, GO),
        (IfExists.SKIP, None, None, GO),
        (IfExists.REPLACE, None, None, GO),
        # other content
        (IfExists.FAIL, None, OTHER_DIGEST, Reason.TAG_CONFLICT),
        (IfExists.SKIP, None, OTHER_DIGEST, Reason.PUSH_SKIPPED),
        (IfExists.REPLACE, None, OTHER_DIGEST, GO),
        # preconditions
        (IfExists.REPLACE, OTHER_DIGEST, OTHER_DIGEST, GO),
        (IfExists.REPLACE, f"sha256:{'c' * 64}", OTHER_DIGEST, Reason.PRECONDITION_FAILED),
        (IfExists.REPLACE, OTHER_DIGEST, None, Reason.PRECONDITION_FAILED),
    ],
)
def test_a_push_moves_a_tag_only_where_it_may(
    if_exists: IfExists,
    required: str | None,
    remote: str | None,
    expected: Reason | None,
) -> None:
    """The daemon's own content has the digest `DIGEST`."""
    facts = {"if_exists": if_exists, "required_digest": required, "remote_digest": remote, "own_digests": {DIGEST}}
    assert verdict(push_verdict, **facts) == expected


@pytest.mark.parametrize(
    ("if_exists", "demanded", "target", "expected"),
    [
        (IfExists.FAIL, {}, IMAGE_ID, Reason.ALREADY_TAGGED),
        (IfExists.REPLACE, {"imageID": OTHER_ID}, IMAGE_ID, Reason.ALREADY_TAGGED),
        (IfExists.FAIL, {}, None, GO),
        (IfExists.FAIL, {}, OTHER_ID, Reason.TAG_CONFLICT),
        (IfExists.REPLACE, {}, OTHER_ID, GO),
        (IfExists.REPLACE, {"imageID": OTHER_ID}, OTHER_ID, GO),
        (IfExists.REPLACE, {"imageID": f"sha256:{'3' * 64}"}, OTHER_ID, Reason.PRECONDITION_FAILED),
        (IfExists.REPLACE, {"imageID": OTHER_ID}, None, Reason.PRECONDITION_FAILED),
        (IfExists.REPLACE, {"digest": DIGEST}, OTHER_ID, GO),
        (IfExists.REPLACE, {"digest": OTHER_DIGEST}, OTHER_ID, Reason.PRECONDITION_FAILED),
        (IfExists.REPLACE, {"digest": DIGEST}, None, Reason.PRECONDITION_FAILED),
    ],
)
def test_a_tag_moves_only_where_it_may(
    if_exists: IfExists,
    demanded: dict[str, str],
    target: str | None,
    expected: Reason | None,
) -> None:
    """The source has the id `IMAGE_ID`; a target that exists is known under `DIGEST`."""
    preconditions = TagPreconditions.model_validate(demanded) if demanded else None
    facts = {
        "if_exists": if_exists,
        "preconditions": preconditions,
        "source_id": IMAGE_ID,
        "target_id": target,
        "target_digests": {DIGEST} if target is not None else set(),
    }
    assert verdict(tag_verdict, **facts) == expected
