"""Share a number of places between namespaces, fairly.

Who finds no place free waits in the queue of its namespace. A place that falls free is reserved for one who waits: of
the namespaces that hold the fewest places, the one that was served longest ago. So five hundred waiting objects of
one namespace delay another namespace by one turn only.
"""

from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Place:
    """One place in use."""

    namespace: str


@dataclass(slots=True)
class FairSlots:
    """A limited number of places."""

    limit: int
    _held: set[Place] = field(default_factory=set)
    _reserved: dict[str, Place] = field(default_factory=dict)
    _waiting: dict[str, dict[str, None]] = field(default_factory=dict)
    """Tickets by namespace, each in the order they came; the namespaces in the order they were served."""

    def acquire(self, ticket: str, namespace: str) -> Place | None:
        """Return a place, or None: then the ticket waits until a place is reserved for it or it is withdrawn."""
        place = self._reserved.pop(ticket, None)
        if place is None and self._in_use < self.limit:
            place = Place(namespace)
            self._leave_queue(ticket)
        if place is None:
            self._waiting.setdefault(namespace, {})[ticket] = None
            return None
        self._held.add(place)
        return place

    def release(self, place: Place) -> str | None:
        """Give a place back; return the ticket it is reserved for now, if anybody waits."""
        self._held.discard(place)
        return self._reserve()

    def withdraw(self, ticket: str) -> str | None:
        """Take a ticket out, with its reservation; return the ticket that place is reserved for now, if any."""
        self._leave_queue(ticket)
        return self._reserve() if self._reserved.pop(ticket, None) is not None else None

    def waits(self, ticket: str) -> bool:
        """Tell whether a ticket is in the queue."""
        return any(ticket in queue for queue in self._waiting.values())

    def has_place(self, ticket: str) -> bool:
        """Tell whether a place is reserved for a ticket."""
        return ticket in self._reserved

    @property
    def _in_use(self) -> int:
        return len(self._held) + len(self._reserved)

    def _reserve(self) -> str | None:
        if self._in_use >= self.limit or not self._waiting:
            return None
        used = [place.namespace for place in (*self._held, *self._reserved.values())]
        namespace = min(self._waiting, key=used.count)  # the first of equals: served longest ago
        queue = self._waiting.pop(namespace)
        ticket = next(iter(queue))
        del queue[ticket]
        if queue:
            self._waiting[namespace] = queue
        self._reserved[ticket] = Place(namespace)
        return ticket

    def _leave_queue(self, ticket: str) -> None:
        for namespace, queue in list(self._waiting.items()):
            queue.pop(ticket, None)
            if not queue:
                del self._waiting[namespace]
