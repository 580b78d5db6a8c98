"""Decide who holds a Lease (coordination.k8s.io/v1), by the rules of client-go's leader election.

No clock is ever compared with another machine's: the times inside a Lease are for people. A candidate notes on its own
clock when it first saw the Lease as it stands; once that is longer ago than the Lease lasts, its holder has let it run
out. The holder counts from before each renewal was sent, so it always gives up first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_RENEW_DEADLINE = 2 / 3
"""Of the duration. The rest is what a holder has to end in, before anybody else may take the Lease."""
_RETRY_PERIOD = 2 / 15
"""Of the duration, between two looks or renewals."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of an election; with the default duration those of Kubernetes' own controllers: 15, 10 and 2 s."""

    duration_seconds: int

    @property
    def renew_deadline(self) -> float:
        """Seconds after the last renewal at which a holder gives up."""
        return self.duration_seconds * _RENEW_DEADLINE

    @property
    def retry_period(self) -> float:
        """Seconds between two attempts to take or renew the Lease."""
        return self.duration_seconds * _RETRY_PERIOD


@dataclass(frozen=True, slots=True)
class LeaseClaim:
    """What the spec of a Lease says."""

    holder: str
    """Empty once its last holder gave it back."""
    duration_seconds: int
    acquire_time: str
    """MicroTime, as it is written."""
    renew_time: str
    transitions: int
    """How often it has changed hands."""

    @classmethod
    def read(cls, spec: Mapping[str, Any]) -> "LeaseClaim":
        """Read a spec. A Lease that somebody made by hand and left empty is held by nobody."""
        return cls(
            holder=spec.get("holderIdentity") or "",
            duration_seconds=spec.get("leaseDurationSeconds") or 0,
            acquire_time=spec.get("acquireTime") or "",
            renew_time=spec.get("renewTime") or "",
            transitions=spec.get("leaseTransitions") or 0,
        )

    def spec(self) -> dict[str, Any]:
        """Return the fields of a spec."""
        return {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.duration_seconds,
            "acquireTime": self.acquire_time,
            "renewTime": self.renew_time,
            "leaseTransitions": self.transitions,
        }


@dataclass(frozen=True, slots=True)
class ObservedLease:
    """A Lease as it stands, and since when it has stood so."""

    claim: LeaseClaim
    since: float
    """Seconds on the clock of whoever looks."""

    @property
    def expires(self) -> float:
        """When it may be taken from its holder, on the same clock."""
        return self.since + self.claim.duration_seconds


def observe_lease(last: ObservedLease | None, claim: LeaseClaim, now: float) -> ObservedLease:
    """Return what is known after another look."""
    return last if last is not None and last.claim == claim else ObservedLease(claim, now)


def next_claim(
    observed: ObservedLease | None, identity: str, timing: Timing, *, now: float, written_at: datetime
) -> LeaseClaim | None:
    """Return what to write in order to take or renew a Lease; None while another holds it.

    Args:
        observed: The Lease; None if there is none yet.
        identity: Who wants it.
        timing: How long it is to last.
        now: Seconds on the clock of the observed.
        written_at: The time of day, for people.

    """
    written = _micro_time(written_at)
    if observed is None:
        return LeaseClaim(identity, timing.duration_seconds, written, written, 0)
    claim = observed.claim
    if claim.holder == identity:
        return LeaseClaim(identity, timing.duration_seconds, claim.acquire_time, written, claim.transitions)
    if claim.holder and now < observed.expires:
        return None
    return LeaseClaim(identity, timing.duration_seconds, written, written, claim.transitions + 1)


def given_back(claim: LeaseClaim, *, written_at: datetime) -> LeaseClaim:
    """Return what its holder writes to give it back: nobody's, for the shortest duration the API server takes."""
    written = _micro_time(written_at)
    return LeaseClaim("", 1, written, written, claim.transitions)


def _micro_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
