"""Keep what is known of each object: what the API server said, what was decided, what runs."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from imageops.access.credential_choice import Refusals
from imageops.api.admission import check, parse_spec
from imageops.api.base import SpecModel
from imageops.api.errors import OperationError
from imageops.api.gitops_marks import is_managed
from imageops.api.kinds import GROUP, IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, REQUESTED_AT, RETRY_FAILED_AT, SESSION, Kind
from imageops.api.operations import ImagePullSpec, ImagePushSpec, ImageTagSpec, OperationSpec
from imageops.api.reasons import Reason
from imageops.api.references import Reference, parse_image_id
from imageops.api.session import SessionSpec
from imageops.api.session_status import SessionStatus
from imageops.api.status import OperationStatus
from imageops.cluster.objects import ObjectKey
from imageops.cluster.paths import is_object_name
from imageops.core.api_refusal import ApiRefusal
from imageops.core.run import known_token, supersedes
from imageops.core.spechash import RunnableSpec, SpecHash
from imageops.runtime.attempts import RunningAttempt, arguments_of

FINALIZER = f"{GROUP}/image"
"""The operator's own finalizer: an image is to be removed before its object goes."""
ITSELF = ""
"""Under this name an entry keeps what the API server said to the deletion of its own object: no child has it."""
TOOL_NAMES = {IMAGE_PULL: "pull", IMAGE_PUSH: "push", IMAGE_TAG: "tag"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The parts of an object that people write, read once for each change of it."""

    generation: int
    requested_at: str | None
    deleting: bool
    owners: frozenset[str]
    spec: RunnableSpec | None
    error: OperationError | None
    spec_hash: SpecHash
    references: Mapping[str, str]
    tool: str
    """The name of the tool that performs the operation; empty for a Session."""
    arguments: Mapping[str, str]
    """What the tool is asked for, as it may be put on record."""
    session_name: str | None
    retry_failed_at: str | None
    managed: bool
    """Whether a tool that is known would make the object again."""
    finalizer: bool
    deleted_at: datetime | None
    people: tuple[Any, ...]
    """What of the metadata this was read from."""

    def covers(self, metadata: Mapping[str, Any]) -> bool:
        """Tell whether an object with this metadata would be read the same."""
        return self.people == _people(metadata)

    def carries(self, keys: frozenset[str]) -> bool:
        """Tell whether one of these keys is a label or annotation of the object."""
        _, annotations, labels, *_ = self.people
        return not (keys.isdisjoint(annotations or ()) and keys.isdisjoint(labels or ()))


def _people(metadata: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("generation", "annotations", "labels", "deletionTimestamp", "ownerReferences", "finalizers")
    return tuple(metadata.get(name) for name in names)


@dataclass(slots=True, eq=False)
class Entry:
    """One object."""

    key: ObjectKey
    resource_version: str
    reading: Reading
    status: Any
    """The status that holds now, decided last; of the kind's status model."""
    written: Any
    """The status the API server holds."""
    written_wire: Mapping[str, Any]
    confirmed: bool
    """Whether it is no stale cache: it was made in this process's time, or the API server took a write of it."""
    held_back: Mapping[str, Any] | None = None
    """A version that came in while a status was on its way, and differs in the status alone: most often its echo."""
    exact: bool = False
    """Whether the status at `resource_version` is `written` to the last field: this process wrote it, nobody since."""
    attempt: RunningAttempt | None = None
    timer: asyncio.TimerHandle | None = None
    dirty: bool = False
    gone: bool = False
    worker: "asyncio.Task[None] | None" = None
    needs_reread: bool = False
    """Whether the API server refused a report as decided on an old version: the object is to be read again."""
    adopted: int = 0
    """How often a status of somebody else took the place of this process's own."""
    disowned: RunningAttempt | None = None
    """The attempt that was begun on a status that is void by now: its outcome is nobody's."""
    asked: bool = False
    """Whether this process has begun an attempt for it, so that it stands in a queue if it has to wait for a place."""
    refusals: Refusals = field(default_factory=Refusals)
    """The credentials that its registry has refused in the present run."""
    looked_at: datetime | None = None
    """When this process first saw it, or looked last whether its image still is what it was."""
    children_listed: bool = False
    foreign: set[str] = field(default_factory=set)
    """Names its children cannot have: objects of other owners hold them."""
    refused: dict[str, ApiRefusal] = field(default_factory=dict)
    """What the API server said to the creation, or to the deletion, of its children, by their names, and of itself."""
    status_refused: ApiRefusal | None = None
    """What the API server said to its status last, until it takes one."""

    @property
    def spec(self) -> Any:
        """The spec, of the kind's spec model; None if it is refused."""
        return self.reading.spec

    @property
    def unwritable(self) -> bool:
        """Whether the API server refuses its status for good: it ends in memory, until it changes."""
        return self.status_refused is not None and self.status_refused.for_good

    def try_anew(self) -> None:
        """Begin again from what the API server holds, as the object has changed since its status was refused.

        The next attempt is on record before it calls the daemon.
        """
        if self.unwritable:
            self.status_refused, self.status, self.confirmed = None, self.written, False

    def is_rid_of_disowned(self) -> bool:
        """Drop a disowned attempt that has ended; tell whether none is left."""
        if self.disowned is not None and self.disowned.outcome is not None:
            self.attempt = self.disowned = None
        return self.disowned is None


def read(kind: Kind, body: Mapping[str, Any]) -> Reading:
    """Read an object as the API server delivers it. Nothing in it makes this fail."""
    metadata = body["metadata"]
    raw_spec = body.get("spec") or {}
    spec: RunnableSpec | None = None
    error: OperationError | None = None
    references: Mapping[str, str] = {}
    try:
        spec = _runnable(parse_spec(kind, raw_spec))
        spec_hash = SpecHash.of(spec)
        check(kind, spec)
        references = _references(spec)
    except OperationError as refusal:
        error = refusal
        spec_hash = SpecHash.of(spec) if spec is not None else SpecHash.of_refused(raw_spec)
    annotations = metadata.get("annotations") or {}
    deleted_at = metadata.get("deletionTimestamp")
    return Reading(
        generation=metadata.get("generation", 0),
        requested_at=known_token(annotations.get(REQUESTED_AT)),
        retry_failed_at=known_token(annotations.get(RETRY_FAILED_AT)),
        managed=is_managed(metadata),
        finalizer=FINALIZER in (metadata.get("finalizers") or ()),
        deleting=deleted_at is not None,
        deleted_at=datetime.fromisoformat(deleted_at) if deleted_at is not None else None,
        tool=TOOL_NAMES.get(kind, ""),
        arguments=arguments_of(spec).shown() if isinstance(spec, OperationSpec) and error is None else {},
        owners=frozenset(owner.get("uid", "") for owner in metadata.get("ownerReferences") or ()),
        spec=spec,
        error=error,
        spec_hash=spec_hash,
        references=references,
        session_name=_session_name(raw_spec),
        people=_people(metadata),
    )


def _session_name(raw_spec: Mapping[str, Any]) -> str | None:
    """Return the name of the Session that an operation names, also where the rest of its spec is refused."""
    session = raw_spec.get("sessionRef")
    name = session.get("name") if isinstance(session, dict) else None
    return name if isinstance(name, str) and is_object_name(name) else None


def _runnable(spec: SpecModel) -> RunnableSpec:
    if not isinstance(spec, OperationSpec | SessionSpec):
        raise TypeError(type(spec).__name__)
    return spec


def read_status(kind: Kind, wire: Mapping[str, Any]) -> Any:
    """Read the status of an object; one that nobody can read counts as none."""
    model = SessionStatus if kind is SESSION else OperationStatus
    try:
        return model.model_validate(wire)
    except ValueError:
        return model()


def _references(spec: RunnableSpec) -> dict[str, str]:
    match spec:
        case ImagePullSpec() | ImagePushSpec():
            return {"reference": str(Reference.parse(spec.image))}
        case ImageTagSpec():
            source = parse_image_id(spec.source) or str(Reference.parse(spec.source))
            return {"reference": str(Reference.parse(spec.target)), "source_reference": source}
        case _:
            return {}


def met(kind: Kind, body: Mapping[str, Any], *, began: datetime, now: datetime) -> Entry:
    """Begin to keep an object; `began` is when this process did."""
    metadata = body["metadata"]
    wire = body.get("status") or {}
    status = read_status(kind, wire)
    return Entry(
        key=ObjectKey(kind, metadata["namespace"], metadata["name"], metadata["uid"]),
        resource_version=metadata["resourceVersion"],
        reading=read(kind, body),
        status=status,
        written=status,
        written_wire=wire,
        confirmed=datetime.fromisoformat(metadata["creationTimestamp"]) > began,
        looked_at=now,
    )


def absorb(entry: Entry, body: Mapping[str, Any], *, is_own: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Take over what is newer; return whether the status of somebody else took the place of ours.

    The spec is always taken over. A status is if nothing is going on for the object, or if it supersedes ours: then a
    former process has been further than the view that we began from, and what runs on that view is stopped.

    Args:
        entry: The object.
        body: A newer version of it.
        is_own: Tells whether a status is one that we sent and have not been told of.

    """
    metadata, kind = body["metadata"], entry.key.kind
    entry.resource_version = metadata["resourceVersion"]
    if not entry.reading.covers(metadata):
        entry.reading = read(kind, body)
    wire = body.get("status") or {}
    if wire == entry.written_wire:
        return False
    stored = read_status(kind, wire)
    entry.exact = is_own(wire)
    if entry.exact:
        entry.written, entry.written_wire = stored, wire
        return False
    entry.written, entry.written_wire = stored, wire  # one that is void differs from ours, which is written over it
    idle = entry.attempt is None and entry.worker is None
    if not (idle or supersedes(stored, entry.status)):
        return False
    entry.status = stored
    entry.adopted += 1
    if entry.attempt is not None:
        entry.disowned = entry.attempt
        entry.attempt.stop(Reason.INTERRUPTED)
    return True


class ObjectStore:
    """All objects, by uid, and operations by the Session they belong to."""

    def __init__(self) -> None:
        """Make an empty store."""
        self._by_uid: dict[str, Entry] = {}
        self._sessions: dict[tuple[str, str], Entry] = {}
        self._members: defaultdict[tuple[str, str], dict[str, Entry]] = defaultdict(dict)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._by_uid.values()))

    def get(self, uid: str) -> Entry | None:
        """Return an object by uid."""
        return self._by_uid.get(uid)

    def session(self, namespace: str, name: str) -> Entry | None:
        """Return a Session by name."""
        return self._sessions.get((namespace, name))

    def members(self, session: Entry) -> list[Entry]:
        """Return the operations that name a Session: its own, and those that joined."""
        return list(self._members.get((session.key.namespace, session.key.name), {}).values())

    def session_of(self, entry: Entry) -> Entry | None:
        """Return the Session that an operation names."""
        name = entry.reading.session_name
        return self.session(entry.key.namespace, name) if name is not None else None

    def add(self, entry: Entry) -> None:
        """Keep an object."""
        key = entry.key
        self._by_uid[key.uid] = entry
        if key.kind is SESSION:
            self._sessions[key.namespace, key.name] = entry
        if entry.reading.session_name is not None:
            self._members[key.namespace, entry.reading.session_name][key.uid] = entry

    def remove(self, entry: Entry) -> None:
        """Forget an object."""
        key = entry.key
        self._by_uid.pop(key.uid, None)
        if self._sessions.get((key.namespace, key.name)) is entry:
            del self._sessions[key.namespace, key.name]
        if entry.reading.session_name is not None:
            self._members[key.namespace, entry.reading.session_name].pop(key.uid, None)


def is_newer(resource_version: str, than: str) -> bool:
    """Tell whether a resourceVersion is later than another of the same object (comparable by KEP-5504)."""
    try:
        return int(resource_version) > int(than)
    except ValueError:
        return resource_version != than
