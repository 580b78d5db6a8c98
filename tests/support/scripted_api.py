"""An API server in memory: objects by path, the rules of JSON patch, uids and versions, and failures by script."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from imageops.cluster.api_server import ApiError, ApiUnreachableError, encoded
from imageops.cluster.paths import ApiPath

Body = dict[str, Any]


def api_error(
    code: int,
    reason: str = "",
    *,
    caused: bool = False,
    retry_after: float | None = None,
    message: str = "",
) -> ApiError:
    """Make an answer of refusal."""
    return ApiError(
        request="TEST /",
        code=code,
        reason=reason,
        caused=caused,
        retry_after=retry_after,
        message=message,
    )


def unreachable() -> ApiError:
    """Make the lack of an answer."""
    return ApiUnreachableError(request="TEST /")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in."""

    method: str
    path: str
    body: Any
    at: float
    """Time of the loop."""


@dataclass(slots=True)
class ScriptedApi:
    """The API server."""

    objects: dict[str, Body] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    script: list[ApiError | None] = field(default_factory=list)
    """What becomes of the next requests that change something, oldest first; None = they are served."""
    closed: dict[str, ApiError] = field(default_factory=dict)
    """What is said to whoever creates something in a collection, by its path."""
    kept: dict[str, ApiError] = field(default_factory=dict)
    """What is said to whoever deletes something from a collection, by its path."""
    sealed: dict[str, ApiError] = field(default_factory=dict)
    """What is said to whoever writes a status, by the path of its object, or of the collection; "" stands for all."""
    made: Callable[[str, Any], Awaitable[None]] | None = None
    """Awaited with path and body between a creation or a patch and its answer; what it raises is the answer."""
    delay: float = 0.0
    """Seconds each answer takes."""
    watch: Callable[[str, Body], None] = lambda _event, _body: None
    """Told of every change, as a watch would be."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    """Tells when an object is made."""
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def put(self, path: ApiPath | str, body: Body) -> Body:
        """Store an object as it is, as somebody else would; uid and version are given if it has none."""
        path = str(path)
        metadata = body.setdefault("metadata", {})
        known = self.objects.get(path)
        metadata.setdefault("name", path.rpartition("/")[2])
        metadata.setdefault("namespace", "team")
        metadata.setdefault("generation", 1)
        metadata.setdefault("creationTimestamp", self.clock().isoformat())
        metadata.setdefault("uid", known["metadata"]["uid"] if known else f"uid-{next(self._numbers)}")
        metadata["resourceVersion"] = str(next(self._numbers) + 1000)
        self.objects[path] = body
        self.watch("MODIFIED" if known else "ADDED", copy.deepcopy(body))
        return copy.deepcopy(body)

    def of(self, method: str) -> list[Request]:
        """Return the requests of one method."""
        return [request for request in self.requests if request.method == method]

    async def get(self, path: ApiPath | str, query: Mapping[str, str] | None = None) -> Body:
        """Read an object, or the objects below a path."""
        path = str(path)
        await self._called("GET", path, query, scripted=False)
        if path in self.objects:
            return copy.deepcopy(self.objects[path])
        below = [body for known, body in self.objects.items() if known.rpartition("/")[0] == path]
        if query is not None:
            return {"items": copy.deepcopy(below)}
        raise api_error(404, "NotFound")

    async def create(self, path: ApiPath | str, body: Mapping[str, Any]) -> Body:
        """Create an object."""
        path = str(path)
        await self._called("POST", path, body)
        if path in self.closed:
            raise self.closed[path]
        place = f"{path}/{body['metadata']['name']}"
        if place in self.objects:
            raise api_error(409, "AlreadyExists")
        stored = self.put(place, copy.deepcopy(dict(body)))
        await self._before_answer(path, body)
        return stored

    async def replace(self, path: ApiPath | str, body: Mapping[str, Any]) -> Body:
        """Replace an object in the version that `body` names."""
        path = str(path)
        await self._called("PUT", path, body)
        if path not in self.objects:
            raise api_error(404, "NotFound")
        if body["metadata"]["resourceVersion"] != self.objects[path]["metadata"]["resourceVersion"]:
            raise api_error(409, "Conflict")
        return self.put(path, copy.deepcopy(dict(body)))

    async def patch(self, path: ApiPath | str, operations: list[Body]) -> Body:
        """Apply a JSON patch."""
        path = str(path)
        operations = json.loads(encoded(operations))
        await self._called("PATCH", path, operations)
        place = path.removesuffix("/status")
        if place not in self.objects:
            raise api_error(404, "NotFound")
        sealed = next((self.sealed[one] for one in (place, place.rpartition("/")[0], "") if one in self.sealed), None)
        if sealed is not None and place != path:
            raise sealed
        body = copy.deepcopy(self.objects[place])
        for operation in operations:
            parent, _, key = operation["path"].rpartition("/")
            target = body
            for part in parent.split("/")[1:]:
                target = target[part]
            if operation["op"] == "test":
                if target.get(key) != operation["value"]:
                    raise api_error(422, "Invalid")
            else:
                target[key] = operation["value"]
        stored = self.put(place, body)
        await self._before_answer(path, operations)
        return stored

    async def delete(self, path: ApiPath | str, *, uid: str, resource_version: str | None = None) -> None:
        """Delete an object."""
        path = str(path)
        await self._called("DELETE", path, uid)
        if path.rpartition("/")[0] in self.kept:
            raise self.kept[path.rpartition("/")[0]]
        known = self.objects.get(path)
        if (
            known is not None
            and known["metadata"]["uid"] == uid
            and resource_version in {None, known["metadata"]["resourceVersion"]}
        ):
            del self.objects[path]
            self.watch("DELETED", known)

    async def _before_answer(self, path: str, body: Any) -> None:
        if self.made is not None:
            await self.made(path, body)

    async def _called(self, method: str, path: str, body: Any, *, scripted: bool = True) -> None:
        self.requests.append(Request(method, path, copy.deepcopy(body), asyncio.get_running_loop().time()))
        outcome = self.script.pop(0) if scripted and self.script else None
        await asyncio.sleep(self.delay)
        if outcome is not None:
            raise outcome
