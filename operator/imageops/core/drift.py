"""Find out whether a pulled image still is what it was: when to look, and what is found."""

import hashlib
from datetime import datetime, timedelta

from imageops.api.operations import ImagePullSpec
from imageops.api.reasons import Reason, ReasonClass
from imageops.api.status import OperationStatus, Phase, PreviousImage, Trigger
from imageops.core.operation import OperationDecision
from imageops.core.outcome import Outcome

JITTER_SHARE = 0.1
JITTER_LIMIT_SECONDS = 60.0
CHECK_TIMEOUT = timedelta(seconds=120)


def due_run(decision: OperationDecision) -> Trigger | None:
    """Say whether a run that failed for good is to be made again: at the next tick of its interval."""
    tick = next_tick(decision)
    due = tick is not None and tick <= decision.now and decision.status.phase == Phase.FAILED
    return Trigger.INTERVAL if due else None


def checked(decision: OperationDecision, outcome: Outcome) -> Trigger | None:
    """Take in what a check found; drift is a new run."""
    if outcome.reason.reason_class is ReasonClass.SUCCESS:
        return None
    if outcome.reason in {Reason.IMAGE_MISSING, Reason.REMOTE_DIGEST_CHANGED}:
        decision.event(outcome.reason, outcome.message, warning=True)
        return Trigger.INTERVAL
    if outcome.reason not in {Reason.INTERRUPTED, Reason.CANCELLED}:
        decision.event(Reason.CHECK_FAILED, f"{Reason.CHECK_FAILED.sentence} {outcome.message}", warning=True)
    return None


def former_image(status: OperationStatus) -> PreviousImage | None:
    """Return what the image was before the drift."""
    if status.image is None:
        return status.previous
    return PreviousImage(id=status.image.id, digest=status.image.digest)


def next_tick(decision: OperationDecision) -> datetime | None:
    """Return the first tick of the interval after the last look, due or not; None without one."""
    spec, completion = decision.view.spec, decision.status.completion_time
    if not isinstance(spec, ImagePullSpec) or spec.interval_seconds is None or completion is None:
        return None
    if spec.suspend or spec.cancel or decision.view.refusal is not None:
        return None
    interval = timedelta(seconds=spec.interval_seconds)
    start = completion + _jitter(decision.view.uid, spec.interval_seconds)
    since = max(decision.view.looked_at or completion, completion)
    passed = max(0, (since - start) // interval)
    return start + interval * (passed + 1)


def _jitter(uid: str, interval_seconds: int) -> timedelta:
    draw = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4], "big") / 2**32
    return timedelta(seconds=min(interval_seconds * JITTER_SHARE, JITTER_LIMIT_SECONDS) * draw)
