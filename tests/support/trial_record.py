"""Make records of trials by hand, to ask the oracles what they see in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from faults.record import Left, Names, Record, State
from faults.summary import Clean

Body = dict[str, Any]

PATH = "/apis/imageops.dev/v1alpha1/namespaces/faults-t/imagepulls"
TAG = "source.example/app:1"


def status(**fields: Any) -> Body:
    """Make a status that keeps every rule; of a run that succeeded unless fields say otherwise."""
    made = {
        "observedGeneration": 1,
        "run": 1,
        "phase": "Succeeded",
        "completionTime": "2026-01-01T00:00:00Z",
        "attempts": 1,
        "reference": TAG,
        "conditions": [{"type": "Ready", "status": "True", "reason": "Pulled", "observedGeneration": 1}],
        "history": [{"run": 1, "trigger": "Spec", "attempt": 1, "outcome": "Succeeded", "reason": "Pulled"}],
        **fields,
    }
    return {name: value for name, value in made.items() if value is not None}


def at_work(**fields: Any) -> Body:
    """Make the status of a run in progress."""
    return status(phase="Running", completionTime=None, history=[{"run": 1, "attempt": 1}], **fields)


def pull(state: Body | None = None, *, kind: str = "ImagePull", name: str = "app", **metadata: Any) -> Body:
    """Make an object."""
    body = {
        "kind": kind,
        "metadata": {"name": name, "uid": f"uid-{name}", "generation": 1, "resourceVersion": "1", **metadata},
        "spec": {"image": TAG} if kind != "ImageTag" else {"target": TAG},
    }
    return body if state is None else {**body, "status": state}


def record(*bodies: Body, left: Sequence[Body] | None = None, **of_left: Any) -> Record:
    """Make a record of an object's states, the last of which is left unless something else is."""
    made = Record(Names({"t0ken": "~"}), secrets=("hunter2",))
    made.states = [State("MODIFIED", f"{body['kind'].lower()}s", body) for body in bodies]
    values: Body = {"objects": tuple(left if left is not None else bodies[-1:]), "events": (), "tags": {}, "served": {}}
    made.left = Left(**{**values, "log": "", "metrics": "", **of_left})
    return made


def write(made: Record, state: Body, *tests: str, name: str = "app", code: int = 200) -> None:
    """Note a write of a status, with these tests in it."""
    operations = [{"op": "test", "path": f"/metadata/{one}"} for one in tests or ("uid", "resourceVersion")]
    call = made.call(
        "api", "PATCH", f"{PATH}/{name}/status", [*operations, {"op": "add", "path": "/status", "value": state}]
    )
    call.status = code


def clean() -> Clean:
    """Return what a trial with one object that succeeded comes to."""
    return Clean.of(record(pull(status())))
