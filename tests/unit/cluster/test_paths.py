from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageops.cluster.paths import ApiPath, InvalidNameError, is_object_name

BASE = ApiPath.of("api", "v1", "namespaces", "team-b", "secrets")
NO_NAMES = [
    "",
    ".",
    "..",
    "../../team-a/secrets/regcred",
    "..%2f..%2fteam-a%2fsecrets%2fregcred",
    "%2e%2e",
    "a/b",
    "/a",
    "a?watch=true",
    "a#b",
    "a;b",
    "a\\..\\b",
    "a b",
    "a\n",
    "\na",
    "a\x00",
    "A",
    "ä",
    "a..b",
    "a.",
    "-a",
    "a_b",
    "a" * 254,
    "\u2024\u2024",
    "regcred/status",
]


@pytest.mark.feature("cred.own-namespace")
@pytest.mark.parametrize("text", NO_NAMES)
def test_what_is_no_name_becomes_no_part_of_a_path(text: str) -> None:
    """Neither spelled out nor encoded; the error does not repeat it."""
    assert not is_object_name(text)
    with pytest.raises(InvalidNameError) as caught:
        BASE / text
    assert not text or text not in str(caught.value)


@pytest.mark.feature("cred.own-namespace")
@given(st.text(max_size=300))
def test_a_segment_adds_exactly_one_part(text: str) -> None:
    """Whatever is taken leads to a child of the path, as every reader of a URL understands it."""
    if is_object_name(text):
        assert str(BASE / text) == f"/api/v1/namespaces/team-b/secrets/{text}"
        assert not {"/", "%", "?", "#", "\\"} & set(text)
        assert text not in {".", ".."}


@pytest.mark.parametrize("name", ["a", "regcred", "a.b-c.0", "a" * 253, "0"])
def test_names_of_kubernetes_are_taken(name: str) -> None:
    """Every DNS subdomain of RFC 1123."""
    assert str(BASE / name).endswith(f"/{name}")
