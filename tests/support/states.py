"""Lead an object of each kind into each state that users can see, on real parts."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from devcluster.gate import RegistryGate
from devcluster.images import PushedImage
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, SESSION, Kind
from tests.support.objects import Body, Objects, reason
from tests.support.watched_engine import WatchedEngine

KINDS = (IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, SESSION)
Spec = dict[str, Any]


class Course(StrEnum):
    """What becomes of an object if it is left alone."""

    WAITS = "waits"
    RUNS = "runs"
    RETRIES = "retries"
    SUCCEEDS = "succeeds"
    FAILS = "fails"
    RUNS_TO_FAIL = "runs-to-fail"


class State(StrEnum):
    """The states of the condition matrix."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"
    UNSEEN = "unseen"


WAITING_REASONS = frozenset({"SecretNotFound", "SessionNotFound", "DaemonUnavailable"})


def _retries(body: Body) -> bool:
    status = body.get("status") or {}
    if body["kind"] == "Session":
        return bool(status.get("errors")) and "completionTime" not in status
    return bool(status.get("failedAttempts")) and status["phase"] == "Pending" and "nextRetryTime" in status


def _shows(phase: str) -> Callable[[Body], bool]:
    return lambda body: (body.get("status") or {}).get("phase") == phase


ARRIVED: Mapping[State, Callable[[Body], bool]] = {
    State.ACCEPTED: lambda body: _shows("Pending")(body) and reason(body) in WAITING_REASONS,
    State.RUNNING: _shows("Running"),
    State.RETRYING: _retries,
    State.SUCCEEDED: _shows("Succeeded"),
    State.FAILED: _shows("Failed"),
    State.SUSPENDED: _shows("Suspended"),
    State.CANCELLED: _shows("Cancelled"),
    State.UNSEEN: lambda body: body["status"]["observedGeneration"] != body["metadata"]["generation"],
}
"""How to see that an object is in a state."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where objects are led through their states.

    `slow` is a registry whose blobs do not move until it is released, `broken` one that is out of order; `engine` has a
    gate in front, where a tag can be held up too. `away` names a daemon that does not answer.
    """

    objects: Objects
    engine: WatchedEngine
    slow: RegistryGate
    broken: RegistryGate
    registry: str
    make_image: Callable[..., PushedImage]
    away: str

    def hold_up(self) -> None:
        """Have transfers and tags that run stop in the middle, and those of RETRIES refused."""
        self.slow.stall(path=r"/v2/.+")
        self.broken.script(path=r"/v2/.*/(manifests|blobs)/.*", status=503)
        self.engine.gate.stall(method="GET", path=r".*/images/local.example.*/runs-.*/json")
        self.engine.gate.script(method="GET", path=r".*/images/local.example.*/retries-source.*/json", status=500)

    def let_go(self) -> None:
        """Let everything that is held up go on, and mend what is broken."""
        for gate in (self.slow, self.broken, self.engine.gate):
            gate.release()

    def spec(self, kind: Kind, course: Course) -> Spec:
        """Return a spec that nobody has used, for an object of this kind on this course."""
        image = self._image(kind, course)
        fields: Spec = {"daemonName": self.engine.name}
        if course is Course.RETRIES:
            fields["backoffLimit"] = 5
        match kind:
            case _ if kind is SESSION:
                fields |= {"steps": [{"name": "fetch", "pull": {"image": image}}]}
                return fields | ({"daemonName": self.away} if course is Course.WAITS else {})
            case _ if kind is IMAGE_TAG:
                fields |= {"source": image, "target": f"{image}-target", "ifExists": "Replace"}
                return fields | ({"sessionRef": {"name": "absent"}} if course is Course.WAITS else {})
            case _:
                return fields | {"image": image} | ({"secretRef": {"name": "absent"}} if course is Course.WAITS else {})

    def edited(self, kind: Kind, spec: Spec) -> Spec:
        """Return the merge patch that asks for something else: another version of what is asked for."""
        other = self.spec(kind, Course.SUCCEEDS)
        return {"spec": {name: other[name] for name in other if other[name] != spec.get(name)}}

    def create(self, kind: Kind, name: str, course: Course, **fields: Any) -> Body:
        """Create an object on a course."""
        return self.objects.create(kind, name, self.spec(kind, course) | fields)

    def wait(self, kind: Kind, name: str, state: State) -> Body:
        """Return the object when it is in a state."""
        return self.objects.wait(kind, name, ARRIVED[state], seconds=60)

    def _image(self, kind: Kind, course: Course) -> str:
        """Make an image where an object of the kind looks for it, and return its name."""
        tag, repository = secrets.token_hex(4), f"{self.objects.namespace}/{course}-source"
        host = "local.example" if kind is IMAGE_TAG else self._hosts.get(course, self.registry)
        fails = course in {Course.FAILS, Course.RUNS_TO_FAIL}
        if kind is IMAGE_PUSH and fails:
            self.make_image(repository=repository, tag=tag, layers=(2048,))  # other content: a conflict
        if kind is IMAGE_PUSH or (kind is IMAGE_TAG and not fails):
            self.engine.daemon.make(f"{host}/{repository}:{tag}", secrets.token_bytes(64))
        elif kind is not IMAGE_TAG and not fails:
            self.make_image(repository=repository, tag=tag, layers=(2048,))
        return f"{host}/{repository}:{tag}"

    @property
    def _hosts(self) -> Mapping[Course, str]:
        return {
            Course.RUNS: self.slow.address,
            Course.RUNS_TO_FAIL: self.slow.address,
            Course.RETRIES: self.broken.address,
        }
