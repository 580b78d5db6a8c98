"""Say whether a Session's run is to stop: somebody cancelled it, or its time is over."""

from datetime import datetime, timedelta

from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec
from imageops.api.session_status import SessionStatus
from imageops.api.status import Phase
from imageops.core.conditions import State
from imageops.core.run import finished


def deadline_of(spec: SessionSpec, status: SessionStatus) -> datetime | None:
    """Return when a run in progress has to be over; the time of a suspended one starts anew when it comes back."""
    suspended = spec.suspend or status.phase == Phase.SUSPENDED
    if spec.active_deadline_seconds is None or status.start_time is None or suspended or finished(status):
        return None
    return status.start_time + timedelta(seconds=spec.active_deadline_seconds)


def stop_reason(spec: SessionSpec, status: SessionStatus, *, now: datetime) -> Reason | None:
    """Say whether a run is to stop."""
    if spec.cancel:
        return Reason.CANCELLED
    deadline = deadline_of(spec, status)
    return Reason.DEADLINE_EXCEEDED if deadline is not None and now >= deadline else None


def stopped_state(reason: Reason) -> State:
    """Return the state in which a run that was stopped ends."""
    return State.CANCELLED if reason is Reason.CANCELLED else State.FAILED
