"""Order the values of all properties into sequences: what is tried on which object, when, and what follows.

All is drawn by the number of the sequence, so that each can be run alone and is the same every time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from faults.schema import crd
from faults.schema.crd import Path_
from faults.schema.subjects import SUBJECTS, Site, Subject, tried_on, with_value
from faults.schema.values import Candidate, candidates

_PROBES = 16
"""Values of one sequence."""
_TIMES = 3
"""At how many times of an object's life each good value is tried."""


class When(StrEnum):
    """When a value comes and goes in the life of its object."""

    AT_REST = "at rest"
    """Changed after the end, and put back after the end."""
    IN_HASTE = "in haste"
    """Put back at once, before anybody can have ended anything."""
    SUSPENDED = "while suspended"
    """Changed and put back while suspended, then resumed."""
    RESUMED = "before resuming"
    """Changed while suspended, resumed, put back after the end."""
    ASKED = "with a token"
    """Changed and put back, each time with a token for one more run."""
    CANCELLED = "with a cancel"
    """Changed while cancel is set, put back with a token."""
    DELETED = "before deletion"
    """Changed; then the object is deleted and made anew."""
    BORN = "from birth"
    """Another object is made with it, and deleted."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One value for one property at one time."""

    path: Path_
    candidate: Candidate
    when: When

    def __str__(self) -> str:
        """Say what is tried."""
        return f"{'.'.join(self.path)} {self.candidate.label} {self.when}"


@dataclass(frozen=True, slots=True)
class Sequence:
    """What is tried on one object, one after another."""

    subject: Subject
    probes: tuple[Probe, ...]


def sequences() -> list[Sequence]:
    """Return all sequences."""
    found = []
    for subject in SUBJECTS:
        dice = random.Random(subject.name)  # noqa: S311 - it guards nothing
        probes = list(_probes(subject, dice))
        dice.shuffle(probes)
        found += [Sequence(subject, tuple(probes[at : at + _PROBES])) for at in range(0, len(probes), _PROBES)]
    return found


def _probes(subject: Subject, dice: random.Random) -> Iterator[Probe]:
    top = crd.schema(subject.kind, "spec")
    required = {(*path, name) for path, node in crd.nodes(top) for name in node.get("required", ())}
    for path, node in crd.nodes(top):
        if not path or not tried_on(subject, path):
            continue
        for candidate in candidates(path, node, required=path in required):
            if _is_taken(subject, path, candidate):
                yield from (Probe(path, candidate, when) for when in _times(subject, path, dice))
            elif not subject.again:
                yield Probe(path, candidate, When.AT_REST)


def _is_taken(subject: Subject, path: Path_, candidate: Candidate) -> bool:
    """Tell whether a value keeps to the schema; a CEL rule may refuse it all the same."""
    spec = Site.imagined().real(with_value(subject.spec, path, candidate.value))
    return not any(crd.problems(crd.schema(subject.kind, "spec"), spec))


def _times(subject: Subject, path: Path_, dice: random.Random) -> list[When]:
    if path[0] == "sessionRef":  # it can be there from birth only
        return [When.AT_REST, When.BORN]
    if not subject.ends:  # what cancel ended is started again by a token only
        return [When.CANCELLED] if path[0] == "cancel" else [When.AT_REST, When.IN_HASTE]
    times = list(When)
    if path[0] in {"suspend", "cancel"}:
        times = [When.AT_REST, When.IN_HASTE, When.ASKED, When.DELETED, When.BORN]
    return dice.sample(times, _TIMES)
