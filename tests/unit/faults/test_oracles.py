"""What the oracles see, each in a record that holds one thing wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from faults import oracles
from faults.record import Record
from faults.summary import Clean
from tests.support.trial_record import PATH, TAG, at_work, clean, pull, record, status, write

CREATE = "/v1.47/images/create?fromImage=source.example/app&tag=1"


def said(made: Record, *, expected: Clean | None = None) -> set[str]:
    """Return the names of the oracles that find something."""
    return {finding.partition(":")[0] for finding in oracles.judge(made, expected or clean())}


@pytest.mark.feature("fault.oracles")
def test_a_clean_run_has_no_findings() -> None:
    """Its progress, its end, and one call."""
    made = record(
        pull(), pull(at_work(progress={"percent": 10})), pull(at_work(progress={"percent": 90})), pull(status())
    )
    write(made, status())
    made.call("default", "POST", CREATE)
    assert oracles.judge(made, clean()) == ()


def test_what_never_ends_is_seen() -> None:
    """A story, an object at work, an open entry in a history."""
    waiting = record(pull(status()))
    waiting.unfinished = "absent"
    assert said(waiting) == {"reaches_the_end"}
    assert "reaches_the_end" in said(record(pull(at_work())))
    assert said(record(pull(status(history=[{"run": 1, "attempt": 1}])))) >= {"reaches_the_end"}


def test_another_end_is_seen() -> None:
    """Of an object, on a daemon, in a registry; after a crash what is found done is as good as done."""
    failed = status(phase="Failed", conditions=[])
    assert "ends_as_a_clean_run" in said(record(pull(failed)))
    assert said(record(pull(status()), tags={"default": frozenset({"other:1"})})) == {"ends_as_a_clean_run"}
    assert said(record(pull(status()), served={"other:1": "sha256:1"})) == {"ends_as_a_clean_run"}
    present = [{"type": "Ready", "status": "True", "reason": "AlreadyPresent", "observedGeneration": 1}]
    found = record(pull(status(conditions=present)))
    assert said(found) == {"ends_as_a_clean_run"}
    found.crashes = 1
    assert said(found) == set()


@pytest.mark.feature("status.consistent")
def test_a_second_end_of_a_run_is_seen() -> None:
    """Whether the first is taken back or written over; another run may end."""
    later = "2026-01-01T00:00:09Z"
    again = {"run": 2, "completionTime": later}
    assert said(record(pull(status()), pull(at_work()), pull(status()))) == {"ends_each_run_once"}
    assert said(record(pull(status()), pull(status(completionTime=later)))) == {"ends_each_run_once"}
    assert "ends_each_run_once" not in said(record(pull(status()), pull(at_work(run=2)), pull(status(**again))))


@pytest.mark.feature("fault.no-twice")
def test_a_transfer_too_many_is_seen() -> None:
    """One more for each crash is allowed, but none for what the daemon had finished."""
    made = record(pull(status()))
    for _ in range(2):
        made.call("default", "POST", CREATE)
    assert said(made) == {"transfers_nothing_twice"}
    made.crashes = 1
    assert said(made) == set()
    made.finished_before_crash.add(f"default {made.calls[0].label}")
    assert said(made) == {"transfers_nothing_twice"}


@pytest.mark.feature("status.consistent")
@pytest.mark.parametrize(
    "broken",
    [
        status(
            conditions=[
                {"type": kind, "status": "True", "observedGeneration": 1} for kind in ("Reconciling", "Stalled")
            ]
        ),
        status(conditions=[{"type": "Ready", "status": "True"}]),
        status(conditions=[{"type": "Ready", "status": "True", "observedGeneration": 7}]),
        status(completionTime=None),
        at_work() | {"completionTime": "2026-01-01T00:00:00Z"},
        status(error={"reason": "DaemonError"}),
    ],
    ids=["both", "no generation", "another generation", "no end", "an end", "an error"],
)
def test_a_status_that_breaks_the_contract_is_seen(broken: dict[str, object]) -> None:
    """Also one that was asked to be written and never was."""
    made = record(pull(status()))
    write(made, broken, code=422)
    assert said(made) == {"keeps_the_conditions"}
    assert "keeps_the_conditions" in said(record(pull(broken), left=[pull(status())]))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (at_work(run=2), at_work(run=1)),
        (at_work(failedAttempts=1), at_work(failedAttempts=0)),
        (at_work(attempts=1), at_work(attempts=0)),
        (at_work(progress={"percent": 50}), at_work(progress={"percent": 49})),
    ],
    ids=["run", "failures", "attempts", "percent"],
)
def test_what_falls_is_seen(before: dict[str, object], after: dict[str, object]) -> None:
    """Unless another attempt, or another run, begins."""
    assert said(record(pull(before), pull(after), left=[pull(status())])) == {"never_goes_back"}
    assert said(record(pull(before), pull(status(run=3)), left=[pull(status())])) == set()


def test_an_attempt_that_has_to_wait_is_taken_back() -> None:
    """It was none."""
    waiting = at_work(attempts=1) | {"phase": "Pending"}
    assert said(record(pull(at_work(attempts=2)), pull(waiting), left=[pull(status())])) == set()
    waiting["attempts"] = 0
    assert said(record(pull(at_work(attempts=2)), pull(waiting), left=[pull(status())])) == {"never_goes_back"}


def test_an_attempt_of_the_same_number_in_another_run_proves_nothing() -> None:
    """A first attempt that has to wait is taken back, whatever former runs did; an entry of its own says it was one."""
    before = at_work(run=2, attempts=1)
    former = [{"run": 1, "attempt": 1, "outcome": "Succeeded"}]
    waiting = at_work(run=2, attempts=0) | {"phase": "Pending", "history": former}
    assert said(record(pull(before), pull(waiting), left=[pull(status())])) == set()
    kept = waiting | {"history": [*former, {"run": 2, "attempt": 1, "outcome": "Failed"}]}
    assert said(record(pull(before), pull(kept), left=[pull(status())])) == {"never_goes_back"}


@pytest.mark.feature("status.recreated")
def test_a_status_of_another_object_is_seen() -> None:
    """By what it speaks of, and a write that could land on another by what it does not test."""
    foreign = pull(status(reference="source.example/other:1"))
    assert said(record(foreign, left=[pull(status())])) == {"writes_to_its_own_object"}
    for tested in ("uid", "resourceVersion"):
        made = record(pull(status()))
        write(made, status(), tested)
        assert said(made) == {"writes_to_its_own_object"}
        made.calls[-1].body[-1] = {"op": "add", "path": "/status/progress", "value": {"percent": 1}}
        assert said(made) == {"writes_to_its_own_object"}


@pytest.mark.feature("session.no-twin-child")
def test_twins_and_orphans_are_seen() -> None:
    """Two operations of one step, one without its owner, and one that cannot go."""
    owners = [{"uid": "uid-release", "kind": "Session"}]
    children = [pull(status(), name=f"release-ship-{digit * 10}", ownerReferences=owners) for digit in "ab"]
    session = pull(name="release", kind="Session")
    assert "makes_each_child_once" in said(record(*children, left=[pull(status())]))
    assert "leaves_no_orphan" in said(record(children[0]))
    assert "leaves_no_orphan" not in said(record(children[0], left=[session, children[0]]))
    stuck = pull(status(), deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["imageops.dev/image"])
    assert "leaves_no_orphan" in said(record(stuck))


def test_a_replacement_without_a_record_before_it_is_seen() -> None:
    """The status that names what was there has to be stored before the call."""
    replaced = status(previous={"digest": "sha256:1"})
    push = "/v1.47/images/source.example/app/push?tag=1"
    late, early = (record(pull(replaced), left=[pull(status())]) for _ in range(2))
    late.call("default", "POST", push)
    write(late, replaced)
    write(early, at_work(previous={"digest": "sha256:1"}))
    early.call("default", "POST", push)
    assert said(late) == {"commits_before_replacing"}
    assert said(early) == set()


def test_a_success_without_its_image_is_seen() -> None:
    """On no daemon, or another one in the registry."""
    mine = "source.example/t0ken:1"
    body = pull(status(reference=mine)) | {"spec": {"image": mine}}
    expected = Clean.of(record(body))
    assert said(record(body), expected=expected) == {"says_what_is_there"}
    pushed = pull(status(image={"digest": "sha256:1"}), kind="ImagePush")
    served = {TAG: "sha256:2"}
    assert said(record(pushed, served=served), expected=Clean.of(record(pushed, served=served))) == {
        "says_what_is_there"
    }


@pytest.mark.feature("fault.oracles")
@pytest.mark.parametrize("place", ["events", "log", "metrics", "states", "calls"])
def test_a_password_is_seen_wherever_it_stands(place: str) -> None:
    """In a status, a request, an Event, the log and the metrics."""
    text = "the password is hunter2"
    made = record(pull(status(message=text if place == "states" else "")))
    if place == "calls":
        made.call("api", "POST", PATH, {"spec": {"image": text}})
    elif place != "states" and made.left is not None:
        value: Any = ({"message": text},) if place == "events" else text
        made.left = replace(made.left, **{place: value})
    assert said(made) == {"keeps_secrets"}
