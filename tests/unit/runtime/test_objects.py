from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, SESSION, Kind
from imageops.api.reasons import Reason
from imageops.api.session_status import SessionStatus
from imageops.api.status import OperationStatus
from imageops.core.spechash import SpecHash
from imageops.runtime.objects import FINALIZER, Entry, ObjectStore, is_newer, met, read, read_status
from tests.support.builders import IMAGE_ID, NOW, OPERATION_SPECS, pull_step


def body(spec: Any, **metadata: Any) -> dict[str, Any]:
    """Make an object as the API server delivers it."""
    return {"metadata": {"name": "app", "namespace": "team", "uid": "u", "generation": 3} | metadata, "spec": spec}


@pytest.mark.parametrize(
    ("kind", "spec", "references", "tool"),
    [
        (IMAGE_PULL, {"image": "nginx"}, {"reference": "docker.io/library/nginx:latest"}, "pull"),
        (IMAGE_PUSH, {"image": "a.example/x"}, {"reference": "a.example/x:latest"}, "push"),
        (
            IMAGE_TAG,
            {"source": "a:1", "target": "b:2"},
            {"reference": "docker.io/library/b:2", "source_reference": "docker.io/library/a:1"},
            "tag",
        ),
        (
            IMAGE_TAG,
            {"source": IMAGE_ID, "target": "b:2"},
            {"reference": "docker.io/library/b:2", "source_reference": IMAGE_ID},
            "tag",
        ),
        (SESSION, {"steps": [pull_step("a")]}, {}, ""),
    ],
)
def test_an_object_is_read_into_what_decisions_need(kind: Kind, spec: Any, references: Any, tool: str) -> None:
    """References are normalised, and the arguments of the tool shown."""
    reading = read(kind, body(spec))
    assert (reading.error, reading.references, reading.tool) == (None, references, tool)
    assert bool(reading.arguments) == bool(tool)
    assert reading.spec is not None
    assert reading.spec_hash == SpecHash.of(reading.spec)


@pytest.mark.feature("admission.second-gate")
@pytest.mark.parametrize(
    ("kind", "spec", "reason", "parsed"),
    [
        (IMAGE_PULL, {"image": "a/UPPER"}, Reason.INVALID_REFERENCE, True),
        (IMAGE_TAG, {"source": "a:1", "target": "docker.io/library/a:1"}, Reason.INVALID_SPEC, True),
        (IMAGE_PULL, {}, Reason.INVALID_SPEC, False),
        (IMAGE_PULL, {"image": "a", "surprise": 1}, Reason.INVALID_SPEC, False),
        (IMAGE_PULL, {"image": 7}, Reason.INVALID_SPEC, False),
        (SESSION, {"steps": [{"name": "a"}]}, Reason.INVALID_SPEC, True),
        (SESSION, {"steps": [pull_step("a", run_after=["a"])]}, Reason.INVALID_SPEC, True),
    ],
)
def test_a_spec_of_no_use_is_an_error_and_no_crash(kind: Kind, spec: Any, reason: Reason, *, parsed: bool) -> None:
    """Its hash still tells when it changes."""
    reading = read(kind, body(spec))
    assert reading.error is not None
    assert (reading.error.reason, reading.spec is not None) == (reason, parsed)
    other = read(kind, body({**spec, "dryRun": True}))
    assert other.spec_hash != reading.spec_hash
    assert (reading.arguments, reading.references) == ({}, {})


def test_metadata_that_people_write_is_read() -> None:
    """Tokens, owners, marks of GitOps tools, our finalizer, a deletion."""
    annotations = {"imageops.dev/requestedAt": "t1", "imageops.dev/retryFailedAt": "t2"}
    plain = read(IMAGE_PULL, body({"image": "a", "sessionRef": {"name": "release"}}, annotations=annotations))
    assert (plain.requested_at, plain.retry_failed_at, plain.session_name) == ("t1", "t2", "release")
    assert (plain.managed, plain.finalizer, plain.deleting, plain.deleted_at) == (False, False, False, None)
    marked = read(
        IMAGE_PULL,
        body(
            {"image": "a", "sessionRef": "odd"},
            finalizers=[FINALIZER],
            deletionTimestamp="2026-01-02T03:04:05Z",
            ownerReferences=[{"uid": "o"}, {}],
        ),
    )
    assert (marked.finalizer, marked.deleting, set(marked.owners)) == (True, True, {"o", ""})
    assert marked.session_name is None
    assert marked.deleted_at is not None


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {"argocd.argoproj.io/tracking-id": "x"}},
        {"annotations": {"meta.helm.sh/release-name": "x"}},
        {"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}},
        {"labels": {"helm.toolkit.fluxcd.io/name": "x"}},
    ],
)
def test_the_marks_of_gitops_tools_are_known(metadata: dict[str, Any]) -> None:
    """By their keys."""
    assert read(IMAGE_PULL, body({"image": "a"}, **metadata)).managed


@pytest.mark.feature("gitops.ttl")
def test_an_administrator_names_further_marks() -> None:
    """Labels and annotations alike."""
    marks = frozenset({"tool.example/owner"})
    for place in ("labels", "annotations"):
        reading = read(IMAGE_PULL, body({"image": "a"}, **{place: {"tool.example/owner": "x", "other": "y"}}))
        assert (reading.managed, reading.carries(marks), reading.carries(frozenset())) == (False, True, False)
    assert not read(IMAGE_PULL, body({"image": "a"})).carries(marks)


@pytest.mark.parametrize("name", ["generation", "annotations", "labels", "ownerReferences", "finalizers"])
def test_an_object_is_read_again_only_if_people_changed_it(name: str) -> None:
    """A status of our own changes none of it."""
    before = body({"image": "a"}, resourceVersion="1")
    reading = read(IMAGE_PULL, before)
    assert reading.covers(before["metadata"] | {"resourceVersion": "2", "managedFields": []})
    assert not reading.covers(before["metadata"] | {name: "other"})


def test_a_status_that_nobody_can_read_counts_as_none() -> None:
    """Of a newer operator, say; unknown fields are no reason."""
    assert read_status(IMAGE_PULL, {"run": "many"}) == OperationStatus()
    assert read_status(IMAGE_PULL, {"run": 2, "surprise": 1}) == OperationStatus(run=2)
    assert read_status(SESSION, {"run": 2}) == SessionStatus(run=2)


@pytest.mark.parametrize(
    ("version", "than", "newer"),
    [("10", "9", True), ("9", "10", False), ("9", "9", False), ("x", "9", True), ("x", "x", False)],
)
def test_versions_are_compared_as_numbers(version: str, than: str, *, newer: bool) -> None:
    """Where they are such."""
    assert is_newer(version, than) is newer


def entry(kind: Kind, name: str, uid: str, **spec: Any) -> Entry:
    """Make an object of the store."""
    base = OPERATION_SPECS.get(kind.kind, {"steps": [pull_step("a")]})
    metadata = {"name": name, "uid": uid, "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return met(kind, body(base | spec, **metadata), began=NOW, now=NOW)


@pytest.mark.parametrize(("seconds", "confirmed"), [(-3_600, False), (0, False), (1, True)])
def test_what_was_made_before_this_process_may_be_a_view_of_the_past(seconds: int, *, confirmed: bool) -> None:
    """Only what is newer than the process was never anybody else's."""
    made = (NOW + timedelta(seconds=seconds)).isoformat()
    found = body(OPERATION_SPECS["ImagePull"], resourceVersion="1", creationTimestamp=made)
    assert met(IMAGE_PULL, found, began=NOW, now=NOW).confirmed is confirmed


def test_the_store_finds_objects_by_uid_name_and_session() -> None:
    """A Session made anew under an old name does not lose its place to the old one's removal."""
    store = ObjectStore()
    old, new = entry(SESSION, "release", "s1"), entry(SESSION, "release", "s2")
    one = entry(IMAGE_PULL, "a", "p1", sessionRef={"name": "release"})
    alone = entry(IMAGE_PULL, "b", "p2")
    for each in (old, one, alone, new):
        store.add(each)
    assert (store.get("p1"), store.get("none")) == (one, None)
    assert store.session("team", "release") is new
    assert (store.session_of(one), store.session_of(alone)) == (new, None)
    assert store.members(new) == [one]
    assert store.members(alone) == []
    store.remove(old)
    assert store.session("team", "release") is new
    for each in (new, one, alone):
        store.remove(each)
    assert list(store) == []
    assert store.members(new) == []
