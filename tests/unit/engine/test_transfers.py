from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageops.engine.protocol import Receipt
from imageops.engine.stream import read_records
from imageops.engine.transfers import PullReceiptReader, PushReceiptReader

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
PULLED = {"status": f"Digest: {DIGEST}"}
NEW = {"status": "Status: Downloaded newer image for registry.test/app:1"}
WARNING = {"status": "WARNING: image with reference registry.test/app:1 was found but its platform does not match"}
SAME = {"status": "Status: Image is up to date for registry.test/app:1"}
FULL = {"id": "6effb16b771c", "status": "Downloading", "progressDetail": {"current": 9, "total": 9}}
DONE = {"status": f"v1: digest: {DIGEST} size: 419"}
AUX = {"aux": {"Tag": "v1", "Digest": DIGEST, "Size": 419}}


def pull(*values: dict[str, Any]) -> Receipt | None:
    """Judge a pull's stream."""
    outcome = PullReceiptReader()
    for record in read_records(json.dumps(value).encode() + b"\n" for value in values):
        outcome.take(record)
    return outcome.receipt()


def push(*values: dict[str, Any]) -> Receipt | None:
    """Judge the stream of a push of tag v1."""
    outcome = PushReceiptReader("v1")
    for record in read_records(json.dumps(value).encode() + b"\n" for value in values):
        outcome.take(record)
    return outcome.receipt()


@pytest.mark.feature("pull.positive-end")
def test_a_pull_is_done_by_digest_and_status() -> None:
    """Both last lines make a receipt, whether a reference was changed or not."""
    assert pull(FULL, PULLED, NEW) == Receipt(DIGEST)
    assert pull(PULLED, SAME) == Receipt(DIGEST)


@pytest.mark.feature("pull.positive-end")
def test_a_warning_after_the_end_takes_nothing_back() -> None:
    """Engine 28.5 warns of another platform than asked, which the look at the image finds; it is no end by itself."""
    assert pull(PULLED, NEW, WARNING) == Receipt(DIGEST)
    assert pull(FULL, PULLED, WARNING) is None
    assert pull(FULL, WARNING) is None


@pytest.mark.feature("pull.positive-end")
@pytest.mark.parametrize(
    "values",
    [
        [],
        [FULL],
        [PULLED],
        [NEW],
        [FULL, NEW],
        [PULLED, NEW, {"status": "Pulling from app"}],
        [{"status": "Digest: sha256:short"}, NEW],
        [{"id": "v1", **PULLED}, NEW],
        [PULLED, {"id": "v1", **NEW}],
        [PULLED, {"status": "Status: something else"}],
        [{"status": f"x {PULLED['status']}"}, NEW],
    ],
    ids=["empty", "100 %", "no status", "no digest", "layers", "goes on", "short", "id", "id 2", "other", "inner"],
)
def test_less_than_that_is_no_success(values: list[dict[str, Any]]) -> None:
    """100 % of all layers, one line of the two, or words in the wrong place are not the end of a pull."""
    assert pull(*values) is None


@pytest.mark.feature("push.digest-forms")
@pytest.mark.parametrize("values", [[DONE], [AUX], [DONE, AUX], [AUX, DONE]], ids=["29", "aux", "20.10", "turned"])
def test_a_push_is_done_by_its_digest(values: list[dict[str, Any]]) -> None:
    """The digest of Engine 29's status line and of 20.10's aux are the same receipt."""
    assert push(*values) == Receipt(DIGEST)


def test_a_push_of_one_manifest_instead_of_an_index_is_done_by_its_digest() -> None:
    """What Engine 29 tells besides where it could not push the whole index is no digest."""
    receipt = push({"aux": {"manifestPushedInsteadOfIndex": True, "originalIndex": {}, "selectedManifest": {}}}, DONE)
    assert receipt == Receipt(DIGEST)


@pytest.mark.feature("push.digest-forms")
@pytest.mark.parametrize(
    "values",
    [
        [],
        [{"id": "a", "status": "Pushed", "progressDetail": {"current": 9, "total": 9}}],
        [{"status": f"v2: digest: {DIGEST} size: 419"}],
        [{"status": f"v1: digest: {DIGEST}"}],
        [{"status": f"v1: digest: {DIGEST} size: 419 "}],
        [{"status": "v1: digest: sha256:short size: 419"}],
        [{"id": "v1", **DONE}],
        [{"aux": {"Tag": "v2", "Digest": DIGEST, "Size": 419}}],
        [{"aux": {"Tag": "v1", "Digest": 3, "Size": 419}}],
        [{"aux": {"Tag": "v1", "Digest": DIGEST, "Size": "419"}}],
        [DONE, {"aux": {"Tag": "v1", "Digest": OTHER, "Size": 419}}],
    ],
)
def test_a_push_without_exactly_one_digest_is_none(values: list[dict[str, Any]]) -> None:
    """Another tag's digest, half a line or two different digests are no success."""
    assert push(*values) is None


def test_a_tag_is_no_pattern() -> None:
    """The dots of a tag are dots."""
    outcome = PushReceiptReader("1.2")
    for record in read_records([json.dumps({"status": f"1x2: digest: {DIGEST} size: 1"}).encode() + b"\n"]):
        outcome.take(record)
    assert outcome.receipt() is None


@given(st.lists(st.sampled_from([FULL, PULLED, NEW, SAME, {"status": "noise"}, {"id": "a", "status": "Pulled"}])))
def test_no_order_of_records_is_a_pull_unless_it_ends_so(values: list[dict[str, Any]]) -> None:
    """In any order of lines success needs the digest before, and the status as the last word about the image."""
    about_image = [value for value in values if "id" not in value]
    done = bool(about_image) and about_image[-1] in (NEW, SAME) and PULLED in about_image
    assert (pull(*values) is not None) is done
