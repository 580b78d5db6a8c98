"""A status stays small, however long its object lives and however much it does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from imageops.api.base import to_wire
from imageops.api.operations import ImageTagSpec
from imageops.api.reasons import Reason
from imageops.api.session_status import ERRORS_LENGTH, HISTORY_MAX_LENGTH, RUNS_LENGTH, SessionStatus
from imageops.api.status import (
    AuthMethod,
    AuthStatus,
    DaemonStatus,
    HistoryEntry,
    HistoryOutcome,
    OperationStatus,
    Phase,
    PreviousImage,
    Progress,
    SecretReference,
    Trigger,
)
from imageops.core.decide_session import decide_session
from imageops.core.effects import CreateChild, DeleteChild
from imageops.core.operation import Operation
from imageops.core.outcome import Facts
from imageops.core.session_summary import Member
from imageops.runtime.objects import read
from tests.support.builders import (
    DIGEST,
    IMAGE_ID,
    KINDS,
    NOW,
    OTHER_DIGEST,
    OTHER_ID,
    assert_good,
    child_status,
    decided,
    ended,
    image,
    operation,
    session,
    session_spec,
    tag_spec,
)
from tests.support.session_life import SUCCESS

ATTEMPTS = 200
OPERATION_BYTES = 8 * 1024
SESSION_BYTES = 96 * 1024
PROMOTIONS = 64
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
"""The longest host names that registries of cloud vendors have are of this kind."""
LONGEST = f"{REGISTRY}/{'a' * 207}:{'t' * 128}"
"""A reference as long as the grammar allows, but for a digest."""
PLATFORMS = ("linux/amd64", "linux/arm64/v8", "linux/arm/v7", "linux/ppc64le", "linux/s390x", "linux/riscv64")


def stored_bytes(status: OperationStatus | SessionStatus) -> int:
    """Return how many bytes a status takes in etcd: compact JSON, in UTF-8."""
    return len(json.dumps(to_wire(status), separators=(",", ":"), ensure_ascii=False).encode())


def facts() -> Facts:
    """Return all that an attempt can learn."""
    return Facts(
        daemon=DaemonStatus(name="d" * 63, version="v2.0.0-beta.24", image_store="containerd"),
        auth=AuthStatus(method=AuthMethod.SECRET_REF, secret_ref=SecretReference(name="s" * 63)),
        image=image(platforms=PLATFORMS, size_bytes=2**40),
        previous=PreviousImage(id=OTHER_ID, digest=OTHER_DIGEST),
    )


PROGRESS = Progress(
    stage="Transferring",
    percent=100,
    bytes_done=2**40,
    bytes_total=2**40,
    layers_done=99,
    layers_total=99,
    bytes_per_second=2**33,
    last_update_time=NOW,
)


@pytest.mark.feature("status.bounded")
@pytest.mark.parametrize("reason", [Reason.TAGGED, Reason.DAEMON_ERROR])
def test_an_operation_of_200_attempts_with_the_longest_names_is_small(reason: Reason) -> None:
    """Ten attempts are kept and 190 counted, in under 8 KiB after every decision, success or failure."""
    spec: ImageTagSpec = tag_spec(source=LONGEST, target=LONGEST.replace(":t", ":u"), backoffLimit=10)
    references = {"reference": spec.target, "source_reference": spec.source}
    subject: Operation = operation(
        spec,
        kind="ImageTag",
        references=references,
        generation=2**31,
        requested_at=f"{'token ' * 33}1",
    )
    now, sizes, attempts, message = NOW, [0], 0, f"{LONGEST} now names the image of {LONGEST}."
    while attempts < ATTEMPTS:
        now += timedelta(hours=1)
        status = decided(subject, now=now)
        attempts += 1
        sizes.append(stored_bytes(status))
        over = ended(
            reason,
            run=status.run,
            number=status.attempts,
            started=now,
            message=message[:512],
            facts=facts(),
            progress=PROGRESS,
            duration_milliseconds=2**31,
            bytes_transferred=2**40,
        )
        status = decided(replace(subject, status=status, written=status), running=over, now=now)
        sizes.append(stored_bytes(status))
        token = f"{'token ' * 32}{attempts}" if status.completion_time is not None else subject.requested_at
        subject = replace(subject, status=status, written=status, requested_at=token)
    assert (len(status.history), status.history_dropped) == (10, ATTEMPTS - 10)
    assert status.phase == (Phase.SUCCEEDED if reason is Reason.TAGGED else status.phase)
    assert max(sizes) < OPERATION_BYTES


def promotion(number: int) -> dict[str, object]:
    """Return a step that promotes an image with a name of a length that people use."""
    path = f"platform-team/payments/checkout-service-{number:02}"
    version = "2026.11.20-1a2b3c4d5e6f"
    promote = {"source": f"staging-{REGISTRY}/{path}:{version}", "target": f"release-{REGISTRY}/{path}:{version}"}
    return {"name": f"promote-checkout-service-to-release-{number:02}", "promote": promote}


FAILED_AND_DONE = tuple(
    HistoryEntry(
        run=1,
        trigger=Trigger.SPEC,
        attempt=number,
        start_time=NOW,
        completion_time=NOW,
        outcome=outcome,
        reason=reason.value,
        digest=DIGEST,
        bytes_transferred=2**40,
        duration_milliseconds=2**31,
    )
    for number, outcome, reason in (
        (1, HistoryOutcome.FAILED, Reason.REGISTRY_UNAVAILABLE),
        (2, HistoryOutcome.SUCCEEDED, Reason.PUSHED),
    )
)
"""An attempt that failed, and one that did not: what fills the ring of errors, and that of executions twice."""


def member_of(effect: CreateChild) -> Member:
    """Return the operation that a Session asked for, as it is when it has succeeded at the second attempt."""
    reading = read(KINDS[effect.kind], {"metadata": {"name": effect.name}, "spec": effect.spec})
    status = child_status(
        Phase.SUCCEEDED,
        SUCCESS[effect.kind],
        image=image(platforms=PLATFORMS, id=IMAGE_ID, digest=DIGEST),
        history=FAILED_AND_DONE,
        **reading.references,
    )
    return Member(
        effect.kind,
        effect.name,
        f"uid-of-{effect.name}",
        status,
        tool=reading.tool,
        arguments=reading.arguments,
    )


@pytest.mark.feature("status.bounded")
def test_a_session_of_64_promotions_with_full_rings_is_small() -> None:
    """Under 96 KiB after every decision, with names of a length that people use, and as many runs as are kept."""
    spec = session_spec(*(promotion(number) for number in range(PROMOTIONS)), parallelism=64, historyLimit=50)
    members: dict[str, Member] = {}
    status, sizes = SessionStatus(), [0]
    for run in range(1, RUNS_LENGTH + 2):
        while status.run < run or status.completion_time is None:
            token = f"{'token ' * 32}{run}"
            subject = session(spec, status, members=members.values(), name="s" * 63, requested_at=token)
            decision = decide_session(subject, now=NOW)
            status = decision.status
            assert_good("Session", status)
            sizes.append(stored_bytes(status))
            for effect in decision.effects:
                if isinstance(effect, CreateChild):
                    members[effect.name] = member_of(effect)
                elif isinstance(effect, DeleteChild):
                    del members[effect.name]
    assert len(status.steps) == len(status.evidence) == PROMOTIONS
    assert all(proof.digest_preserved for proof in status.evidence)
    rings = (len(status.errors), len(status.history), len(status.runs))
    assert rings == (ERRORS_LENGTH, HISTORY_MAX_LENGTH, RUNS_LENGTH)
    assert max(sizes) < SESSION_BYTES
