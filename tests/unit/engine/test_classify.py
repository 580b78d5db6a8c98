from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imageops.api.reasons import Reason, ReasonClass
from imageops.api.references import Reference
from imageops.engine.classify import Call, classify, retry_after

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

    @property
    def classified(self) -> Reason:
        """Classify it as the engine does."""
        return classify(Call(self.operation), self.status, self.text, reference=Reference.parse(self.reference))


MESSAGES = [
    Message(engine=path.stem, **entry)
    for path in sorted(Path(__file__).with_name("messages").glob("*.yaml"))
    for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
]


@pytest.mark.feature("error.mapping")
@pytest.mark.parametrize(
    "message", MESSAGES, ids=lambda message: f"{message.engine}-{message.operation}-{message.case}"
)
def test_recorded_messages_have_their_reason(message: Message) -> None:
    """Each message that an engine gave is taken for what was wrong."""
    assert message.classified == message.reason


@pytest.mark.feature("error.mapping")
def test_enough_was_recorded() -> None:
    """There are at least 120 messages, of all engines, and for every reason that an engine's words can mean."""
    assert len(MESSAGES) >= 120
    assert {message.engine for message in MESSAGES} == {"engine-20.10", "engine-28.5", "engine-29"}
    assert {message.operation for message in MESSAGES} >= {Call.PULL, Call.PUSH, Call.TAG, Call.DISTRIBUTION}


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
    assert classify(Call.PUSH, None, text, reference=Reference.parse(USUAL)) is Reason.AUTH_FAILED


@pytest.mark.parametrize("repository", ["too-many-requests/denied", "unauthorized/no-space-left", "x509/eof", "a/b"])
@pytest.mark.parametrize("tag", ["manifest-unknown", "immutable", "denied", "429", "timeout"])
def test_the_names_of_an_image_decide_nothing(repository: str, tag: str) -> None:
    """Whoever chooses a name cannot choose the reason: each message means the same about an image with odd names."""
    for message in MESSAGES:
        if message.reference != USUAL or "absent" in message.case or message.case == "ecr_norepo":
            continue
        text = message.text.replace("team/app", repository)
        for form in (":v1", "/v1", "tag 'v1'"):
            text = text.replace(form, form.replace("v1", tag))
        reference = Reference.parse(f"127.0.0.1:5000/{repository}:{tag}")
        found = classify(Call(message.operation), message.status, text, reference=reference)
        assert found == message.reason, message


@pytest.mark.feature("error.mapping")
@pytest.mark.parametrize("call", Call)
@pytest.mark.parametrize("text", ["", "something nobody has ever said", "unknown: ", "{}"])
def test_unknown_words_are_a_daemon_error(call: Call, text: str) -> None:
    """What is not in the table is not guessed, whatever the status."""
    assert {classify(call, status, text) for status in (None, 400, 404, 409, 500, 502)} == {Reason.DAEMON_ERROR}


def test_a_429_needs_no_words() -> None:
    """The one status that means the same everywhere."""
    assert classify(Call.DISTRIBUTION, 429, "") is Reason.RATE_LIMITED


def test_words_of_a_registry_mean_nothing_in_a_local_call() -> None:
    """A tag or inspect talks to no registry, so none can have refused it."""
    assert classify(Call.TAG, 500, "unauthorized: toomanyrequests") is Reason.DAEMON_ERROR


@pytest.mark.feature("fault.fuzz")
@given(st.sampled_from(list(Call)), st.none() | st.integers(100, 599), st.text(max_size=400))
def test_any_text_is_a_failure(call: Call, status: int | None, text: str) -> None:
    """No words can make an error a success, a wait or an Event."""
    found = classify(call, status, text, reference=Reference.parse(USUAL))
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
        ("try again in 250ms", 0.25),
        ("retry after 99999", 900),
        ("toomanyrequests", None),
        ("try again later", None),
        ("", None),
    ],
)
def test_a_time_in_a_text_is_found(text: str, seconds: float | None) -> None:
    """Where a text says when to come back, that is known, up to 15 minutes."""
    assert retry_after(text) == seconds
