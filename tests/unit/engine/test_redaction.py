from __future__ import annotations

import base64
import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from imageops.engine.redaction import MAX_OUTPUT, redact, without_credentials

CANARY = st.text("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=12, max_size=40).map(
    "Zq7".__add__
)
PLACES = [
    'Get "https://blobs.test/x?X-Amz-Credential={}&X-Amz-Signature=1": dial tcp 10.1.2.3:443: connection refused',
    "unexpected status from GET request to http://user:{}@host.test/v2/: 403 Forbidden",
    "http://host.test/{}/part",
    "error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: \"<html>{}</html>\"",
    "response body: {}",
    "Server message: nothing {} to see",
    "Authorization: Bearer {}",
    "Authorization: Basic {}",
    '{{"access_token":"{}","expires_in":300}}',
    '{{\\"password\\":\\"{}\\"}}',
    "password={}&x=1",
    "sig={}",
    "identitytoken: '{} with spaces'",
    "api_key = {}",
    "robot:{}@registry.test",
    "lookup {}.internal.test on 10.0.0.53:53: no such host",
    "the key is AKIA{}",
    "token {}",
    "\x1b[31mpassword\x1b[0m={}",
    "pass\u200bword={}",
    "\x9b Server message: nothing {} to see",
    "\x1bServer message: nothing {} to see",
]
"""Where a secret has been seen, or could be, in an Engine's error."""


@pytest.mark.feature("error.canary")
@settings(max_examples=600)
@example("Zq7222222222222", "Server message: nothing {} to see", "\x9b", "")
@example("Zq7222222222222", "Server message: nothing {} to see", "\x1b[", "")
@given(CANARY, st.sampled_from(PLACES), st.text(max_size=40), st.text(max_size=40))
def test_a_secret_in_any_known_place_is_gone(canary: str, place: str, before: str, after: str) -> None:
    """Wherever an error carries a secret in a form that shows it to be one, the log does not."""
    assert canary not in redact(f"{before} {place.format(canary)} {after}")


@pytest.mark.feature("error.canary")
@settings(max_examples=300)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x17F, exclude_categories=("C", "Z")), min_size=6))
def test_a_known_secret_is_gone_in_every_spelling(secret: str) -> None:
    """The credential in use is taken out wherever it stands, plain, quoted for a URL or in base64."""
    assume(secret not in "refused for [removed] [token] [url] now")
    raw = secret.encode()
    spellings = [secret, quote(raw, safe=""), base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()]
    for spelling in spellings:
        assert spelling not in redact(f"refused for {spelling} now", [secret])


@pytest.mark.feature("error.canary")
@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("correct-horse\n", "refused for correct-horse now"),
        ("correct\x14horse", "refused for correct\x14horse now"),
        ('correct"horse', r'{"refused":"correct\"horse"}'),
        ("correct-horse-battery", f"{'a' * 8180}correct-horse-battery"),
        ("correct-horse-battery", f"http://x/{'a' * 8170} correct-horse-battery"),
    ],
    ids=["line end", "control character", "in JSON", "cut at the end", "cut and moved into view"],
)
def test_a_known_secret_is_gone_in_every_form(secret: str, text: str) -> None:
    """Neither the line end that a Secret has, nor escapes, nor the cut at 8 KiB leave more of it than a few letters."""
    output = redact(text, [secret])
    assert "correct" not in output
    assert "horse" not in output


@pytest.mark.feature("fault.fuzz")
@given(st.text(st.characters(), max_size=5000))
def test_output_is_one_short_printable_line(text: str) -> None:
    """No control character, no bidirectional mark, no lone surrogate and not more than 2 KiB come out."""
    output = redact(text)
    assert len(output) <= MAX_OUTPUT
    assert not [char for char in output if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    output.encode()


def test_the_length_of_the_input_does_not_matter() -> None:
    """A megabyte costs no more than the part that is looked at."""
    assert len(redact("denied " * 200_000)) <= MAX_OUTPUT


@pytest.mark.feature("tenancy.no-echo")
@pytest.mark.parametrize(
    "text",
    [
        'Get "http://10.0.0.7:8080/latest/meta-data?x=1": dial tcp 10.0.0.7:8080: connect: connection refused',
        'Head "https://internal.test/v2/": dial tcp: lookup internal.test on 10.0.0.7:53: no such host',
        "read tcp 10.0.0.7:60644->10.0.0.7:44297: read: connection reset by peer",
        'Get "https://[fd00::7]:443/v2/": dial tcp [fd00::7]:443: i/o timeout',
    ],
)
def test_addresses_do_not_get_through(text: str) -> None:
    """Neither URL nor address nor internal name is left of a network error; what happened is."""
    output = redact(text)
    assert not [word for word in ("10.0.0.7", "internal.test", "meta-data", "fd00") if word in output]
    assert output.rsplit(":", 1)[1] == text.rsplit(":", 1)[1]


@pytest.mark.parametrize(
    "text",
    [
        "manifest unknown: manifest unknown",
        "manifest for registry.test/team/app:v1 not found",
        "no matching manifest for linux/arm64/v8 in the manifest list entries",
        "filesystem layer verification failed for digest sha256:" + "0a" * 32,
        "toomanyrequests: You have reached your pull rate limit.",
        "write /var/lib/docker/tmp/x: no space left on device",
        "x509: certificate signed by unknown authority",
    ],
)
def test_harmless_words_stay(text: str) -> None:
    """What an administrator turned DEBUG on for is still there."""
    assert redact(text) == text


@pytest.mark.feature("error.canary")
@settings(max_examples=300)
@given(
    CANARY,
    st.sampled_from(
        [
            "see https://user:{}@policy.example/rules",
            "see https://policy.example/rules?key={}",
            "Authorization: Bearer {}",
            "send Basic {}",
            "password={}",
            '{{"access_token":"{}"}}',
            "the key is AKIA{}",
            "pass\u200bword={}",
        ]
    ),
)
def test_a_credential_in_what_the_api_server_says_is_gone(canary: str, place: str) -> None:
    """Users read this text, and an admission policy may put anything into it."""
    assert canary * 2 not in without_credentials(place.format(canary * 2))


@pytest.mark.parametrize(
    "text",
    [
        "ValidatingAdmissionPolicy 'signed-images-2026-production' with binding 'all' denied request: no digest given",
        "registry.example/team/app:1@sha256:" + "0a" * 32 + " has no signature; use basic authentication",
        'User "system:serviceaccount:imageops-system:imageops" cannot create resource "imagepulls" in API group',
        "exceeded quota: q, requested: count/imagepulls.imageops.dev=1, used: count/imagepulls.imageops.dev=5",
        'failed calling webhook "x.example": dial tcp 10.0.0.7:443: connect: connection refused',
    ],
)
def test_what_the_api_server_says_stays_readable(text: str) -> None:
    """Names of objects, images and addresses are what a person looks for in it."""
    assert without_credentials(text) == text
