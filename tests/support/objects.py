"""Create, change and await objects of our kinds, as a user would."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imageops.api.kinds import GROUP, REQUESTED_AT, VERSION, Kind
from tests.support.admission import ApiServer
from tests.support.contract import assert_consistent

WAIT_SECONDS = 60.0
POLL_SECONDS = 0.05

Body = dict[str, Any]


class StillWaitingError(AssertionError):
    """What was waited for did not come; the text says how the object stands."""


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one namespace."""

    api: ApiServer
    namespace: str

    def path(self, kind: Kind, name: str = "") -> str:
        """Return the path of a kind's collection, or of one object."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{kind.plural}"
        return f"{path}/{name}" if name else path

    def create(self, kind: Kind, name: str, spec: Mapping[str, Any], **metadata: Mapping[str, str]) -> Body:
        """Create an object; `metadata` are its annotations and labels."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": kind.kind,
            "metadata": {"name": name, **{key: dict(value) for key, value in metadata.items()}},
            "spec": dict(spec),
        }
        return self._sent("POST", self.path(kind), body)

    def get(self, kind: Kind, name: str) -> Body:
        """Read an object."""
        return self._sent("GET", self.path(kind, name))

    def all(self, kind: Kind) -> list[Body]:
        """Read all objects of a kind."""
        return list(self._sent("GET", self.path(kind))["items"])

    def patch(self, kind: Kind, name: str, change: Mapping[str, Any]) -> Body:
        """Merge a change into an object."""
        return self._sent("PATCH", self.path(kind, name), dict(change))

    def delete(self, kind: Kind, name: str) -> None:
        """Delete an object."""
        self._sent("DELETE", self.path(kind, name))

    def delete_all(self, kind: Kind) -> None:
        """Delete all objects of a kind."""
        self._sent("DELETE", self.path(kind))

    def wait_gone(self, kind: Kind, name: str) -> None:
        """Return when there is no object of this name.

        Raises:
            StillWaitingError: There still is one after 30 s.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while self.api.request("GET", self.path(kind, name)).status != 404:
            if time.monotonic() > deadline:
                message = f"{kind.kind} {name} is still there"
                raise StillWaitingError(message)
            time.sleep(POLL_SECONDS)

    def create_secret(self, name: str, secret_type: str, text: Mapping[str, str], **metadata: Any) -> Body:
        """Create a Secret of plain-text values."""
        body = {"metadata": {"name": name, **metadata}, "type": secret_type, "stringData": dict(text)}
        return self._sent("POST", f"/api/v1/namespaces/{self.namespace}/secrets", body)

    def ask_again(self, kind: Kind, name: str, token: str) -> Body:
        """Ask for one more run by a new token."""
        return self.patch(kind, name, {"metadata": {"annotations": {REQUESTED_AT: token}}})

    def events(self, name: str) -> Sequence[Body]:
        """Read the Events about an object, oldest first."""
        answer = self._sent("GET", f"/api/v1/namespaces/{self.namespace}/events")
        about = [event for event in answer["items"] if event["involvedObject"]["name"] == name]
        return sorted(about, key=lambda event: event["metadata"]["creationTimestamp"])

    def wait(
        self,
        kind: Kind,
        name: str,
        condition: Callable[[Body], bool],
        *,
        seconds: float = WAIT_SECONDS,
    ) -> Body:
        """Return the object as soon as a condition holds for it; every state on the way must keep the contract.

        Raises:
            StillWaitingError: It did not within the time.
        """
        deadline = time.monotonic() + seconds
        while True:
            body = self.get(kind, name)
            assert_consistent(body)
            if condition(body):
                return body
            if time.monotonic() > deadline:
                message = f"after {seconds} s {kind.kind} {name} stands at {body.get('status')}"
                raise StillWaitingError(message)
            time.sleep(POLL_SECONDS)

    def wait_finished(self, kind: Kind, name: str, *, seconds: float = WAIT_SECONDS) -> Body:
        """Return the object when the run of its present generation has ended."""
        return self.wait(kind, name, finished, seconds=seconds)

    def run(
        self,
        kind: Kind,
        name: str,
        spec: Mapping[str, Any],
        *,
        seconds: float = WAIT_SECONDS,
    ) -> Body:
        """Create an object and return it when its run has ended."""
        self.create(kind, name, spec)
        return self.wait_finished(kind, name, seconds=seconds)

    def _sent(self, method: str, path: str, body: Body | None = None) -> Body:
        answer = self.api.request(method, path, body)
        assert answer.status < 400, f"{method} {path}: {answer.status} {answer.message}"
        return answer.body


def finished(body: Body) -> bool:
    """Tell whether the run of the object's present generation has ended."""
    status = body.get("status") or {}
    return status.get("observedGeneration") == body["metadata"]["generation"] and "completionTime" in status


def run_ended(number: int) -> Callable[[Body], bool]:
    """Return a test whether the run of this number has ended."""

    def ended(body: Body) -> bool:
        status = body.get("status") or {}
        return status.get("run", 0) >= number and finished(body)

    return ended


def condition(body: Body, kind: str) -> Body | None:
    """Return a condition of an object."""
    conditions = body["status"].get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), None)


def reason(body: Body) -> str:
    """Return the reason of the Ready condition."""
    ready = condition(body, "Ready")
    return str(ready["reason"]) if ready is not None else ""
