"""Hold a status with every field and every list filled to its limit, for an operation and for a Session."""

from __future__ import annotations

from datetime import UTC, datetime

from imageops.api.reasons import Reason
from imageops.api.session_status import (
    ActiveOperation,
    Evidence,
    FinishedRun,
    ReasonCount,
    SessionError,
    SessionStatus,
    Statistics,
    StepStatus,
    ToolExecution,
)
from imageops.api.status import (
    AuthMethod,
    AuthStatus,
    Condition,
    ConditionStatus,
    ConditionType,
    DaemonStatus,
    ErrorStatus,
    HistoryEntry,
    HistoryOutcome,
    ImageStatus,
    ObjectReference,
    OperationStatus,
    Phase,
    PreviousImage,
    Progress,
    SecretReference,
    Trigger,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DIGEST = f"sha256:{'a' * 64}"
CONDITIONS = tuple(
    Condition(
        type=kind,
        status=ConditionStatus.UNKNOWN,
        observed_generation=7,
        last_transition_time=NOW,
        reason=Reason.BACKOFF_LIMIT_EXCEEDED,
        message="\u00e9" * 512,
    )
    for kind in ConditionType
)
OPERATION = ObjectReference(kind="ImagePull", name="n" * 253)
FULL_OPERATION_STATUS = OperationStatus(
    observed_generation=7,
    observed_spec_hash=f"v1:{'a' * 64}.{'b' * 64}",
    run=3,
    trigger="Spec",
    phase=Phase.RUNNING,
    conditions=CONDITIONS,
    start_time=NOW,
    completion_time=NOW,
    next_retry_time=NOW,
    last_handled_requested_at="any token at all, \u00e9",
    pending_requested_at="another",
    reference="docker.io/library/nginx:1.27",
    source_reference=DIGEST,
    image=ImageStatus(id=DIGEST, digest=DIGEST, size_bytes=2**40, platforms=("linux/arm64/v8",), present=True),
    previous=PreviousImage(id=DIGEST, digest=DIGEST),
    progress=Progress(
        stage="Pulling",
        percent=100,
        bytes_done=2**40,
        bytes_total=2**40,
        layers_done=99,
        layers_total=99,
        bytes_per_second=2**33,
        last_update_time=NOW,
    ),
    error=ErrorStatus(
        reason=Reason.RATE_LIMITED,
        reason_class=Reason.RATE_LIMITED.reason_class,
        message="m" * 600,
        hint=Reason.RATE_LIMITED.hint,
        retry_after_seconds=60,
    ),
    auth=AuthStatus(method=AuthMethod.SECRET_REF, secret_ref=SecretReference(name="creds")),
    daemon=DaemonStatus(name="default", version="v2.0.0-beta.24", image_store="containerd"),
    attempts=6,
    failed_attempts=5,
    history=tuple(
        HistoryEntry(
            run=3,
            trigger=Trigger.INTERVAL,
            attempt=attempt,
            start_time=NOW,
            completion_time=NOW,
            outcome=HistoryOutcome.INTERRUPTED,
            reason=Reason.INTERRUPTED,
            digest=DIGEST,
            bytes_transferred=2**40,
            duration_milliseconds=2**31,
        )
        for attempt in range(10)
    ),
    history_dropped=190,
)
FULL_SESSION_STATUS = SessionStatus(
    observed_generation=7,
    observed_spec_hash="v1:a.b",
    run=3,
    trigger="Spec",
    phase=Phase.FAILED,
    conditions=CONDITIONS,
    start_time=NOW,
    completion_time=NOW,
    expiration_time=NOW,
    last_handled_requested_at="1",
    pending_requested_at="3",
    last_handled_retry_failed_at="2",
    pending_retry_failed_at="4",
    total=64,
    pending=1,
    running=2,
    succeeded=3,
    failed=4,
    cancelled=5,
    skipped=6,
    steps=tuple(
        StepStatus(
            name=f"s{index}",
            action="promote",
            operation_ref=OPERATION,
            phase=Phase.SKIPPED,
            digest=DIGEST,
            attempts=1,
            start_time=NOW,
            completion_time=NOW,
            reason=Reason.SKIPPED,
        )
        for index in range(64)
    ),
    active=(ActiveOperation(operation_ref=OPERATION, stage="Pulling", percent=5),) * 8,
    errors=(
        SessionError(
            operation_ref=OPERATION,
            reason=Reason.TIMED_OUT,
            reason_class=Reason.TIMED_OUT.reason_class,
            message="m" * 300,
            count=2,
            first_time=NOW,
            last_time=NOW,
        ),
    )
    * 10,
    history=(
        ToolExecution(
            tool="pull",
            operation_ref=OPERATION,
            arguments={"reference": "docker.io/library/nginx:1.27", "platform": "linux/amd64"},
            run=1,
            attempt=1,
            start_time=NOW,
            duration_milliseconds=5,
            outcome=HistoryOutcome.SUCCEEDED,
        ),
    )
    * 50,
    statistics=Statistics(
        success_percent=50,
        average_milliseconds=5,
        p95_milliseconds=9,
        bytes_transferred=2**40,
        reasons=(ReasonCount(reason=Reason.PULLED, count=3),),
    ),
    evidence=(
        Evidence(
            source="a.example/app:1",
            target="b.example/app:1",
            image_id=DIGEST,
            source_digest=DIGEST,
            target_digest=DIGEST,
            digest_preserved=True,
            platforms=("linux/amd64", "linux/arm64"),
        ),
    )
    * 64,
    runs=(
        FinishedRun(
            run=1,
            completion_time=NOW,
            phase=Phase.SUCCEEDED,
            reason=Reason.COMPLETED,
            source_digest=DIGEST,
            target_digest=DIGEST,
        ),
    )
    * 5,
)
