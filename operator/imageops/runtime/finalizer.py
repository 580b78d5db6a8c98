"""Put the operator's own finalizer on an object, and take it away again."""

from typing import Any

from imageops.cluster.api_server import ApiError, ApiServer
from imageops.runtime.objects import FINALIZER, Entry


async def set_finalizer(api: ApiServer, entry: Entry, *, present: bool) -> dict[str, Any] | None:
    """Add or take away the finalizer, on exactly the object as it is read now; have the object decided on again.

    Returns:
        The object as stored; None if it changed meanwhile, or is gone.

    Raises:
        ApiError: If the change is refused, or no answer came.

    """
    body = await api.get(entry.key.path)
    metadata = body["metadata"]
    others = [name for name in metadata.get("finalizers") or () if name != FINALIZER]
    wanted = [*others, FINALIZER] if present else others
    tests = [
        {"op": "test", "path": f"/metadata/{name}", "value": metadata[name]} for name in ("uid", "resourceVersion")
    ]
    change = {"op": "add", "path": "/metadata/finalizers", "value": wanted}
    try:
        stored = await api.patch(entry.key.path, [*tests, change])
    except ApiError as error:
        if not (error.stale or error.not_found):
            raise
        entry.dirty = not error.not_found
        return None
    entry.dirty = True
    return stored
