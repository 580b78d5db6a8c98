"""Sum up the operations of a Session: counts, what runs, errors, tool history, statistics and evidence.

All of it is computed anew from the objects, so it is the same after a restart. What objects that are gone had
contributed to the rings of errors and history stays in them until newer entries take its place.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from imageops.api.reasons import Reason
from imageops.api.session import MAX_STEPS
from imageops.api.session_status import (
    ACTIVE_LENGTH,
    ERRORS_LENGTH,
    ActiveOperation,
    Evidence,
    ReasonCount,
    SessionError,
    Statistics,
    ToolExecution,
)
from imageops.api.status import HistoryEntry, HistoryOutcome, ObjectReference, OperationStatus, Phase

_ORDER = PULL, TAG, PUSH = "ImagePull", "ImageTag", "ImagePush"
CONTAINERD = "containerd"
"""The image store, as `status.daemon.imageStore` says it, that keeps digests and whole indexes."""
_P95 = 0.95
_NEVER = datetime.min.replace(tzinfo=UTC)

RowT = TypeVar("RowT", SessionError, ToolExecution)


@dataclass(frozen=True, slots=True)
class Member:
    """An operation of a Session."""

    kind: str
    name: str
    uid: str
    status: OperationStatus
    owned: bool = True
    """Whether the Session made it; the others joined by sessionRef."""
    tool: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    begun_again: bool = False
    """Whether a further run is under way that its status, as the API server holds it, does not tell of yet."""

    held_by_others: bool = False
    """Whether other objects ask for its image too; only told where a promotion is to leave none on the daemon."""

    @property
    def ref(self) -> ObjectReference:
        """The member as status names it."""
        return ObjectReference(kind=self.kind, name=self.name)

    @property
    def finished(self) -> bool:
        """Whether its last run has ended."""
        return self.status.completion_time is not None

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way for it."""
        return self.finished and not self.begun_again

    @property
    def reason(self) -> str:
        """The reason it gives now."""
        return self.status.conditions[0].reason if self.status.conditions else Reason.PENDING.value

    @property
    def attempts(self) -> Sequence[HistoryEntry]:
        """The attempts of its last run that have ended."""
        run = self.status.run
        return [entry for entry in self.status.history if entry.run == run and entry.completion_time is not None]


def active(members: Iterable[Member]) -> tuple[ActiveOperation, ...]:
    """Return the running ones, at most 8, by name."""
    running = sorted((one for one in members if one.status.phase == Phase.RUNNING), key=lambda one: one.name)
    return tuple(
        ActiveOperation(
            operation_ref=one.ref,
            stage=one.status.progress.stage if one.status.progress is not None else None,
            percent=one.status.progress.percent if one.status.progress is not None else None,
        )
        for one in running[:ACTIVE_LENGTH]
    )


def errors(members: Sequence[Member], before: Sequence[SessionError]) -> tuple[SessionError, ...]:
    """Return the newest 10 errors, one for each operation and reason."""
    found = [error for one in members for error in _errors_of(one)]
    gone = _of_others(before, members)
    newest = sorted((*gone, *found), key=lambda error: (error.last_time, error.operation_ref.name, error.reason))
    return tuple(newest[-ERRORS_LENGTH:])


def history(members: Sequence[Member], before: Sequence[ToolExecution], *, limit: int) -> tuple[ToolExecution, ...]:
    """Return the newest tool executions, oldest first."""
    found = [_execution(one, entry) for one in members for entry in one.status.history if entry.completion_time]
    gone = _of_others(before, members)
    # Times are whole seconds: within one, what is gone was there before what is present.
    newest = sorted((*gone, *sorted(found, key=_place)), key=lambda done: done.start_time)
    return tuple(newest[len(newest) - limit :]) if len(newest) > limit else tuple(newest)


def _place(done: ToolExecution) -> tuple[int, str, int]:
    """Order executions of one second as they follow from each other."""
    return _ORDER.index(done.operation_ref.kind), done.operation_ref.name, done.attempt


def statistics(members: Sequence[Member]) -> Statistics | None:
    """Return the sums over those that have finished; None if none has."""
    finished = [one for one in members if one.finished]
    if not finished:
        return None
    durations = sorted(sum(entry.duration_milliseconds or 0 for entry in one.attempts) for one in finished)
    succeeded = sum(one.status.phase == Phase.SUCCEEDED for one in finished)
    reasons = Counter(one.reason for one in finished)
    return Statistics(
        success_percent=round(100 * succeeded / len(finished)),
        average_milliseconds=round(sum(durations) / len(durations)),
        p95_milliseconds=durations[math.ceil(_P95 * len(durations)) - 1],
        bytes_transferred=transferred(finished),
        reasons=tuple(ReasonCount(reason=reason, count=count) for reason, count in sorted(reasons.items())),
    )


def transferred(members: Iterable[Member]) -> int:
    """Return the bytes that the last runs of operations moved."""
    return sum(entry.bytes_transferred or 0 for one in members for entry in one.attempts)


def evidence(members: Sequence[Member], promoted: Mapping[str, str] | None = None) -> tuple[Evidence, ...]:
    """Return, for each push that left its content in a registry, what was pulled and what arrived.

    Args:
        members: The operations of the run.
        promoted: The name of the pull of each promotion, by that of its push: two promotions may be of equal content.

    """
    pushes = [one for one in members if one.kind == PUSH and one.reason in {Reason.PUSHED, Reason.ALREADY_PUSHED}]
    ordered = sorted(pushes, key=lambda one: (one.status.completion_time or _NEVER, one.name))
    return tuple(_evidence(push, members, (promoted or {}).get(push.name)) for push in ordered[-MAX_STEPS:])


def _evidence(push: Member, members: Sequence[Member], own: str | None) -> Evidence:
    """State what is known of one push: its source is the pull that brought the very same image, if one did.

    The push of a promotion has the promotion's `own` pull for its source, no other. Elsewhere, of several the newest,
    but before others one whose very digest arrived: each platform of an index has a pull.
    """
    image = push.status.image
    image_id = image.id if image is not None else None
    target = image.digest if image is not None else None
    pulls = [
        one for one in members if one.kind == PULL and one.status.phase == Phase.SUCCEEDED and own in {None, one.name}
    ]
    pull = max(
        (one for one in pulls if image_id is not None and image_id in _ids_of(one.status)),
        key=lambda one: (_digest_of(one.status) == target, one.status.completion_time or _NEVER, one.name),
        default=None,
    )
    source = _digest_of(pull.status) if pull is not None else None
    return Evidence(
        source=(pull or push).status.reference or "",
        target=push.status.reference or "",
        image_id=image_id,
        source_digest=source,
        target_digest=target,
        digest_preserved=source is not None and source == target,
        unconfirmed=image.unconfirmed if image is not None else None,
        platforms=image.platforms if image is not None else (),
    )


def _ids_of(pull: OperationStatus) -> tuple[str | None, ...]:
    """Return the ids under which the daemon has what a pull brought.

    The containerd store has one platform of an index under an id of its own, and under that of the index: its digest.
    """
    return (pull.image.id, pull.image.digest) if pull.image is not None else ()


def _digest_of(pull: OperationStatus) -> str | None:
    """Return the digest of exactly what a pull brought; of one platform that is not the index that the reference names.

    On the containerd store it is the image id: for one platform the digest by which the index names its manifest.
    """
    image = pull.image
    if image is None or image.digest is None:
        return None
    by_digest = pull.daemon is not None and pull.daemon.image_store == CONTAINERD
    return image.id if by_digest else image.digest


def _errors_of(one: Member) -> list[SessionError]:
    times: dict[str, list[datetime]] = {}
    for entry in one.status.history:
        if entry.outcome == HistoryOutcome.FAILED and entry.completion_time is not None and entry.reason is not None:
            times.setdefault(entry.reason, []).append(entry.completion_time)
    error = one.status.error
    if one.status.phase == Phase.FAILED and error is not None and one.status.completion_time is not None:
        times.setdefault(error.reason, [one.status.completion_time])
    return [_error(one, reason, moments) for reason, moments in times.items()]


def _error(one: Member, reason: str, moments: Sequence[datetime]) -> SessionError:
    known = one.status.error if one.status.error is not None and one.status.error.reason == reason else None
    own = next((word for word in Reason if word.value == reason), Reason.DAEMON_ERROR)
    return SessionError(
        operation_ref=one.ref,
        reason=reason,
        reason_class=known.reason_class if known is not None else own.reason_class.value,
        message=known.message if known is not None else own.sentence,
        count=len(moments),
        first_time=min(moments),
        last_time=max(moments),
    )


def _execution(one: Member, entry: HistoryEntry) -> ToolExecution:
    return ToolExecution(
        tool=one.tool,
        operation_ref=one.ref,
        arguments=dict(one.arguments),
        run=entry.run,
        attempt=entry.attempt,
        start_time=entry.start_time,
        duration_milliseconds=entry.duration_milliseconds,
        outcome=entry.outcome,
    )


def _of_others(rows: Sequence[RowT], members: Sequence[Member]) -> list[RowT]:
    present = {(one.kind, one.name) for one in members}
    return [row for row in rows if (row.operation_ref.kind, row.operation_ref.name) not in present]
