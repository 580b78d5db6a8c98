from __future__ import annotations

import re

import pytest

from imageops.api.errors import MESSAGE_MAX_LENGTH, OperationError
from imageops.api.kinds import ALL_KINDS
from imageops.api.reasons import Reason, ReasonClass

# The class of each reason.
TABLE = {
    ReasonClass.SUCCESS: "Pulled AlreadyPresent Pushed AlreadyPushed PushSkipped Tagged AlreadyTagged Promoted"
    " Completed Open DryRunPassed",
    ReasonClass.WAITING: "Pending Throttled SecretNotFound SessionNotFound DaemonUnavailable FailedCreate Suspended"
    " Pulling Tagging Pushing Running",
    ReasonClass.RETRYABLE: "RateLimited RegistryUnavailable SecretInvalid DaemonConnectionLost TimedOut AuthExpired"
    " StorageFull QuotaExceeded ContentCorrupt CertificateNotYetValid RegistryError DaemonError"
    " InternalError ImageChanged Interrupted",
    ReasonClass.FINAL: "InvalidReference InvalidSpec AuthFailed ImageNotFound ImageNotOnDaemon"
    " CredentialHelperUnsupported PlatformNotFound EngineUnsupported PlatformConflict CertificateInvalid"
    " RegistryPolicyDenied TagProtected LayerTooLarge"
    " TagConflict PreconditionFailed DigestMismatch SessionClosed"
    " SessionLimitExceeded StepFailed MemberFailed AdmissionDenied DaemonNotConfigured Skipped Cancelled"
    " DeadlineExceeded BackoffLimitExceeded",
    ReasonClass.EVENT: "ImageMissing RemoteDigestChanged CheckFailed TTLIgnored FinalizerReleased Retrying"
    " FailedDelete",
}
FIELDS = {field.alias for kind in ALL_KINDS for field in kind.spec_model.model_fields.values()}
THINGS = [
    "Secret",
    "ServiceAccount",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "Pod",
    "annotation",
    "daemon",
    "registry",
    "operator",
    "spec",
]
TO_TURN = re.compile("|".join([*THINGS, *(kind.kind for kind in ALL_KINDS), *(str(field) for field in FIELDS)]))

every_reason = pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.value)


@pytest.mark.feature("error.closed-enum")
def test_reasons_and_classes_are_those_of_the_design() -> None:
    """Every reason that the operator gives has its class, and there is no other."""
    assert {reason.value: reason.reason_class for reason in Reason} == {
        word: reason_class for reason_class, words in TABLE.items() for word in words.split()
    }


@pytest.mark.feature("error.hint")
@every_reason
def test_reason_explains_itself(reason: Reason) -> None:
    """A reason has one CamelCase word, a sentence and a hint; that of an error names an object or field to change."""
    assert re.fullmatch(r"[A-Z][A-Za-z]+", reason.value)
    assert Reason(reason.value) is reason
    assert reason.name.replace("_", "").lower() == reason.value.lower()
    for text in (reason.sentence, reason.hint):
        assert text.endswith(".")
        assert text.isprintable()
        assert not set("{}%") & set(text), "the text is shown as it is, never formatted"
        assert len(text) <= MESSAGE_MAX_LENGTH
    failure = reason.reason_class in {ReasonClass.RETRYABLE, ReasonClass.FINAL}
    if failure:
        assert TO_TURN.search(reason.hint)
    assert bool(reason.prospect) == failure, "what another attempt would meet is said of each failure"
    assert reason.prospect == "" or reason.prospect.endswith(".")


def test_reason_is_its_word() -> None:
    """A reason compares, formats and serialises as its word."""
    assert f"{Reason.TTL_IGNORED}" == "TTLIgnored"
    assert {"TimedOut": 1}[Reason.TIMED_OUT] == 1


@pytest.mark.feature("error.own-words")
def test_error_speaks_in_its_reasons_words() -> None:
    """Without a message of its own an error has the reason's sentence and hint."""
    error = OperationError(Reason.STORAGE_FULL)
    assert error.message == Reason.STORAGE_FULL.sentence
    assert error.hint == Reason.STORAGE_FULL.hint
    assert error.retry_after is None
    assert str(error) == f"StorageFull: {Reason.STORAGE_FULL.sentence}"


@pytest.mark.feature("error.own-words")
def test_error_text_is_cut() -> None:
    """Message and hint are cut to 512 characters, and a stated delay is kept."""
    error = OperationError(Reason.RATE_LIMITED, "m" * 600, hint="h" * 600, retry_after=30.5)
    assert (len(error.message), len(error.hint), error.retry_after) == (512, 512, 30.5)
