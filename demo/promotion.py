"""Apply the promotion of `examples/promote.yaml` as a plain user, and follow what becomes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from demo.errors import DemoError
from devcluster.errors import DevClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devcluster.kubeconfig import KubeClient

EXAMPLE = Path(__file__).parents[1] / "examples" / "promote.yaml"
OPERATIONS = ("imagepulls", "imagetags", "imagepushes")
"""The kinds of a promotion's operations, in the order it makes them."""

_API = "/apis/imageops.dev/v1alpha1"
_POLL_SECONDS = 0.2
_RIGHTS_SECONDS = 30.0
_EVENTS_SECONDS = 10.0

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as its status shows it. Numbers are None where the status has none."""

    kind: str
    name: str
    phase: str
    reason: str
    stage: str | None
    percent: int | None
    bytes_done: int | None
    bytes_total: int | None
    layers_done: int | None
    layers_total: int | None
    bytes_per_second: int | None
    digest: str | None
    milliseconds: int | None
    """How long its attempts took."""

    @classmethod
    def of(cls, kind: str, body: Body) -> Self:
        """Read an ImagePull, ImageTag or ImagePush."""
        status = body.get("status") or {}
        progress = status.get("progress") or {}
        durations = [attempt.get("durationMilliseconds", 0) for attempt in status.get("history") or ()]
        return cls(
            kind=kind,
            name=body["metadata"]["name"],
            phase=status.get("phase", "Pending"),
            reason=ready_reason(body),
            stage=progress.get("stage"),
            percent=progress.get("percent"),
            bytes_done=progress.get("bytesDone"),
            bytes_total=progress.get("bytesTotal"),
            layers_done=progress.get("layersDone"),
            layers_total=progress.get("layersTotal"),
            bytes_per_second=progress.get("bytesPerSecond"),
            digest=(status.get("image") or {}).get("digest"),
            milliseconds=sum(durations) if durations else None,
        )


@dataclass(frozen=True, slots=True)
class Promotion:
    """A Session in a team's namespace, seen with that team's rights."""

    client: KubeClient
    namespace: str
    manifest: Body

    @property
    def name(self) -> str:
        """Name the Session."""
        return str(self.manifest["metadata"]["name"])

    def apply(self) -> None:
        """Apply the manifest, as soon as the team's role has been given its rights on the new kinds."""
        deadline = time.monotonic() + _RIGHTS_SECONDS
        while True:
            try:
                self.client.apply(self._path("sessions", self.name), self.manifest)
            except DevClusterError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_SECONDS)
            else:
                return

    def states(self, seconds: float) -> Iterator[tuple[Body, list[Operation]]]:
        """Yield the Session and its operations again and again, last when it has ended.

        Raises `DemoError` if it has not within so many seconds.
        """
        deadline = time.monotonic() + seconds
        while True:
            session = self._session()  # read first: what its end rests on is then read as ended too
            yield session, self._operations(session)
            if _ended(session):
                return
            if time.monotonic() > deadline:
                msg = f"the Session has not ended after {seconds:g} s: {ready_reason(session) or 'no status'}"
                raise DemoError(msg)
            time.sleep(_POLL_SECONDS)

    def events(self) -> list[Body]:
        """Return the Events of the Session and its operations, oldest first, the one about its end among them.

        Events are published beside the work, so that one may come a moment later; it is not waited for long.
        """
        deadline = time.monotonic() + _EVENTS_SECONDS
        last = ready_reason(self._session())
        while True:
            listed = self.client.get(f"/api/v1/namespaces/{self.namespace}/events") or {"items": []}
            about = [it for it in listed["items"] if it["involvedObject"]["name"].startswith(self.name)]
            ended = any(it["involvedObject"]["name"] == self.name and it["reason"] == last for it in about)
            if ended or time.monotonic() > deadline:
                return sorted(about, key=lambda it: (it["firstTimestamp"], it["metadata"]["resourceVersion"]))
            time.sleep(_POLL_SECONDS)

    def delete(self) -> None:
        """Delete the Session; its operations go with it."""
        self.client.delete(self._path("sessions", self.name))

    def _session(self) -> Body:
        session = self.client.get(self._path("sessions", self.name))
        if session is None:
            msg = f"the Session {self.name} has gone"
            raise DemoError(msg)
        return session

    def _operations(self, session: Body) -> list[Operation]:
        uid = session["metadata"]["uid"]
        found = []
        for plural in OPERATIONS:
            listed = self.client.get(self._path(plural)) or {"items": []}
            found += [Operation.of(_kind(listed), body) for body in listed["items"] if uid in _owners(body)]
        return found

    def _path(self, plural: str, name: str = "") -> str:
        path = f"{_API}/namespaces/{self.namespace}/{plural}"
        return f"{path}/{name}" if name else path


def example(*, suffix: str, hosts: Mapping[str, str]) -> Body:
    """Read the example, with another name and the hosts replaced by those of this machine."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for placeholder, host in hosts.items():
        if placeholder not in text:
            msg = f"{EXAMPLE.name} does not mention {placeholder}"
            raise DemoError(msg)
        text = text.replace(placeholder, host)
    manifest: Body = yaml.safe_load(text)
    manifest["metadata"]["name"] += f"-{suffix}"
    return manifest


def ready_reason(body: Body) -> str:
    """Return the reason of the Ready condition, empty before there is one."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((str(it["reason"]) for it in conditions if it["type"] == "Ready"), "")


def _ended(session: Body) -> bool:
    status = session.get("status") or {}
    return "completionTime" in status and status["observedGeneration"] == session["metadata"]["generation"]


def _kind(listed: Body) -> str:
    return str(listed["kind"]).removesuffix("List")


def _owners(body: Body) -> set[str]:
    return {owner["uid"] for owner in body["metadata"].get("ownerReferences") or ()}
