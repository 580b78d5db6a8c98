"""Make and remove the operations of Sessions, and what has outlived its time; remember what the API server refused."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, SESSION_LABEL, Kind
from imageops.cluster.api_server import ApiError, ApiServer
from imageops.cluster.objects import ObjectKey, collection
from imageops.core.api_refusal import ApiRefusal
from imageops.core.effects import CreateChild, DeleteChild
from imageops.runtime.objects import ITSELF, Entry

logger = logging.getLogger("imageops.runtime")

OPERATION_KINDS: Mapping[str, Kind] = {kind.kind: kind for kind in (IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG)}


async def create_child(api: ApiServer, session: Entry, child: CreateChild, *, now: datetime) -> dict[str, Any] | None:
    """Create an operation, or find the one that was created before; return it as stored.

    Returns:
        None if there is none: the entry of the Session then tells that somebody else has its name, or that the API
        server refused it.

    Raises:
        ApiError: If no answer came, or the request may not be sent any more.

    """
    path = collection(OPERATION_KINDS[child.kind], session.key.namespace)
    try:
        stored = await api.create(path, _body(session.key, child))
    except ApiError as error:
        if not error.code:
            raise
        if not error.already_exists:
            _note(session, child, error, now)
            return None
        stored = await api.get(path / child.name)
        if session.key.uid not in {owner.get("uid") for owner in stored["metadata"].get("ownerReferences") or ()}:
            session.foreign.add(child.name)
            return None
    session.refused.pop(child.name, None)
    return stored


async def delete_child(api: ApiServer, session: Entry, child: DeleteChild, *, now: datetime) -> bool:
    """Delete an operation, if it is still the one that is meant.

    Returns:
        False if the API server refused it: the entry of the Session then tells what it said.

    Raises:
        ApiError: If no answer came, or the request may not be sent any more.

    """
    path = collection(OPERATION_KINDS[child.kind], session.key.namespace)
    try:
        await api.delete(path / child.name, uid=child.uid)
    except ApiError as error:
        if not error.code:
            raise
        _note(session, child, error, now)
        return False
    session.refused.pop(child.name, None)
    return True


async def delete_self(api: ApiServer, entry: Entry, *, now: datetime) -> bool:
    """Delete an object whose time is over, if it is of the version that was decided on.

    Of this version only: a change on its way, whose event is to come, may ask for another run.

    Returns:
        False if the API server refused it: the entry then tells what it said.

    Raises:
        ApiError: If no answer came, or the object has changed.

    """
    try:
        await api.delete(entry.key.path, uid=entry.key.uid, resource_version=entry.resource_version)
    except ApiError as error:
        if not error.code or error.stale:
            raise
        _keep(entry, ITSELF, error, deletion=True, now=now)
        return False
    return True


def _note(session: Entry, child: CreateChild | DeleteChild, error: ApiError, now: datetime) -> None:
    """Keep a refusal for the next decision about the Session."""
    _keep(session, child.name, error, deletion=isinstance(child, DeleteChild), now=now)


def _keep(entry: Entry, name: str, error: ApiError, *, deletion: bool, now: datetime) -> None:
    before = entry.refused.get(name)
    if before is not None and before.deletion is not deletion:
        before = None
    if before is None:
        logger.warning("the API server refused a request for %s: %s", entry.key, error)
    entry.refused[name] = ApiRefusal(
        code=error.code,
        message=error.message,
        at=now,
        deletion=deletion,
        times=before.times + 1 if before is not None else 1,
        retry_after=error.retry_after or 0.0,
    )


def _body(owner: ObjectKey, child: CreateChild) -> dict[str, Any]:
    reference = {
        "apiVersion": owner.api_version,
        "kind": owner.kind.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {
        "apiVersion": owner.api_version,
        "kind": child.kind,
        "metadata": {"name": child.name, "labels": {SESSION_LABEL: owner.name}, "ownerReferences": [reference]},
        "spec": child.spec,
    }
