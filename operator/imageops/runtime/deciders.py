"""Give `core` what it decides by, for each kind of object, and start the attempts it asks for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from imageops.access.credential_choice import Refusals
from imageops.access.resolution import CredentialSource
from imageops.api.errors import OperationError
from imageops.api.kinds import SESSION, SESSION_LABEL, Kind
from imageops.api.operations import ImagePushSpec, OperationSpec
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.session import SessionSpec
from imageops.api.session_status import SessionStatus
from imageops.api.status import OperationStatus, Trigger
from imageops.cluster.api_server import ApiError, ApiServer
from imageops.cluster.objects import collection
from imageops.cluster.secrets import NamespaceSecrets
from imageops.core import deletion
from imageops.core.daemon_check import refusal
from imageops.core.decide_operation import decide
from imageops.core.decide_session import decide_session
from imageops.core.effects import Decision, Purpose, StartAttempt
from imageops.core.operation import Operation
from imageops.core.outcome import Outcome
from imageops.core.plan import leaves_nothing
from imageops.core.session import Session
from imageops.core.session_constraints import SessionConstraints, assumed, constraints_of
from imageops.core.session_summary import Member
from imageops.runtime.attempts import OperationCredentials, RunningAttempt, arguments_of, tool_of
from imageops.runtime.daemons import Daemons
from imageops.runtime.objects import ITSELF, Entry, ObjectStore
from imageops.runtime.others import OtherEntries
from imageops.tools.check import CheckTool
from imageops.tools.credential_fallback import CredentialFallback
from imageops.tools.limits import Requester
from imageops.tools.pull import PullArguments, PullTool
from imageops.tools.removal import RemovalArguments, RemovalTool
from imageops.tools.tool import Tool

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
class OperationDecider:
    """Decides for ImagePull, ImagePush and ImageTag."""

    api: ApiServer
    store: ObjectStore
    daemons: Daemons
    observe: Observe
    counter: AttemptCounter
    clock: Callable[[], datetime]
    finalizes: bool = True
    """Whether objects are held back until their image is removed."""
    marks: frozenset[str] = frozenset()
    """Further labels and annotations of tools that make an object again when it is gone."""

    async def decide(self, entry: Entry, *, now: datetime, accepting: bool) -> Decision[OperationStatus]:
        """Return the decision about an operation."""
        reading, spec = entry.reading, entry.spec
        constraints = await self._constraints(entry, now)
        error = reading.error
        if error is None and isinstance(spec, OperationSpec):
            error = refusal(spec, daemons=self.daemons.engines)
        operation = self._operation(entry, error, constraints)
        attempt = entry.attempt.view(now) if entry.attempt is not None else None
        if attempt is not None and attempt.outcome is not None and attempt.outcome.reason in _DAEMON_AWAY:
            self.daemons.suspect(spec.daemon_name)
        decision = decide(operation, attempt=attempt, constraints=constraints, now=now, accepting=accepting)
        if not any(isinstance(effect, StartAttempt) for effect in decision.effects) and entry.attempt is None:
            self.daemons.unused(entry.key.uid)
        return decision

    def _operation(
        self, entry: Entry, error: OperationError | None, constraints: SessionConstraints | None
    ) -> Operation:
        reading, spec = entry.reading, entry.spec
        configured = error is None and isinstance(spec, OperationSpec)
        leaves = reading.deleting or (constraints is not None and constraints.remove_image)
        return Operation(
            uid=entry.key.uid,
            generation=reading.generation,
            spec_hash=reading.spec_hash,
            refusal=error,
            requested_at=reading.requested_at,
            deleting=reading.deleting,
            managed=reading.managed or reading.carries(self.marks),
            unwritable=entry.unwritable,
            status=entry.status,
            written=entry.written,
            kind=entry.key.kind.kind,
            spec=spec,
            references=reading.references,
            arrived=self._arrived(entry, constraints) if configured else frozenset(),
            daemon_away=configured and self.daemons.is_away(spec.daemon_name),
            undeletable=entry.refused.get(ITSELF),
            finalizer=reading.finalizer,
            finalizes=self.finalizes,
            deleted_at=reading.deleted_at,
            looked_at=entry.looked_at,
            confirmed=entry.confirmed,
            held_by_others=_is_held_by_others(entry, self.store, self.daemons) if leaves else False,
        )

    def leave(self, entry: Entry) -> None:
        """Remove the image of an object that is gone, if it is to go with it: best effort, without a finalizer.

        Who asks for it is looked up again right before the removal: the object may have been made anew at once.
        """
        if self.finalizes or entry.attempt is not None or not isinstance(entry.spec, OperationSpec):
            return
        error = entry.reading.error or refusal(entry.spec, daemons=self.daemons.engines)
        farewell = deletion.farewell(self._operation(entry, error, SessionConstraints(remove_image=True)))
        if farewell is not None and error is None:
            self.start(entry, farewell, now=self.clock(), changed=lambda: None)

    def start(self, entry: Entry, effect: StartAttempt, *, now: datetime, changed: Callable[[], None]) -> None:
        """Begin an attempt."""
        spec: OperationSpec = entry.spec
        entry.asked = True
        if entry.refusals.run != effect.run:
            entry.refusals = Refusals(effect.run)
        tool, arguments = self._tool(entry, spec, effect.purpose)
        if effect.purpose is not Purpose.RUN:
            entry.looked_at = now
        kind = entry.key.kind

        def ended(outcome: Outcome) -> None:
            self.counter.attempt_ended(kind, outcome.bytes_transferred)
            changed()

        self.counter.attempt_started(kind)
        entry.attempt = RunningAttempt(effect.run, effect.number, effect.purpose, self.clock, changed, ended)
        entry.attempt.start(tool, arguments, lookup_slots=self.daemons.daemon(spec.daemon_name).lookup_slots)

    def _tool(self, entry: Entry, spec: OperationSpec, purpose: Purpose) -> tuple[Tool[Any, Any], Any]:
        """Return the tool for a purpose, with its arguments."""
        daemon = self.daemons.daemon(spec.daemon_name)
        session = self.store.session_of(entry)
        credentials = OperationCredentials(
            secrets=NamespaceSecrets(self.api, entry.key.namespace),
            own=_source(spec),
            session=_source(session.spec) if session is not None else CredentialSource(),
            writes=isinstance(spec, ImagePushSpec),
            refusals=entry.refusals if purpose is Purpose.RUN else entry.refusals.copy(),
        )
        status: OperationStatus = entry.status
        arguments = arguments_of(spec, trigger=status.trigger or Trigger.SPEC, assumed=self._assumed(entry))
        tool = tool_of(arguments, daemon, credentials, Requester(entry.key.uid, entry.key.namespace, status.run))
        others = OtherEntries(entry, spec.daemon_name or self.daemons.default, self.store, self.daemons)
        if isinstance(tool, PullTool):
            tool = replace(tool, others=others)
        if purpose is Purpose.CHECK and isinstance(tool, PullTool):
            check = CheckTool(tool, status.image.digest if status.image is not None else None)
            return CredentialFallback(check, credentials), arguments
        if purpose is Purpose.REMOVAL and status.reference is not None:
            brought = RemovalArguments(
                reference=Reference.parse(status.reference),
                image_id=status.image.id if status.image is not None else None,
                platform=arguments.one_platform if isinstance(arguments, PullArguments) else None,
            )
            return RemovalTool(daemon, others), brought
        return CredentialFallback(tool, credentials), arguments

    async def _constraints(self, entry: Entry, now: datetime) -> SessionConstraints | None:
        """Return what the Session of an operation asks of it; one not seen yet is looked up."""
        name = entry.reading.session_name
        if name is None:
            return None
        session = self.store.session_of(entry)
        if session is None:
            try:
                body = await self.api.get(collection(SESSION, entry.key.namespace) / name)
            except ApiError as error:
                if error.not_found:
                    return SessionConstraints(missing=True)
                raise
            self.observe(SESSION, None, body)
            session = self.store.session_of(entry)
        if session is None:
            return SessionConstraints(missing=True)
        spec = session.spec
        bounded = isinstance(spec, SessionSpec) and spec.limits is not None
        others = [one for one in self.store.members(session) if one is not entry] if bounded else []
        owned = entry.key.name if session.key.uid in entry.reading.owners else None
        return constraints_of(session_of(session, others), owned=owned, now=now)

    def _arrived(self, entry: Entry, constraints: SessionConstraints | None) -> frozenset[Reason]:
        """Return the reasons for which an operation need not wait any longer."""
        present = self.daemons.arrived(entry.spec.daemon_name, entry.key.uid, asked=entry.asked)
        return present if constraints is None or constraints.missing else present | {Reason.SESSION_NOT_FOUND}

    def _assumed(self, entry: Entry) -> dict[str, str | None]:
        session = self.store.session_of(entry)
        if session is None or not entry.spec.dry_run:
            return {}
        return assumed(member_of(one, session) for one in self.store.members(session))


@dataclass(frozen=True, slots=True)
class SessionDecider:
    """Decides for Sessions."""

    api: ApiServer
    store: ObjectStore
    daemons: Daemons
    observe: Observe
    kinds: tuple[Kind, ...]
    marks: frozenset[str] = frozenset()
    """As OperationDecider has them."""

    async def decide(self, entry: Entry, *, now: datetime, accepting: bool) -> Decision[SessionStatus]:  # noqa: ARG002 - a Session starts no daemon call
        """Return the decision about a Session."""
        await self._list_children(entry)
        reading, spec = entry.reading, entry.spec
        error = reading.error
        if error is None and isinstance(spec, SessionSpec):
            error = refusal(spec, daemons=self.daemons.engines)
        store = self.daemons.image_store(spec.daemon_name) if error is None and spec is not None else None
        members = [self._member(one, entry) for one in self.store.members(entry) if not one.reading.deleting]
        session = replace(
            session_of(entry, ()),
            members=members,
            refusal=error,
            image_store=store,
            managed=reading.managed or reading.carries(self.marks),
        )
        return decide_session(session, now=now)

    def _member(self, one: Entry, session: Entry) -> Member:
        """Return an operation, with what matters about its image where a promotion is to leave none."""
        member, spec = member_of(one, session), session.spec
        if isinstance(spec, SessionSpec) and any(leaves_nothing(step) for step in spec.steps):
            return replace(member, held_by_others=_is_held_by_others(one, self.store, self.daemons))
        return member

    async def _list_children(self, entry: Entry) -> None:
        """Find the children a former process made, before the first decision that could make more or delete them."""
        if entry.children_listed:
            return
        expires = entry.spec is not None and entry.spec.ttl_seconds_after_finished is not None
        if entry.status.run and (entry.status.completion_time is None or expires):
            for kind in self.kinds:
                listed = await self.api.get(
                    collection(kind, entry.key.namespace),
                    {"labelSelector": f"{SESSION_LABEL}={entry.key.name}"},
                )
                for body in listed.get("items") or ():
                    self.observe(kind, None, body)
        entry.children_listed = True


def session_of(entry: Entry, members: Sequence[Entry]) -> Session:
    """Return a Session with some of its operations."""
    reading = entry.reading
    return Session(
        uid=entry.key.uid,
        generation=reading.generation,
        spec_hash=reading.spec_hash,
        refusal=reading.error,
        requested_at=reading.requested_at,
        deleting=reading.deleting,
        managed=reading.managed,
        unwritable=entry.unwritable,
        status=entry.status,
        written=entry.written,
        name=entry.key.name,
        spec=entry.spec,
        members=[member_of(one, entry) for one in members],
        retry_failed_at=reading.retry_failed_at,
        foreign=frozenset(entry.foreign),
        undeletable=entry.refused.get(ITSELF),
        refused={name: said for name, said in entry.refused.items() if name != ITSELF},
    )


def member_of(entry: Entry, session: Entry) -> Member:
    """Return an operation as its Session sees it: as the API server holds it, or would if it took the status."""
    return Member(
        kind=entry.key.kind.kind,
        name=entry.key.name,
        uid=entry.key.uid,
        status=entry.status if entry.unwritable else entry.written,
        owned=session.key.uid in entry.reading.owners,
        tool=entry.reading.tool,
        arguments=entry.reading.arguments,
        begun_again=entry.status.completion_time is None and entry.written.completion_time is not None,
    )


def _is_held_by_others(entry: Entry, store: ObjectStore, daemons: Daemons) -> bool:
    """Tell whether another object asks for the image of an operation on the same daemon."""
    daemon = entry.status.daemon.name if entry.status.daemon is not None else None
    reference = entry.status.reference
    return reference is not None and OtherEntries(entry, daemon, store, daemons).ask_for(reference)


def _source(spec: OperationSpec | SessionSpec | None) -> CredentialSource:
    if spec is None:
        return CredentialSource()
    return CredentialSource(
        secret=spec.secret_ref.name if spec.secret_ref is not None else None,
        service_account=spec.service_account_name,
    )
