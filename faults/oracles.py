"""Judge a trial by its record: pure functions, each of which says in sentences what it finds wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from faults.record import Body, Call, Record, State
from faults.summary import Clean, differences

Oracle = Callable[[Record, Clean], Iterator[str]]

_ENDED = frozenset({"Succeeded", "Failed", "Cancelled"})
_AT_WORK = frozenset({"Pending", "Running"})
_OK = 200
_SHOWN_CHARACTERS = 400


def judge(record: Record, clean: Clean) -> tuple[str, ...]:
    """Return what all oracles find, each finding with the name of its oracle."""
    return tuple(f"{oracle.__name__}: {finding}" for oracle in ORACLES for finding in oracle(record, clean))


def reaches_the_end(record: Record, _: Clean) -> Iterator[str]:
    """Everything comes to its end, and nothing is left at work."""
    if record.unfinished is not None:
        yield f"still waiting for {record.unfinished}"
    for body in record.left.objects if record.left is not None else ():
        status = body.get("status") or {}
        if status.get("phase") in _AT_WORK:
            yield f"{_title(body)} is left {status['phase']}"
        if any("outcome" not in entry for entry in status.get("history") or ()):
            yield f"{_title(body)} is left with an open entry in its history"


def ends_as_a_clean_run(record: Record, clean: Clean) -> Iterator[str]:
    """Objects, daemons and registries end as if nothing had happened."""
    disturbed = record.crashes > 0
    expected = clean.recognising() if disturbed else clean
    found = Clean.of(record, recognises=disturbed)
    for part in ("objects", "tags", "served"):
        for line in differences(getattr(expected, part), getattr(found, part)):
            yield line[:_SHOWN_CHARACTERS]


def ends_each_run_once(record: Record, _: Clean) -> Iterator[str]:
    """A run has one end, and no status takes it back."""
    for states in record.history().values():
        ends: dict[int, str] = {}
        for state in states:
            run, end = state.status.get("run", 0), state.status.get("completionTime")
            if end is None and run in ends:
                yield f"{_title(state.body)} takes back the end of its run {run}"
            elif end is not None and ends.setdefault(run, end) != end:
                yield f"{_title(state.body)} ends its run {run} twice"
                ends[run] = end


def transfers_nothing_twice(record: Record, clean: Clean) -> Iterator[str]:
    """Pull and push calls are at most those of a clean run and one more for each crash."""
    specs = [state.body.get("spec") or {} for state in record.states]
    always = {record.names.plain(spec["image"]) for spec in specs if spec.get("imagePullPolicy") == "Always"}
    for transfer, count in record.transfers().items():
        name, _, tag = transfer.partition("fromImage=")[2].partition("&tag=")
        known = transfer in record.finished_before_crash and f"{name}:{tag}" not in always
        # In a clean run what is cancelled or deleted may end before its call.
        allowed = max(1, clean.transfers[transfer]) + record.crashes - known
        if count > allowed:
            yield f"{count} calls, {allowed} allowed: {transfer}"


def keeps_the_conditions(record: Record, _: Clean) -> Iterator[str]:
    """Every status ever written keeps the contract of conditions."""
    for call in record.calls:
        status = call.written_status
        if status is not None:
            yield from (f"{call.label}: {problem}" for problem in _broken(status))
    for state in record.states:
        yield from (f"{_title(state.body)}: {problem}" for problem in _broken(state.status))


def never_goes_back(record: Record, _: Clean) -> Iterator[str]:
    """Runs, attempts, counted failures and the percentage of an attempt never fall."""
    for states in record.history().values():
        for before, after in pairwise(states):
            yield from (f"{_title(after.body)}: {what}" for what in _fallen(before.status, after.status))


def writes_to_its_own_object(record: Record, _: Clean) -> Iterator[str]:
    """Each status goes to the object it was decided for, and to no successor of the same name."""
    for call in record.calls:
        for what in ("uid", "resourceVersion"):
            if call.writes_status and not _tests(call, f"/metadata/{what}"):
                yield f"{call.label} does not test the {what}"
    for state in record.states:
        spec, reference = state.body.get("spec") or {}, state.status.get("reference")
        asked = spec.get("target") if "target" in spec else spec.get("image")
        if reference is not None and asked is not None and not reference.endswith(asked):
            yield f"{_title(state.body)} asks for {asked}, and its status speaks of {reference}"


def makes_each_child_once(record: Record, _: Clean) -> Iterator[str]:
    """A step of a Session has one operation of each kind."""
    children: Counter[tuple[str, str]] = Counter()
    for states in record.history().values():
        owners = _owners(states[0])
        if owners:
            children[owners[0], f"{states[0].plural}/{record.names.plain(states[0].name)}"] += 1
    for (_owner, child), count in children.items():
        if count > 1:
            yield f"{count} operations {child} of one Session"


def leaves_no_orphan(record: Record, _: Clean) -> Iterator[str]:
    """Nothing is left of an owner that is gone, and no finalizer holds anything."""
    left = record.left.objects if record.left is not None else ()
    uids = {body["metadata"]["uid"] for body in left}
    for body in left:
        metadata = body["metadata"]
        if any(owner["uid"] not in uids for owner in metadata.get("ownerReferences") or ()):
            yield f"{_title(body)} has lost its owner"
        if metadata.get("deletionTimestamp"):
            yield f"{_title(body)} cannot go: {metadata.get('finalizers')}"


def commits_before_replacing(record: Record, _: Clean) -> Iterator[str]:
    """A call that moves a tag or replaces one in a registry comes after its attempt was stored."""
    for states in record.history().values():
        status = states[-1].status
        if not status.get("previous"):
            continue
        about = f"{states[-1].plural}/{record.names.plain(states[-1].name)}/status"
        name, _colon, tag = record.names.plain(status["reference"]).rpartition(":")
        replacing = (f"/tag?repo={name}&tag={tag}", f"/images/{name}/push?tag={tag}")
        last = max((place for place, call in enumerate(record.calls) if call.label.endswith(replacing)), default=0)
        if not any(
            call.label == f"PATCH {about}" and call.status == _OK and (call.written_status or {}).get("previous")
            for call in record.calls[:last]
        ):
            yield f"{_title(states[-1].body)} replaced {status['previous']} before it said so"


def says_what_is_there(record: Record, _: Clean) -> Iterator[str]:
    """What a status says of an image is what the registry serves and the daemon has."""
    if record.left is None:
        return
    newest: dict[str, Body] = {}
    for body in record.left.objects:
        status = body.get("status") or {}
        if status.get("phase") != "Succeeded":
            continue
        reference = status.get("reference", "")
        if body["kind"] in {"ImagePull", "ImageTag"} and not _is_there(record, reference):
            yield f"{_title(body)} succeeded, and no daemon has {reference}"
        if body["kind"] == "ImagePush":
            newest[reference] = max(body, newest.get(reference, body), key=lambda one: one["status"]["completionTime"])
    for reference, body in newest.items():
        served, said = record.left.served.get(reference), (body["status"].get("image") or {}).get("digest")
        if served != said:
            yield f"{_title(body)} says {said}, and the registry serves {served}"


def keeps_secrets(record: Record, _: Clean) -> Iterator[str]:
    """No password stands in any status, Event, log line or metric."""
    if record.left is None:
        return
    places = {
        "a status": json.dumps([state.body for state in record.states]),
        "a request's body": json.dumps([call.body for call in record.calls]),
        "an Event": json.dumps(record.left.events),
        "the log": record.left.log,
        "the metrics": record.left.metrics,
    }
    for place, text in places.items():
        if any(secret in text for secret in record.secrets):
            yield f"{place} holds a password"


ORACLES: tuple[Oracle, ...] = (
    reaches_the_end,
    ends_as_a_clean_run,
    ends_each_run_once,
    transfers_nothing_twice,
    keeps_the_conditions,
    never_goes_back,
    writes_to_its_own_object,
    makes_each_child_once,
    leaves_no_orphan,
    commits_before_replacing,
    says_what_is_there,
    keeps_secrets,
)


def _title(body: Body) -> str:
    return f"{body['kind']} {body['metadata']['name']}"


def _broken(status: Body) -> Iterator[str]:
    conditions = status.get("conditions") or ()
    true = {one["type"] for one in conditions if one["status"] == "True"}
    if {"Reconciling", "Stalled"} <= true:
        yield "Reconciling and Stalled at once"
    if any(one.get("observedGeneration") is None for one in conditions):
        yield "a condition without observedGeneration"
    if {one.get("observedGeneration") for one in conditions} - {status.get("observedGeneration")}:
        yield "a condition of another generation"
    if conditions and ("completionTime" in status) != (status.get("phase") in _ENDED):
        yield f"phase {status.get('phase')} {'with' if 'completionTime' in status else 'without'} completionTime"
    if status.get("phase") == "Succeeded" and "error" in status:
        yield "Succeeded with an error"


def _fallen(before: Body, after: Body) -> Iterator[str]:
    if after.get("run", 0) < before.get("run", 0):
        yield f"run falls from {before['run']} to {after.get('run', 0)}"
    if after.get("run") != before.get("run"):
        return
    # An attempt that has to wait after all, or never had its turn, was none: history does not tell of it either.
    last = (before.get("run"), before.get("attempts"))
    taken_back = int(all((entry.get("run"), entry.get("attempt")) != last for entry in after.get("history") or ()))
    for counter, less in (("attempts", taken_back), ("failedAttempts", 0)):
        if after.get(counter, 0) + less < before.get(counter, 0):
            yield f"{counter} falls from {before[counter]} to {after.get(counter, 0)}"
    if after.get("attempts") == before.get("attempts"):
        was, now = ((status.get("progress") or {}).get("percent") for status in (before, after))
        if was is not None and now is not None and now < was:
            yield f"percent falls from {was} to {now}"


def _tests(call: Call, path: str) -> bool:
    return any(step.get("op") == "test" and step.get("path") == path for step in call.body or ())


def _owners(state: State) -> list[str]:
    return [owner["uid"] for owner in state.body["metadata"].get("ownerReferences") or ()]


def _is_there(record: Record, reference: str) -> bool:
    tags: Any = record.left.tags.values() if record.left is not None else ()
    token = next((name for name, plain in record.names.replaced.items() if plain == "~"), "")
    return token not in reference or any(reference in held for held in tags)
