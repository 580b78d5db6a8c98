"""Make a plan of each sequence."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence as Many
from dataclasses import dataclass

from faults import oracles
from faults.director import Director
from faults.plans import Plan, PlanClass, Verdict
from faults.record import Names, Record
from faults.reference import Reference
from faults.schema import crd, judging
from faults.schema.playing import Player
from faults.schema.probes import Sequence, sequences
from faults.schema.site import furnished, make_sessions
from faults.world import Trial, World
from imageops.api.kinds import OPERATION_KINDS, SESSION, Kind

_ORACLES = (oracles.keeps_the_conditions, oracles.ends_each_run_once, oracles.never_goes_back)
"""What holds for every state, whatever is done to a spec."""


@dataclass(frozen=True, slots=True)
class SchemaPlan:
    """One sequence on an operator of its own."""

    number: int
    sequence: Sequence

    @property
    def title(self) -> str:
        """Say what is tried."""
        properties = sorted({probe.path[0] for probe in self.sequence.probes})
        return f"{self.sequence.subject.name}: {len(self.sequence.probes)} values for {', '.join(properties)}"

    async def run(self, world: World) -> Verdict:
        """Carry it out."""
        began = time.monotonic()
        token = secrets.token_hex(4)
        record = Record(Names({}), secrets=(world.cluster.registry_auth_password,))
        world.last = record
        world.ways.shut()
        async with furnished(world, token, record) as (site, objects):
            trial = Trial(world, record, Director(), objects.namespace, world.folder / f"{token}.log", None)
            async with trial.running(), objects.watched():
                await make_sessions(objects)
                tally = await Player(self.sequence, site, world.admin, objects).play()
                log = trial.log.read_text(encoding="utf-8", errors="replace")
        findings = [*tally.findings, *_of_record(record, world, log)]
        return Verdict(
            findings=tuple(dict.fromkeys(findings)),
            crashes=record.crashes,
            seconds=round(time.monotonic() - began, 1),
            operations=tally.operations,
            covered=frozenset({_property(self.sequence.subject.kind, path) for path in tally.touched} | tally.rules),
        )


def _property(kind: Kind, path: crd.Path_) -> str:
    return f"{kind.kind} {'.'.join(path)}"


def _to_cover() -> frozenset[str]:
    """Return every property, for which a value must be taken, and every CEL rule, which must refuse something."""
    kinds = (*OPERATION_KINDS, SESSION)
    properties = {_property(kind, path) for kind in kinds for path in crd.properties(kind)}
    return frozenset(properties.union(*(crd.rules(kind) for kind in kinds)))


def _of_record(record: Record, world: World, log: str) -> list[str]:
    """Judge what holds whatever was changed."""
    found = list(judging.of_log(log))
    if record.crashes:
        found.append("the operator ended")
    for oracle in _ORACLES:
        found += [f"{oracle.__name__}: {finding}" for finding in oracle(record, world.clean)]
    for call in record.calls:
        if call.written_status is not None:
            plural = call.label.split()[1].partition("/")[0]
            kind = next(kind for kind in (*OPERATION_KINDS, SESSION) if kind.plural == plural)
            found += judging.of_status(kind, call.written_status)
    return found


def plans(_: Reference) -> Many[Plan]:
    """Return all of them."""
    return [SchemaPlan(CLASS.first + place, sequence) for place, sequence in enumerate(sequences())]


CLASS = PlanClass(
    "schema",
    20_001,
    "Values for every property of every spec, made from the CRDs, come and go on live objects at every time of life.",
    plans,
    _to_cover,
)
