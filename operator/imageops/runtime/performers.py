"""Give `core` what it decides by, for each kind of object, and start the attempts it asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from imageops.access.resolution import CredentialSource
from imageops.api.kinds import SESSION, SESSION_LABEL, Kind
from imageops.api.operations import OperationSpec
from imageops.api.reasons import Reason
from imageops.api.session import SessionSpec
from imageops.api.session_status import SessionStatus
from imageops.api.status import OperationStatus
from imageops.cluster.api_server import ApiError, ApiServer
from imageops.cluster.objects import collection
from imageops.cluster.secrets import NamespaceSecrets
from imageops.core.effects import Decision, StartAttempt
from imageops.core.outcome import Outcome
from imageops.core.operation import Operation, Parent, decide
from imageops.core.refusal import refusal
from imageops.core.session import Child, Session, decide_session, demands
from imageops.runtime.attempts import OperationCredentials, RunningAttempt, tool_for
from imageops.runtime.daemons import Daemons
from imageops.runtime.objects import Entry, ObjectStore

_DAEMON_AWAY = frozenset({Reason.DAEMON_UNAVAILABLE, Reason.DAEMON_CONNECTION_LOST})

class AttemptCounter(Protocol):
    """Counts attempts in and out."""

    def attempt_started(self, kind: Kind) -> None:
        """Count one in."""
        ...

    def attempt_ended(self, kind: Kind, bytes_transferred: int | None) -> None:
        """Count one out."""
        ...


Observe = Callable[[Kind, str | None, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class OperationPerformer:
    """Decides for ImagePull, ImagePush and ImageTag."""

    api: ApiServer
    store: ObjectStore
    daemons: Daemons
    observe: Observe
    counter: AttemptCounter

    async def decide(self, entry: Entry, *, now: datetime, accepting: bool) -> Decision[OperationStatus]:
        """Return the decision about an operation."""
        reading, spec = entry.reading, entry.spec
        parent = await self._parent(entry, now)
        error = reading.error
        if error is None and isinstance(spec, OperationSpec):
            error = refusal(spec, daemons=self.daemons.engines, in_session=self._is_owned(entry))
        operation = Operation(
            uid=entry.key.uid,
            generation=reading.generation,
            spec_hash=reading.spec_hash,
            refusal=error,
            requested_at=reading.requested_at,
            deleting=reading.deleting,
            status=entry.status,
            written=entry.written,
            kind=entry.key.kind.kind,
            spec=spec,
            references=reading.references,
            daemon_up=error is None and self.daemons.is_up(spec.daemon_name),
        )
        attempt = entry.attempt.view(now) if entry.attempt is not None else None
        if attempt is not None and attempt.outcome is not None and attempt.outcome.reason in _DAEMON_AWAY:
            self.daemons.suspect(spec.daemon_name)
        return decide(operation, attempt=attempt, parent=parent, now=now, accepting=accepting)

    def start(self, entry: Entry, effect: StartAttempt, *, now: datetime, changed: Callable[[], None]) -> None:
        """Begin an attempt."""
        spec: OperationSpec = entry.spec
        session = self.store.session(entry.key.namespace, spec.session_ref.name) if spec.session_ref else None
        credentials = OperationCredentials(
            secrets=NamespaceSecrets(self.api, entry.key.namespace),
            own=_source(spec),
            session=_source(session.spec) if session is not None else CredentialSource(),
        )
        tool, arguments = tool_for(spec, self.daemons.daemon(spec.daemon_name), credentials)
        kind = entry.key.kind

        def ended(outcome: Outcome) -> None:
            self.counter.attempt_ended(kind, outcome.bytes_transferred)
            changed()

        self.counter.attempt_started(kind)
        entry.attempt = RunningAttempt(effect.run, effect.number, now, changed, ended)
        entry.attempt.start(tool, arguments)

    async def _parent(self, entry: Entry, now: datetime) -> Parent | None:
        """Return what the Session of an operation demands; one not seen yet is looked up."""
        name = entry.reading.session_name
        if name is None:
            return None
        session = self.store.session(entry.key.namespace, name)
        if session is None:
            try:
                body = await self.api.get(f"{collection(SESSION, entry.key.namespace)}/{name}")
            except ApiError as error:
                if error.not_found:
                    return Parent(missing=True)
                raise
            self.observe(SESSION, None, body)
            session = self.store.session(entry.key.namespace, name)
        if session is None:
            return Parent(missing=True)
        spec = session.spec
        if not isinstance(spec, SessionSpec):
            return Parent()
        return demands(spec, session.status, now=now)

    def _is_owned(self, entry: Entry) -> bool:
        name = entry.reading.session_name
        session = self.store.session(entry.key.namespace, name) if name is not None else None
        return session is not None and session.key.uid in entry.reading.owners


@dataclass(frozen=True, slots=True)
class SessionPerformer:
    """Decides for Sessions."""

    api: ApiServer
    store: ObjectStore
    daemons: Daemons
    observe: Observe
    kinds: tuple[Kind, ...]

    async def decide(self, entry: Entry, *, now: datetime, accepting: bool) -> Decision[SessionStatus]:  # noqa: ARG002 - a Session starts no daemon call
        """Return the decision about a Session."""
        await self._list_children(entry)
        reading, spec = entry.reading, entry.spec
        error = reading.error
        if error is None and isinstance(spec, SessionSpec):
            error = refusal(spec, daemons=self.daemons.engines, in_session=False)
        session = Session(
            uid=entry.key.uid,
            generation=reading.generation,
            spec_hash=reading.spec_hash,
            refusal=error,
            requested_at=reading.requested_at,
            deleting=reading.deleting,
            status=entry.status,
            written=entry.written,
            name=entry.key.name,
            spec=spec,
            children=[
                Child(child.key.kind.kind, child.key.name, child.key.uid, child.written)
                for child in self.store.children(entry)
                if not child.reading.deleting
            ],
            foreign=frozenset(entry.foreign),
            image_store=self.daemons.image_store(spec.daemon_name) if isinstance(spec, SessionSpec) else None,
        )
        return decide_session(session, now=now)

    def start(self, entry: Entry, effect: StartAttempt, *, now: datetime, changed: Callable[[], None]) -> None:
        """Refuse: a Session makes no attempts of its own."""
        raise TypeError(f"{entry.key} asked for attempt {effect.number}")

    async def _list_children(self, entry: Entry) -> None:
        """Find the children a former process made, before the first decision about an unfinished Session."""
        if entry.children_listed:
            return
        if entry.status.run and entry.status.completion_time is None:
            for kind in self.kinds:
                listed = await self.api.get(
                    collection(kind, entry.key.namespace), {"labelSelector": f"{SESSION_LABEL}={entry.key.name}"},
                )
                for body in listed.get("items") or ():
                    self.observe(kind, None, body)
        entry.children_listed = True


def _source(spec: OperationSpec | SessionSpec | None) -> CredentialSource:
    if spec is None:
        return CredentialSource()
    return CredentialSource(
        secret=spec.secret_ref.name if spec.secret_ref is not None else None,
        service_account=spec.service_account_name,
    )
