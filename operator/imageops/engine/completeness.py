"""Find out whether a daemon has every index below the one that a reference names.

An inspect with `manifests=1` lists the image manifests that the daemon can reach. Below an index that is not there it
reaches nothing, and says nothing: an index of indexes of which one half was never fetched looks whole, and a push of it
ends as pushed with nothing sent. An export walks the same tree before it writes its first byte, and refuses with the
digest of the first index that is not there. So an export is begun for its refusal, and left before anything is read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imageops.engine.requests import exchange, refusal

if TYPE_CHECKING:
    from imageops.engine.connection import DaemonClient
    from imageops.engine.requests import Request

_WALKED = "unable to create manifests file"
"""How Engine 29 refuses, after the walk, an index that begins with an index: it finds no configuration to describe."""
_ABSENT = re.compile(r"content digest (sha256:[0-9a-f]{64}): not found")


def absent_index(client: DaemonClient, request: Request) -> str | None:
    """Begin the export of an image, and return the digest of an index that it lacks; None if it lacks none.

    Raises:
        OperationError: What `exchange` raises; the reason of the daemon's words if they are about something else.
    """
    with exchange(client, request) as response:
        text = refusal(response)
        if text is None or _WALKED in text:
            return None
        found = _ABSENT.search(text)
        if found is None:
            raise request.failure(response.status_code, text)
        return found[1]
