"""The rules of a run that hold for every kind: what starts one, and which of two records is further."""

import hashlib
from typing import Any

from imageops.api.status import Phase, RunStatus, Trigger
from imageops.core.object_view import ObjectView
from imageops.core.spechash import SpecHash

TOKEN_MAX_LENGTH = 200
"""Characters of the longest token that stands in a status as it is."""
UNWRITABLE = (
    "The API server does not take the status of this object, so it was stopped; the operator's log has the API server's"
    " words. It is tried again when the object changes."
)
"""Said by an Event, as the status cannot say it."""


def known_token(text: str | None) -> str | None:
    """Return the value of an annotation that asks for a run, as a status can hold it: a longer one by its hash.

    Annotations take any text up to 256 KiB, while a status that holds too long a one, or a control character, is
    refused as a whole.
    """
    if text is None or (len(text) <= TOKEN_MAX_LENGTH and text.isprintable()):
        return text
    return f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def finished(status: RunStatus) -> bool:
    """Tell whether the last run of an object has ended."""
    return status.completion_time is not None


def supersedes(stored: RunStatus, own: RunStatus) -> bool:
    """Tell whether a stored status that this process did not write makes its own void.

    A process that starts on a stale cache decides on what a former one has long gone beyond. A status that is not
    behind its own is that former one's; one that is, or is none, is somebody's tampering and does not undo a run.
    """
    return _place(stored) >= _place(own)


def _place(status: RunStatus) -> tuple[int, bool, int, int]:
    """Return how far an object has come in its life."""
    failed, attempts = (getattr(status, name, 0) for name in ("failed_attempts", "attempts"))
    return status.run, finished(status), failed, attempts


def wanted(token: str | None, handled: str | None, pending: str | None) -> str | None:
    """Return the token that asks for something: the one that stands there, else one that was seen and taken away."""
    return token if token and token != handled else pending


def run_trigger(view: ObjectView[Any], status: RunStatus) -> Trigger | None:
    """Say what starts a new run, if anything does.

    A changed What field always does; a changed How field only after a failure; a new token after the present run.
    """
    stamped = SpecHash.parse(status.observed_spec_hash)
    if not status.run:
        return Trigger.SPEC
    if stamped is not None and stamped.what != view.spec_hash.what:
        return Trigger.SPEC
    if not finished(status):
        return None
    if wanted(view.requested_at, status.last_handled_requested_at, status.pending_requested_at):
        return Trigger.TOKEN
    how_changed = stamped is not None and stamped.how != view.spec_hash.how
    return Trigger.SPEC if how_changed and status.phase == Phase.FAILED else None
