"""Delete what has finished and outlived its `ttlSecondsAfterFinished`, unless Git would only make it again.

Argo CD, Flux, Helm and others (`api/gitops_marks`) restore an object that is gone while its manifest stays, so it would
run for ever (argo-cd issue 8586). Under their marks the TTL is ignored, and one Event says so.

A deletion that the API server refuses is tried again after 5 s doubling to 60 s, and one Event says so.
"""

from datetime import timedelta
from typing import Any

from imageops.api.reasons import Reason
from imageops.core.effects import DeleteSelf
from imageops.core.run import Turn


def expire(turn: Turn[Any], ttl_seconds: int | None) -> None:
    """Delete the object if its time has come, or wake up when it does."""
    completion = turn.status.completion_time
    if ttl_seconds is None or completion is None:
        return
    if turn.subject.managed:
        if _ended_now(turn):
            turn.event(Reason.TTL_IGNORED, Reason.TTL_IGNORED.sentence, warning=True)
        return
    expiration, refused = completion + timedelta(seconds=ttl_seconds), turn.subject.undeletable
    if turn.now < expiration:
        turn.wakes.append(expiration)
    elif refused is not None and turn.now < refused.due:
        turn.wakes.append(refused.due)
    else:
        if refused is not None and refused.times == 1:  # the first one may have been a moment's
            said = f"{refused.text.rstrip('.')}. {Reason.FAILED_DELETE.hint}"
            turn.event(Reason.FAILED_DELETE, said, warning=True)
        turn.effects.append(DeleteSelf())


def _ended_now(turn: Turn[Any]) -> bool:
    before = turn.subject.status
    return before.completion_time is None or before.run != turn.status.run
