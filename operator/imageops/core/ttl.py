"""Delete what has finished and outlived its `ttlSecondsAfterFinished`, unless Git would only make it again.

Argo CD, Flux, Helm and others (`api/gitops_marks`) restore an object that is gone while its manifest stays, so it would
run for ever (argo-cd issue 8586). Under their marks the TTL is ignored, and one Event says so.

A deletion that the API server refuses is tried again after 5 s doubling to 60 s, and one Event says so.
"""

from datetime import timedelta
from typing import Any

from imageops.api.reasons import Reason
from imageops.core.decision_builder import DecisionBuilder
from imageops.core.effects import DeleteSelf


def expire(decision: DecisionBuilder[Any, Any], ttl_seconds: int | None) -> None:
    """Delete the object if its time has come, or wake up when it does."""
    completion = decision.status.completion_time
    if ttl_seconds is None or completion is None:
        return
    if decision.view.managed:
        if _ended_now(decision):
            decision.event(Reason.TTL_IGNORED, Reason.TTL_IGNORED.sentence, warning=True)
        return
    expiration, refused = completion + timedelta(seconds=ttl_seconds), decision.view.undeletable
    if decision.now < expiration:
        decision.wakes.append(expiration)
    elif refused is not None and decision.now < refused.due:
        decision.wakes.append(refused.due)
    else:
        if refused is not None and refused.times == 1:  # the first one may have been a moment's
            said = f"{refused.text.rstrip('.')}. {Reason.FAILED_DELETE.hint}"
            decision.event(Reason.FAILED_DELETE, said, warning=True)
        decision.effects.append(DeleteSelf())


def _ended_now(decision: DecisionBuilder[Any, Any]) -> bool:
    before = decision.view.status
    return before.completion_time is None or before.run != decision.status.run
