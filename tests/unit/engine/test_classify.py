from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imageops.api.reasons import Reason, ReasonClass
from imageops.api.references import Reference
from imageops.engine.classify import MAX_TEXT, classify, retry_after, unreadable
from imageops.engine.words import Call
from tests.support.registry_answers import answers

USUAL = "127.0.0.1:5000/team/app:v1"


@dataclass(frozen=True, slots=True)
class Message:
    """What an engine really said, and what it has to be taken for."""

    engine: str
    case: str
    operation: str
    status: int | None
    text: str
    reason: str
    reference: str = USUAL
    product: str = ""

    @property
    def classified(self) -> Reason:
        """Classify it as the engine does."""
        return classify(Call(self.operation), self.status, self.text, reference=Reference.parse(self.reference)).reason


MESSAGES = [
    Message(engine=path.stem.replace("registries", "engine"), **entry)
    for path in sorted(Path(__file__).with_name("messages").glob("*.yaml"))
    for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
]


@pytest.mark.feature("error.mapping")
@pytest.mark.parametrize(
    "message", MESSAGES, ids=lambda message: f"{message.engine}-{message.operation}-{message.product}-{message.case}"
)
def test_recorded_messages_have_their_reason(message: Message) -> None:
    """Each message that an engine gave is taken for what was wrong."""
    assert message.classified == message.reason


@pytest.mark.feature("error.mapping")
def test_enough_was_recorded() -> None:
    """There are hundreds of messages, of all engines and of all products, and of every call that asks a registry."""
    assert len(MESSAGES) >= 120 + 80
    assert {message.engine for message in MESSAGES} == {"engine-20.10", "engine-28.5", "engine-29"}
    assert {message.operation for message in MESSAGES} >= {Call.PULL, Call.PUSH, Call.TAG, Call.DISTRIBUTION}
    assert {message.product for message in MESSAGES if message.product} == {answer.product for answer in answers()}


@pytest.mark.feature("error.public-reports")
def test_no_answer_of_a_known_product_is_a_daemon_error() -> None:
    """The daemon is not at fault where a registry, or what stands before it, has refused."""
    assert [message for message in MESSAGES if message.product and message.reason == Reason.DAEMON_ERROR] == []


@pytest.mark.feature("error.public-reports")
@pytest.mark.parametrize(
    ("call", "text", "reason", "words"),
    [
        (
            Call.PULL,
            'Get "https://registry.example/v2/": Proxy Authentication Required',
            Reason.REGISTRY_UNAVAILABLE,
            "own proxy",
        ),
        (Call.PULL, 'Get "https://registry.example/v2/": Forbidden', Reason.REGISTRY_UNAVAILABLE, "own proxy"),
        (
            Call.PULL,
            "unknown: failed to copy: unexpected status from GET request to https://a.test/sha256/b?sig=0: 403",
            Reason.REGISTRY_UNAVAILABLE,
            "storage",
        ),
        (Call.PUSH, "name unknown: repository name not known to registry", Reason.IMAGE_NOT_FOUND, "Create"),
        (Call.PULL, "layers from manifest don't match image configuration", Reason.DIGEST_MISMATCH, "build the image"),
        (Call.PULL, "failed to register layer: max depth exceeded", Reason.ENGINE_UNSUPPORTED, "newer one"),
        (
            Call.PULL,
            "failed to register layer: Error processing tar file(exit status 1): unexpected EOF",
            Reason.ENGINE_UNSUPPORTED,
            "newer one",
        ),
    ],
)
def test_where_the_reason_alone_misleads_the_hint_names_the_cure(
    call: Call, text: str, reason: Reason, words: str
) -> None:
    """It says what to look at, and nothing of a Secret that is not at fault."""
    found = classify(call, 500, text, reference=Reference.parse(USUAL))
    assert found.reason is reason
    assert found.hint is not None
    assert words in found.hint
    assert "check the secret" not in found.hint.lower()


@pytest.mark.feature("error.public-reports")
@pytest.mark.parametrize(
    ("status", "text", "doubtful"),
    [
        (None, "error from registry: denied\ndenied", True),
        (None, "error from registry: unauthorized\nunauthorized", True),
        (None, "unauthorized: authentication required", True),
        (None, "denied: requested access to the resource is denied", False),
        (None, "error from registry: permission_denied: write_package", False),
        (403, "error from registry: denied", False),
        (
            None,
            "errors:\ndenied: requested access to the resource is denied\nunauthorized: authentication required",
            False,
        ),
    ],
)
def test_words_that_hide_what_was_wrong_are_doubtful(status: int | None, text: str, *, doubtful: bool) -> None:
    """Engine 29 passes on the words of a 503 as those of a 403, and a 401 may pass; a right that is named is clear."""
    found = classify(Call.PUSH, status, text, reference=Reference.parse(USUAL))
    assert (found.reason, found.doubtful) == (Reason.AUTH_FAILED, doubtful)


@pytest.mark.feature("cred.wrong-once")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("unauthorized: credentials are invalid or expired", Reason.AUTH_FAILED),
        ("error from registry: The token is invalid or has expired", Reason.AUTH_FAILED),
        ("unauthorized: user name or token incorrect or expired", Reason.AUTH_FAILED),
        ("unauthorized: token is expired or invalid", Reason.AUTH_FAILED),
        ("denied: invalid/expired token", Reason.AUTH_FAILED),
        ("unauthorized: an invalid, expired or revoked token was sent", Reason.AUTH_FAILED),
        ("denied: Your authorization token has expired. Reauthenticate and try again.", Reason.AUTH_EXPIRED),
        ("unauthorized: personal access token is expired", Reason.AUTH_EXPIRED),
        ("unauthorized: invalid token: token is expired by 25m6s", Reason.AUTH_EXPIRED),
    ],
)
def test_what_is_wrong_or_expired_may_never_have_been_right(text: str, reason: Reason) -> None:
    """So it is sent by one attempt; only what is called expired, and nothing else, may be renewed."""
    assert classify(Call.DISTRIBUTION, 401, text, reference=Reference.parse(USUAL)).reason is reason


@pytest.mark.feature("error.public-reports")
@pytest.mark.parametrize(
    ("text", "reason", "untold"),
    [
        ("missing or empty Content-Length header", Reason.REGISTRY_UNAVAILABLE, True),
        ("invalid checksum digest format", Reason.REGISTRY_UNAVAILABLE, True),
        ("invalid character 'n' looking for beginning of object key string", Reason.REGISTRY_UNAVAILABLE, True),
        ("unexpected end of JSON input", Reason.REGISTRY_UNAVAILABLE, True),
        ('error parsing HTTP 404 response body: unexpected end of JSON input: ""', Reason.IMAGE_NOT_FOUND, False),
        ("error parsing HTTP 404 response body: unexpected end of JSON input", Reason.IMAGE_NOT_FOUND, False),
        (
            'error parsing HTTP 404 response body: unexpected end of JSON input: "{"',
            Reason.REGISTRY_UNAVAILABLE,
            False,
        ),
        ('error parsing HTTP 503 response body: unexpected end of JSON input: ""', Reason.REGISTRY_UNAVAILABLE, False),
        (
            "error parsing HTTP 502 response body: invalid character '<' looking for beginning of value: \"<html>\"",
            Reason.REGISTRY_UNAVAILABLE,
            False,
        ),
        ("unexpected status code 503: unexpected end of JSON input", Reason.REGISTRY_UNAVAILABLE, False),
        ("unknown: upstream: unexpected end of JSON input", Reason.REGISTRY_UNAVAILABLE, False),
        (
            'Head "https://a.test/v2/a": error parsing HTTP 404 response body: unexpected end of JSON input: ""',
            Reason.REGISTRY_UNAVAILABLE,
            False,
        ),
        (
            "unable to decode token response: invalid character 'h' looking for beginning of value",
            Reason.REGISTRY_UNAVAILABLE,
            False,
        ),
    ],
)
def test_only_an_answer_that_refuses_nothing_is_unreadable(text: str, reason: Reason, *, untold: bool) -> None:
    """One with a status tells that much: a 404 without a word is an absent image, one of a token service is not."""
    assert classify(Call.DISTRIBUTION, 500, text, reference=Reference.parse(USUAL)).reason is reason
    assert unreadable(Call.DISTRIBUTION, text) is untold
    assert not unreadable(Call.PULL, text)


@pytest.mark.feature("error.mapping")
def test_what_stands_behind_the_beginning_of_a_text_decides_nothing() -> None:
    """Whoever answers with a megabyte keeps the interpreter for no longer than with 8 KiB."""
    words = "toomanyrequests: retry-after: 30"
    for room, reason in ((0, Reason.DAEMON_ERROR), (len(words), Reason.RATE_LIMITED)):
        text = f"{'a ' * ((MAX_TEXT - room) // 2)}{words}"
        assert classify(Call.PULL, 500, text).reason is reason
        assert (retry_after(text) == 30) is (room > 0)
    assert MAX_TEXT == 8 * 1024


@pytest.mark.feature("error.public-reports")
def test_a_certificate_of_the_future_is_not_a_wrong_one() -> None:
    """A clock that is wrong gets set, so it is tried again; an expired certificate does not mend itself."""
    text = (
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time {} is {} {}"
    )
    early = text.format("2026-01-01T00:00:00Z", "before", "2026-02-01T00:00:00Z")
    late = text.format("2026-03-01T00:00:00Z", "after", "2026-02-01T00:00:00Z")
    assert classify(Call.PULL, 500, early).reason is Reason.CERTIFICATE_NOT_YET_VALID
    assert classify(Call.PULL, 500, late).reason is Reason.CERTIFICATE_INVALID


@pytest.mark.feature("error.mapping")
@pytest.mark.parametrize(
    "text",
    [
        "error from registry: permission_denied: write_package",
        "error from registry: User: someone is not authorized to perform: ecr:InitiateLayerUpload",
        'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource',
        "unauthorized to access repository: team/app, action: push",
    ],
)
def test_words_of_hosted_registries_are_known(text: str) -> None:
    """Engine 29 passes on a registry's message without its code, so the message alone has to do."""
    assert classify(Call.PUSH, None, text, reference=Reference.parse(USUAL)).reason is Reason.AUTH_FAILED


@pytest.mark.parametrize(
    "repository",
    [
        "too-many-requests/denied",
        "unauthorized/no-space-left",
        "x509/eof",
        "a/b",
        "no/such",
        "image/name",
        "not/found",
        "toomanyrequests/rate-limit",
        "rate-limit/toomanyrequests",
        "quota-exceeded/unauthorized",
        "unknown/invalid",
        "url/storage",
    ],
)
@pytest.mark.parametrize(
    "tag",
    [
        "manifest-unknown",
        "immutable",
        "denied",
        "429",
        "timeout",
        "toomanyrequests",
        "rate-limit",
        "unknown",
        "image",
        "not",
    ],
)
def test_the_names_of_an_image_decide_nothing(repository: str, tag: str) -> None:
    """Whoever chooses a name cannot choose the reason: each message means the same about an image with odd names."""
    for message in MESSAGES:
        if message.reference != USUAL or "absent" in message.case or message.case == "ecr_norepo":
            continue
        text = message.text.replace("team/app", repository)
        for form in (":v1", "/v1", "tag 'v1'"):
            text = text.replace(form, form.replace("v1", tag))
        reference = Reference.parse(f"127.0.0.1:5000/{repository}:{tag}")
        found = classify(Call(message.operation), message.status, text, reference=reference).reason
        assert found == message.reason, message


@pytest.mark.feature("error.mapping")
@pytest.mark.parametrize("call", Call)
@pytest.mark.parametrize("text", ["", "something nobody has ever said", "{}"])
def test_unknown_words_are_a_daemon_error(call: Call, text: str) -> None:
    """What is not in the table is not guessed, whatever the status."""
    found = {classify(call, status, text).reason for status in (None, 400, 404, 409, 500, 502)}
    assert found == {Reason.DAEMON_ERROR}


def test_a_429_needs_no_words() -> None:
    """The one status that means the same everywhere."""
    assert classify(Call.DISTRIBUTION, 429, "").reason is Reason.RATE_LIMITED


def test_words_of_a_registry_mean_nothing_in_a_local_call() -> None:
    """A tag or inspect talks to no registry, so none can have refused it."""
    assert classify(Call.TAG, 500, "unauthorized: toomanyrequests").reason is Reason.DAEMON_ERROR


@pytest.mark.feature("fault.fuzz")
@given(st.sampled_from(list(Call)), st.none() | st.integers(100, 599), st.text(max_size=400))
def test_any_text_is_a_failure(call: Call, status: int | None, text: str) -> None:
    """No words can make an error a success, a wait or an Event."""
    found = classify(call, status, text, reference=Reference.parse(USUAL)).reason
    assert found.reason_class in {ReasonClass.RETRYABLE, ReasonClass.FINAL}


@pytest.mark.feature("retry.retry-after")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("toomanyrequests: retry-after: 30", 30),
        ("toomanyrequests: Retry-After: 7s, please", 7),
        ("Rate exceeded. Please try again in 2m", 120),
        ("please retry after 5 minutes", 300),
        ('{"retry-after":"12"}', 12),
        ("toomanyrequests: Retry-After: 1m30s", 90),
        ("retry after 2h", 900),
        ("retry after 99999", 900),
        ("toomanyrequests: retry-after: 880.092µs, allowed: 44000/minute", None),
        ("toomanyrequests: retry-after: 880.092\u03bcs, allowed: 44000/minute", None),
        ("toomanyrequests: retry-after: 12345ns", None),
        ("try again in 250ms", None),
        ("retry after 0", None),
        ("retry after 3 fortnights", None),
        ("toomanyrequests", None),
        ("try again later", None),
        ("", None),
    ],
)
def test_a_time_in_a_text_is_found(text: str, seconds: float | None) -> None:
    """Where a text says when to come back, that is known, from a second to 15 minutes; any other wait is none."""
    assert retry_after(text) == seconds
