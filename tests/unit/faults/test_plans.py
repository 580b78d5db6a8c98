"""How plans are numbered, drawn, and reported."""

from __future__ import annotations

from collections import Counter

import pytest

from faults import report
from faults.classes import CLASSES, all_plans
from faults.defects import DEFECTS
from faults.oracles import ORACLES
from faults.plans import sample
from faults.planted import PLANTED
from faults.record import Names, Record
from faults.reference import Reference, event_names
from tests.support.trial_record import PATH, pull, record, status

NUMBERS_OF_A_CLASS = 1000


def test_every_number_is_that_of_one_plan() -> None:
    """Classes have a thousand each, and do not meet."""
    plans = all_plans(Reference.load())
    numbers = Counter(plan.number for each in plans.values() for plan in each)
    assert set(numbers.values()) == {1}
    for group, each in plans.items():
        assert all(group.first <= plan.number < group.first + NUMBERS_OF_A_CLASS for plan in each)
    assert len({group.name for group in CLASSES}) == len(CLASSES)


@pytest.mark.feature("fault.crash-plans", "fault.stale-plans")
def test_there_are_plans_enough() -> None:
    """At least 200 crashes, and 100 stale or unobserved states."""
    counts = {group.name: len(plans) for group, plans in all_plans(Reference.load()).items()}
    assert counts["crash"] >= 200
    assert counts["unobserved"] + counts["stale"] >= 100


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    """In order, without repetition, and not that of another seed."""
    plans = [plan for each in all_plans(Reference.load()).values() for plan in each]
    first, again, other = (sample(plans, 60, seed) for seed in (1, 1, 2))
    numbers = [plan.number for plan in first]
    assert (len(first), numbers) == (60, sorted(set(numbers)))
    assert first == again != other


@pytest.mark.feature("fault.oracles")
def test_every_defect_has_a_plan_and_an_oracle() -> None:
    """At least twelve."""
    assert [one.defect for one in PLANTED] == [defect.name for defect in DEFECTS]
    assert {one.oracle for one in PLANTED} <= {oracle.__name__ for oracle in ORACLES}
    assert len(PLANTED) >= 12


def test_requests_have_the_same_names_in_every_trial() -> None:
    """Without ports, tokens, API versions, and the hashes of children."""
    made = Record(Names({"t0ken": "~", "127.0.0.1:5000": "source"}))
    calls = [
        made.call("default", "GET", "/v1.47/images/127.0.0.1:5000/faults/t0ken:a/json"),
        made.call("api", "PATCH", f"{PATH}/release-ship-0123456789/status", []),
        made.call("api", "POST", PATH, {"metadata": {"name": "release-ship-0123456789"}}),
        made.call(
            "api", "POST", "/api/v1/namespaces/faults-t/events", {"involvedObject": {"name": "a"}, "reason": "Pulled"}
        ),
        made.call("api", "GET", f"{PATH}/a"),
        made.call("api", "GET", f"{PATH}/a"),
    ]
    assert [call.name for call in calls] == [
        "default GET /images/source/faults/~:a/json #1",
        "api PATCH imagepulls/release-ship-*/status #1",
        "api POST imagepulls/release-ship-* #1",
        "api POST events a: Pulled #1",
        "api GET imagepulls/a #1",
        "api GET imagepulls/a #2",
    ]
    assert [call.numbered for call in calls] == [True, True, True, True, False, False]


def test_a_reference_holds_what_all_clean_runs_have() -> None:
    """Events are numbered by object."""
    long, short = record(pull(), pull(status()), pull(status())), record(pull(), pull(status()))
    assert list(event_names(long)) == [f"imagepulls/app MODIFIED #{number}" for number in (1, 2, 3)]
    assert Reference.of([long, short]).events == ("imagepulls/app MODIFIED #1", "imagepulls/app MODIFIED #2")


def test_the_report_counts_what_was_run_and_names_what_failed() -> None:
    """A result whose number belongs to another plan by now is left out."""
    plans = all_plans(Reference.load())
    crash = next(each for group, each in plans.items() if group.name == "crash")
    result = {"passed": True, "reached": True, "crashes": 1, "seconds": 30.0, "findings": [], "taken": "2026-01-01"}
    results = {
        str(crash[0].number): {**result, "title": crash[0].title},
        str(crash[1].number): {**result, "title": crash[1].title, "passed": False, "findings": ["it hangs"]},
        str(crash[2].number): {**result, "title": crash[2].title, "passed": False, "reached": False},
        str(crash[3].number): {**result, "title": "something else"},
    }
    notes = {"found": [{"class": "crash", "what": "It hung.", "fixed": "Mended in core."}], "alarms": []}
    page = report.render(results, notes, plans)
    assert f"| `crash` | 1 to {len(crash)} | {len(crash)} | 3 | 1 | 1 | 1 | 3 | 2 | 2026-01-01 |" in page
    assert f"* {crash[1].title}: it hangs" in page
    assert "* `crash`: It hung. Mended in core." in page
