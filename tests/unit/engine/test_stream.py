from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageops.api.errors import OperationError
from imageops.api.progress import LayerRecord, LayerState
from imageops.api.reasons import Reason
from imageops.engine.stream import MAX_RECORD_BYTES, LineSplitter, read_records

TEXT = st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
ODD_RECORD = st.dictionaries(
    st.sampled_from(["id", "status", "progressDetail", "progress", "errorDetail", "error", "aux", "stream"]), JSON
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at places that may lie anywhere."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def parse_one(record: dict[str, Any]) -> LayerRecord | None:
    """Read a stream of one record and return what it says about a layer."""
    (parsed,) = read_records([json.dumps(record).encode() + b"\r\n"])
    return parsed.layer


@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=8), st.lists(st.integers(0)))
def test_lines_do_not_depend_on_how_the_network_cuts_them(lines: list[bytes], places: list[int]) -> None:
    """Any cutting of a stream gives the same lines, and what follows the last line end is not one."""
    splitter = LineSplitter()
    data = b"".join(line + b"\n" for line in lines) + b"rest"
    found = [line.data for piece in cut(data, places) for line in splitter.feed(piece)]
    assert found == lines
    assert splitter.unfinished


@given(st.integers(1, 9), st.lists(st.integers(0), max_size=6))
def test_a_long_line_is_never_held_whole(times: int, places: list[int]) -> None:
    """However long a line is, 64 KiB of it are kept, and the line after it is read as usual."""
    splitter = LineSplitter()
    data = b"x" * (times * MAX_RECORD_BYTES + 1) + b"\nshort\n"
    found = [line for piece in cut(data, places) for line in splitter.feed(piece)]
    assert [(len(line.data), line.cut) for line in found] == [(MAX_RECORD_BYTES, True), (5, False)]


@given(st.lists(ODD_RECORD, max_size=6), st.lists(st.integers(0), max_size=6))
def test_odd_records_are_read_without_an_unexpected_error(values: list[dict[str, Any]], places: list[int]) -> None:
    """Objects with fields of any type give records whose counts are sane."""
    data = b"".join(json.dumps(value).encode() + b"\r\n" for value in values)
    for record in read_records(cut(data, places)):
        if record.layer is not None:
            assert record.layer.current is None or record.layer.current >= 0
            assert record.layer.total is None or record.layer.total > 0


@pytest.mark.feature("fault.fuzz")
@given(st.lists(st.binary(max_size=300), max_size=6))
def test_any_bytes_are_records_or_an_operation_error(chunks: list[bytes]) -> None:
    """Nonsense ends as DaemonError or DaemonConnectionLost, never as another exception."""
    try:
        list(read_records(chunks))
    except OperationError as error:
        assert error.reason in {Reason.DAEMON_ERROR, Reason.DAEMON_CONNECTION_LOST}  # noqa: PT017 - both ends are fine


@pytest.mark.feature("pull.positive-end")
@pytest.mark.parametrize("rest", [b'{"status":"Sta', b'{"status":"Status: Image is up to date for x"}', b"x"])
def test_half_a_line_is_a_lost_connection(rest: bytes) -> None:
    """What has no line end was cut off, even if it could be read."""
    with pytest.raises(OperationError) as caught:
        list(read_records([b'{"status":"a"}\r\n', rest]))
    assert caught.value.reason is Reason.DAEMON_CONNECTION_LOST


@pytest.mark.parametrize(
    "line",
    [b"<html>", b"[]", b"3", b'"text"', b"null", b"{]", b"[" * 60_000, b"\xff\xfe", b"9" * 5000, b"x" * 70_000],
    ids=["page", "list", "number", "text", "null", "broken", "deep", "no-utf8", "huge-number", "long"],
)
def test_a_line_that_is_no_record_is_a_daemon_error(line: bytes) -> None:
    """Whole lines of nonsense are not taken for a broken connection."""
    with pytest.raises(OperationError) as caught:
        list(read_records([line + b"\n"]))
    assert caught.value.reason is Reason.DAEMON_ERROR


def test_blank_lines_and_a_trailing_line_end_mean_nothing() -> None:
    """White space between and after records is skipped."""
    assert [record.status for record in read_records([b'\r\n{"status":"a"}\r\n', b"\r\n  "])] == ["a"]


def test_an_error_longer_than_a_record_keeps_its_beginning() -> None:
    """A registry's megabyte in an errorDetail is still an error, of which 64 KiB are read."""
    line = json.dumps({"errorDetail": {"message": "denied: " + "a" * 1_000_000}, "error": "x"}).encode() + b"\r\n"
    (record,) = read_records([line])
    assert record.error is not None
    assert record.error.startswith("denied: aaa")
    assert len(record.error) < MAX_RECORD_BYTES


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"errorDetail": {"message": "m", "code": 1}, "error": "m"}, "m"),
        ({"errorDetail": {"message": "m"}}, "m"),
        ({"error": "m"}, "m"),
        ({"errorDetail": {}}, ""),
        ({"errorDetail": {"message": 3}}, ""),
        ({"error": 3}, ""),
        ({"status": "fine"}, None),
    ],
)
def test_every_form_of_an_error_is_one(record: dict[str, Any], expected: str | None) -> None:
    """An error without readable words is an error all the same."""
    (parsed,) = read_records([json.dumps(record).encode() + b"\n"])
    assert parsed.error == expected


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("Pulling fs layer", LayerState.WAITING),
        ("Waiting", LayerState.WAITING),
        ("Downloading", LayerState.DOWNLOADING),
        ("Verifying Checksum", LayerState.VERIFYING),
        ("Download complete", LayerState.DOWNLOADED),
        ("Extracting", LayerState.EXTRACTING),
        ("Pull complete", LayerState.COMPLETE),
        ("Already exists", LayerState.EXISTS),
        ("Retrying in 5 seconds", LayerState.RETRYING),
        ("Preparing", LayerState.PREPARING),
        ("Pushing", LayerState.UPLOADING),
        ("Pushed", LayerState.UPLOADED),
        ("Layer already exists", LayerState.EXISTS),
        ("Mounted from team/base", LayerState.MOUNTED),
        ("Unavailable", LayerState.UNAVAILABLE),
        ("Skipped foreign layer", LayerState.UNAVAILABLE),
    ],
)
def test_the_words_of_both_engines_become_neutral_states(status: str, state: LayerState) -> None:
    """Each status line about a layer has its state."""
    assert parse_one({"id": "6effb16b771c", "status": status, "progressDetail": {}}) == LayerRecord(
        "6effb16b771c", state
    )


@pytest.mark.parametrize(
    "record",
    [
        {"id": "v1", "status": "Pulling from team/app"},
        {"status": "Downloading", "progressDetail": {"current": 1, "total": 2}},
        {"id": "../../etc", "status": "Downloading"},
        {"id": "a" * 200, "status": "Downloading"},
        {"id": "a\u202eb", "status": "Downloading"},
    ],
    ids=["about the image", "no id", "odd id", "long id", "bidi id"],
)
def test_records_about_no_layer_give_none(record: dict[str, Any]) -> None:
    """Only a known status with a plain id speaks of a layer."""
    assert parse_one(record) is None


@pytest.mark.parametrize(
    ("detail", "current", "total"),
    [
        ({"current": 5, "total": 10}, 5, 10),
        ({"current": 5}, 5, None),
        ({"current": 5, "total": 0}, 5, None),
        ({"current": 7, "units": "s"}, None, None),
        ({"current": -1, "total": -1}, None, None),
        ({"current": True, "total": 1.5}, None, None),
        ({"current": 2**64, "total": 10**400}, None, None),
        (None, None, None),
        ([1], None, None),
    ],
)
def test_counts_are_bytes_or_absent(detail: object, current: int | None, total: int | None) -> None:
    """Seconds, negative, huge and other numbers than integers are dropped."""
    expected = LayerRecord("a", LayerState.EXTRACTING, current, total)
    assert parse_one({"id": "a", "status": "Extracting", "progressDetail": detail}) == expected
