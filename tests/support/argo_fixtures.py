"""Write the fixtures of the health scripts for Argo CD: `python -m tests.support.argo_fixtures --write`.

Every status in them is what `core.decide` says in that situation, so a change of the rules changes the fixtures, and
the scripts are tested against the statuses that the operator really writes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from imageops.api.base import to_wire
from imageops.api.kinds import GROUP, REQUESTED_AT, RETRY_FAILED_AT, VERSION
from imageops.api.operations import OperationSpec
from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec
from imageops.api.session_status import SessionStatus
from imageops.api.status import OperationStatus, Phase
from tests.support.argo_health import ARGOCD, GROUP_FOLDER, SETTING, script
from tests.support.builders import (
    KINDS,
    at,
    attempt,
    decided,
    ended,
    finished_status,
    operation,
    promote_step,
    pull_spec,
    push_spec,
    running_status,
    session,
    session_decided,
    session_spec,
    tag_spec,
)
from tests.support.session_life import SessionLife

HEALTHY, PROGRESSING, DEGRADED, SUSPENDED = "Healthy", "Progressing", "Degraded", "Suspended"
UNSEEN = "The operator has not looked at this version yet."
SUCCESS = {"ImagePull": Reason.PULLED, "ImagePush": Reason.PUSHED, "ImageTag": Reason.TAGGED}
SPECS: Mapping[str, Callable[..., OperationSpec]] = {
    "ImagePull": pull_spec,
    "ImagePush": push_spec,
    "ImageTag": tag_spec,
}
WAITS = {"ImageTag": Reason.DAEMON_UNAVAILABLE}
"""What a kind waits for that uses no Secret; the others wait for one."""
RETRIES = {"ImageTag": Reason.DAEMON_CONNECTION_LOST}
FAILURES = {"ImageTag": Reason.IMAGE_NOT_ON_DAEMON, "ImagePush": Reason.TAG_CONFLICT}
REFERENCES = {"ImageTag": {"reference": "registry.example/app:2", "source_reference": "registry.example/app:1"}}
Spec: TypeAlias = OperationSpec | SessionSpec
Status: TypeAlias = OperationStatus | SessionStatus
_HEADER = "# Written by `make generate` from the operator's own rules.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """An object in a situation, and what Argo CD is to say of it."""

    name: str
    health: str
    spec: Spec
    status: Status
    generation: int = 1
    annotations: Mapping[str, str] | None = None
    unseen: bool = False
    """Whether the status tells of something older than what the object asks for."""

    @property
    def message(self) -> str:
        """What Argo CD shows beside the status."""
        conditions = {condition.type: condition for condition in self.status.conditions}
        return UNSEEN if self.unseen else conditions["Ready"].message

    @property
    def path(self) -> str:
        """Where it lies below the folder of its kind."""
        return f"testdata/{self.name}.yaml"

    def body(self, kind: str) -> dict[str, Any]:
        """Return the object as the API server holds it."""
        metadata: dict[str, Any] = {"name": "release", "namespace": "team-a", "generation": self.generation}
        if self.annotations:
            metadata["annotations"] = dict(self.annotations)
        spec = self.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
        head = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata}
        return {**head, "spec": spec, "status": to_wire(self.status)}


def of_operation(kind: str) -> list[Fixture]:
    """Make the fixtures of a kind that is one operation."""
    make = SPECS[kind]
    spec, suspended, cancelled = make(), make(suspend=True), make(cancel=True)
    fields: dict[str, Any] = {"kind": kind, "references": REFERENCES.get(kind, {"reference": "registry.example/app:1"})}
    begun = running_status(spec, **fields)

    def after(reason: Reason) -> OperationStatus:
        return decided(operation(spec, begun, **fields), running=ended(reason), now=at(1))

    running = decided(operation(spec, begun, **fields), running=attempt(), now=at(2))
    waiting = after(WAITS.get(kind, Reason.SECRET_NOT_FOUND))
    retrying = after(RETRIES.get(kind, Reason.REGISTRY_UNAVAILABLE))
    failed = after(FAILURES.get(kind, Reason.AUTH_FAILED))
    return [
        *_not_looked_at(spec, OperationStatus(), finished_status(SUCCESS[kind], spec, **fields)),
        Fixture(name="progressing_waiting", health=PROGRESSING, spec=spec, status=waiting),
        Fixture(name="progressing_running", health=PROGRESSING, spec=spec, status=running),
        Fixture(name="progressing_retrying", health=PROGRESSING, spec=spec, status=retrying),
        Fixture(name="degraded_failed", health=DEGRADED, spec=spec, status=failed),
        *_held(suspended, decided(operation(suspended, **fields)), cancelled, decided(operation(cancelled, **fields))),
    ]


def of_session() -> list[Fixture]:
    """Make the fixtures of Sessions."""
    step = promote_step("ship")
    spec, suspended, cancelled = session_spec(step), session_spec(step, suspend=True), session_spec(step, cancel=True)
    empty = SessionSpec()
    running, opened = session_decided(session(spec)), session_decided(session(empty))
    done, failed = _played(spec, Phase.SUCCEEDED), _played(spec, Phase.FAILED)
    again = {RETRY_FAILED_AT: "1"}
    return [
        *_not_looked_at(spec, SessionStatus(), done),
        Fixture(
            name="progressing_retryFailed", health=PROGRESSING, spec=spec, status=failed, annotations=again, unseen=True
        ),
        Fixture(name="progressing_running", health=PROGRESSING, spec=spec, status=running),
        Fixture(name="healthy_open", health=HEALTHY, spec=empty, status=opened),
        Fixture(name="degraded_failed", health=DEGRADED, spec=spec, status=failed),
        *_held(suspended, session_decided(session(suspended)), cancelled, session_decided(session(cancelled))),
    ]


def _played(spec: SessionSpec, phase: Phase) -> SessionStatus:
    """Return how a Session stands when its operations have ended one after the other in a phase."""
    life = SessionLife(spec)
    life.look()
    while life.status.completion_time is None:
        life.now += timedelta(seconds=1)
        life.end("ship", phase=phase)
    return life.status


def _not_looked_at(spec: Spec, new: Status, done: Status) -> list[Fixture]:
    """Make those of a success, and of an object that asks for more than its status answers."""
    token = {REQUESTED_AT: "1"}
    return [
        Fixture(name="healthy_succeeded", health=HEALTHY, spec=spec, status=done),
        Fixture(name="progressing_new", health=PROGRESSING, spec=spec, status=new, unseen=True),
        Fixture(
            name="progressing_newGeneration", health=PROGRESSING, spec=spec, status=done, generation=2, unseen=True
        ),
        Fixture(
            name="progressing_newToken", health=PROGRESSING, spec=spec, status=done, annotations=token, unseen=True
        ),
    ]


def _held(suspended: Spec, rests: Status, cancelled: Spec, gone: Status) -> list[Fixture]:
    """Make those of an object that a person has stopped."""
    return [
        Fixture(name="degraded_cancelled", health=DEGRADED, spec=cancelled, status=gone),
        Fixture(name="suspended", health=SUSPENDED, spec=suspended, status=rests),
    ]


def fixtures(kind: str) -> list[Fixture]:
    """Make the fixtures of a kind."""
    return of_session() if kind == "Session" else of_operation(kind)


class _Text(str):
    """Text of several lines, which YAML is to show as such."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes what people are to read."""


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


def _dump(body: object) -> str:
    return _HEADER + yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def files() -> dict[Path, str]:
    """Return the text that each generated file should have."""
    found: dict[Path, str] = {}
    for kind in KINDS:
        folder, mine = GROUP_FOLDER / kind, fixtures(kind)
        tests = [
            {"healthStatus": {"status": each.health, "message": each.message}, "inputPath": each.path} for each in mine
        ]
        found[folder / "health_test.yaml"] = _dump({"tests": tests})
        found |= {folder / each.path: _dump(each.body(kind)) for each in mine}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "argocd-cm",
            "namespace": "argocd",
            "labels": {"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"},
        },
        "data": {f"{SETTING}{kind}": _Text(script(kind)) for kind in KINDS},
    }
    found[ARGOCD / "argocd-cm.yaml"] = _dump(config)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.argo_fixtures", description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help="write fixtures and argocd-cm.yaml")
    parser.parse_args(arguments)
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
