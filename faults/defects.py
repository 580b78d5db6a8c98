"""Plant a defect into the operator of this process, to show that the oracles see it. No other process has it.

Each is a mistake that somebody could make, made here by putting one function in place of another. `faults.planted` says
which plan brings it to light.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imageops.api.reasons import Reason
from imageops.cluster.api_server import ApiServer
from imageops.cluster.paths import ApiPath
from imageops.core import conditions, decide_operation, preconditions
from imageops.core.conditions import FALSE, TRUE, State
from imageops.core.operation import OperationDecision
from imageops.core.plan import ChildNames
from imageops.engine import auth_header as headers
from imageops.engine import docker_engine
from imageops.runtime import effects, finalizer, objects
from imageops.runtime.attempts import RunningAttempt
from imageops.tools import push


@dataclass(frozen=True, slots=True)
class Defect:
    """One mistake."""

    name: str
    meaning: str
    plant: Callable[[], None]


def plant(name: str) -> None:
    """Make the mistake in this process."""
    next(defect for defect in DEFECTS if defect.name == name).plant()


def _without_test_of(path: str) -> Callable[[], None]:
    def make() -> None:
        original = ApiServer.patch

        async def patch(self: ApiServer, target: ApiPath, operations: list[dict[str, Any]]) -> dict[str, Any]:
            return await original(self, target, [one for one in operations if one["path"] != path])

        _put(ApiServer, "patch", patch)

    return make


def _name_children_by_process() -> None:
    original = ChildNames._name

    def name(self: ChildNames, step: str, kind: str, attempt: int, salt: int) -> str:
        return original(self, step, kind, attempt, salt + os.getpid())

    _put(ChildNames, "_name", name)


def _pass_every_checkpoint() -> None:
    async def checkpoint(self: RunningAttempt, execution: object) -> None:
        """Wait for nothing."""

    _put(RunningAttempt, "checkpoint", checkpoint)


def _keep_finalizers() -> None:
    original = finalizer.set_finalizer

    async def set_finalizer(api: ApiServer, entry: objects.Entry, *, present: bool) -> dict[str, Any] | None:
        return await original(api, entry, present=present) if present else None

    _put(effects, "set_finalizer", set_finalizer)


def _read_differently(change: Callable[[Any], Mapping[str, Any]]) -> Callable[[], None]:
    def make() -> None:
        original = objects.read_status

        def read_status(kind: Any, wire: Mapping[str, Any]) -> Any:
            status = original(kind, wire)
            return status.model_copy(update=change(status))

        _put(objects, "read_status", read_status)

    return make


def _log_passwords() -> None:
    original = headers.auth_header

    def auth_header(auth: Any) -> dict[str, str]:
        if auth is not None:
            logging.getLogger("imageops.engine").info("calling as %s with %s", auth.username, auth.password)
        return original(auth)

    _put(docker_engine, "auth_header", auth_header)


def _reconcile_what_is_stalled() -> None:
    conditions._MATRIX[State.FAILED] = (FALSE, FALSE, TRUE, TRUE)


def _leave_interrupted_attempts_open() -> None:
    def close_interrupted(decision: OperationDecision) -> None:
        """Close nothing."""

    _put(decide_operation, "close_interrupted", close_interrupted)


def _push_whatever_is_there() -> None:
    original = preconditions.push_verdict

    def verdict(*arguments: Any, **named: Any) -> Reason | None:
        found = original(*arguments, **named)
        return None if found is Reason.ALREADY_PUSHED else found

    _put(push, "push_verdict", verdict)


def _trust_old_views() -> None:
    _put(objects, "supersedes", lambda stored, own: False)  # noqa: ARG005 - the place of another function


def _disown_children() -> None:
    original: Callable[..., Awaitable[dict[str, Any]]] = ApiServer.create

    async def create(self: ApiServer, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        metadata = {name: value for name, value in body["metadata"].items() if name != "ownerReferences"}
        return await original(self, path, {**body, "metadata": metadata})

    _put(ApiServer, "create", create)


def _put(place: Any, name: str, mistake: Any) -> None:
    setattr(place, name, mistake)


DEFECTS: tuple[Defect, ...] = (
    Defect("uid-not-tested", "A status is written without a test of the uid.", _without_test_of("/metadata/uid")),
    Defect(
        "version-not-tested",
        "A status is written without a test of the version.",
        _without_test_of("/metadata/resourceVersion"),
    ),
    Defect(
        "child-named-by-process", "Another process gives a step's operation another name.", _name_children_by_process
    ),
    Defect("replaced-before-commit", "A target is replaced before its attempt is stored.", _pass_every_checkpoint),
    Defect("finalizer-kept", "The finalizer is not taken away.", _keep_finalizers),
    Defect(
        "failures-forgotten",
        "A new process counts failed attempts from 0.",
        _read_differently(lambda status: {"failed_attempts": 0} if hasattr(status, "failed_attempts") else {}),
    ),
    Defect("password-logged", "The log tells the password of a call.", _log_passwords),
    Defect("stalled-and-reconciling", "What failed for good is said to go on as well.", _reconcile_what_is_stalled),
    Defect(
        "interrupted-left-open", "An attempt of a killed process is never closed.", _leave_interrupted_attempts_open
    ),
    Defect("pushed-not-recognised", "What the registry has already is pushed again.", _push_whatever_is_there),
    Defect(
        "run-again-at-start",
        "A new process runs again what has ended.",
        _read_differently(lambda status: {"observed_spec_hash": "v1:0.0"} if status.completion_time else {}),
    ),
    Defect("old-view-trusted", "A status that is ahead of the process's own is overwritten.", _trust_old_views),
    Defect("child-disowned", "A Session's operations have no owner.", _disown_children),
)
