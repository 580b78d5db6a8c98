from __future__ import annotations

import pytest

from imageops.api.reasons import Reason
from imageops.api.session_status import SessionStatus
from imageops.api.status import Phase
from imageops.core.api_refusal import ApiRefusal
from tests.support.builders import NOW, at, promote_step, pull_step, session_spec
from tests.support.session_life import SessionLife, names

NAME = "release-a-0123456789"
POLICY = "ValidatingAdmissionPolicy 'signed' with binding 'signed' denied request: Only signed images."
FORBIDDEN = f'imagepulls.imageops.dev "{NAME}" is forbidden: '
DENIED = 422, f"{FORBIDDEN}{POLICY}"
NO_RIGHT_TEXT = (
    'User "system:serviceaccount:imageops-system:imageops" cannot create resource "imagepulls" in API group '
    '"imageops.dev" in the namespace "team"'
)
NO_RIGHT = 403, f"imagepulls.imageops.dev is forbidden: {NO_RIGHT_TEXT}"
QUOTA_TEXT = (
    "exceeded quota: q, requested: count/imagepulls.imageops.dev=1, used: count/imagepulls.imageops.dev=5, "
    "limited: count/imagepulls.imageops.dev=5"
)
QUOTA = 403, f"{FORBIDDEN}{QUOTA_TEXT}"
ENDING = "unable to create new content in namespace team because it is being terminated"
WEBHOOK = 403, 'admission webhook "validate.policy.example" denied the request: no signature'

FOR_GOOD = {
    "definition": (422, f'ImagePull.imageops.dev "{NAME}" is invalid: spec.backoffLimit: Invalid value: 99: too many'),
    "policy, Invalid": DENIED,
    "policy, Forbidden": (403, DENIED[1]),
    "policy, too large": (413, DENIED[1]),
    "webhook": WEBHOOK,
    "webhook, Bad Request": (400, WEBHOOK[1]),
    "webhook that quotes a quota": (403, f"{WEBHOOK[1]}: a is forbidden: exceeded quota"),
    "policy that quotes a right": (403, f"{DENIED[1]} User x cannot create resource y"),
    "unknown words": (403, f"{FORBIDDEN}something new"),
}
FOR_NOW = {
    "quota": QUOTA,
    "quota not counted yet": (403, f"{FORBIDDEN}status unknown for quota: q"),
    "no right": NO_RIGHT,
    "end of the namespace": (403, f"{FORBIDDEN}{ENDING}"),
    "no namespace": (404, 'namespaces "team" not found'),
    "who are you": (401, "Unauthorized"),
    "conflict": (409, "Operation cannot be fulfilled on resourcequotas"),
    "too many": (429, "the server has received too many requests"),
    "webhook away": (500, 'Internal error occurred: failed calling webhook "x": connection refused'),
    "no answer of the API server": (403, ""),
}


def refused(answer: tuple[int, str], **fields: float) -> ApiRefusal:
    """Make what is kept of an answer."""
    return ApiRefusal(code=answer[0], message=answer[1], at=NOW, **fields)  # type: ignore[arg-type]


def life(*steps: object, answers: dict[str, tuple[int, str]], **fields: object) -> SessionLife:
    """Begin a Session, some of whose operations the API server refuses."""
    mine = SessionLife(session_spec(*steps, **fields), answers=answers)  # type: ignore[arg-type]
    mine.look()
    return mine


def ready(status: SessionStatus) -> tuple[str, str]:
    """Return reason and message of the condition Ready."""
    [condition] = [one for one in status.conditions if one.type == "Ready"]
    return condition.reason, condition.message


# --- what an answer says


@pytest.mark.feature("session.refused")
@pytest.mark.parametrize("answer", FOR_GOOD.values(), ids=FOR_GOOD)
def test_what_looks_at_the_content_refuses_for_good(answer: tuple[int, str]) -> None:
    """The same operation would be refused again."""
    assert refused(answer).reason is Reason.ADMISSION_DENIED


@pytest.mark.feature("session.refused")
@pytest.mark.parametrize("answer", FOR_NOW.values(), ids=FOR_NOW)
def test_what_does_not_refuses_for_now(answer: tuple[int, str]) -> None:
    """It may be taken later, as it is."""
    assert refused(answer).reason is Reason.FAILED_CREATE


def test_the_text_is_short_and_begins_where_it_says_something() -> None:
    """The name of the object is known, and a condition has no room for a long one."""
    assert refused(DENIED).text == POLICY
    assert refused(QUOTA).text == QUOTA_TEXT
    assert refused(WEBHOOK).text == WEBHOOK[1]
    assert refused((403, "")).text == "The API server answered 403."
    assert len(refused((422, "x" * 9_000)).text) == 300


def test_the_pause_doubles_to_a_minute_and_is_no_shorter_than_asked_for() -> None:
    """From 5 s."""
    pauses = [(refused(QUOTA, times=times).due - NOW).total_seconds() for times in range(1, 7)]
    assert pauses == [5, 10, 20, 40, 60, 60]
    assert refused(QUOTA, retry_after=90.0).due == at(90)
    assert refused(QUOTA, times=10_000).due == at(60)


# --- for good


@pytest.mark.feature("session.refused", "session.failure-policy")
def test_a_step_that_is_refused_for_good_fails_at_once() -> None:
    """The words of the policy stand in the conditions, the errors and an Event, with what to do; nothing is retried."""
    mine = life(pull_step("a"), pull_step("b"), answers={"a": DENIED})
    assert (mine.status.phase, mine.reason, mine.wake_at) == (Phase.FAILED, "StepFailed", None)
    assert mine.phases == {"a": Phase.FAILED, "b": Phase.SKIPPED}
    assert mine.row("a").reason == "AdmissionDenied"
    assert names(mine.made) == [("a", "ImagePull")]
    hint = Reason.ADMISSION_DENIED.hint
    assert ready(mine.status) == (
        "StepFailed",
        f"0 of 2 steps succeeded. Failed: a (AdmissionDenied). {POLICY} {hint}",
    )
    [error] = mine.status.errors
    assert (error.operation_ref, error.reason, error.reason_class) == (
        mine.row("a").operation_ref,
        "AdmissionDenied",
        "Final",
    )
    assert (error.message, error.count, error.first_time, error.last_time) == (POLICY, 1, NOW, NOW)
    assert [(one.warning, one.reason) for one in mine.events] == [
        (True, Reason.ADMISSION_DENIED),
        (True, Reason.STEP_FAILED),
    ]
    assert mine.events[0].message == f"Step a: {POLICY} {hint}"


@pytest.mark.feature("session.refused", "session.failure-policy")
def test_a_refused_step_counts_as_a_failed_one() -> None:
    """One is allowed: the others run to their end, which tells of it even after a restart."""
    steps = pull_step("a"), pull_step("b"), pull_step("c")
    mine = life(*steps, answers={"a": DENIED}, maxFailedSteps=1)
    assert mine.phases == {"a": Phase.FAILED, "b": Phase.RUNNING, "c": Phase.PENDING}
    mine.restart()
    mine.look()
    mine.end("b")
    mine.end("c")
    assert (mine.status.failed, mine.status.succeeded, mine.reason) == (1, 2, "StepFailed")
    assert POLICY in ready(mine.status)[1]
    assert [error.reason for error in mine.status.errors] == ["AdmissionDenied"]
    assert [one.reason for one in mine.events] == [Reason.ADMISSION_DENIED, Reason.STEP_FAILED]
    assert names(mine.made) == [(step, "ImagePull") for step in "abc"]


@pytest.mark.feature("session.refused", "session.retry-failed")
def test_a_refused_step_is_made_again_when_the_failed_ones_are() -> None:
    """Under another name, in the same run; what it was refused with stays in the errors."""
    mine = life(pull_step("a"), pull_step("b"), answers={"a": DENIED})
    mine.restart()
    mine.look()
    assert len(mine.made) == 1
    mine.answers.clear()
    mine.retry_failed_at = "once more"
    mine.look()
    assert mine.phases == {"a": Phase.RUNNING, "b": Phase.PENDING}
    assert mine.made[0].name != mine.made[1].name
    mine.end("a")
    mine.end("b")
    assert (mine.status.run, mine.reason, mine.row("a").reason) == (1, "Completed", "Pulled")
    assert [error.reason for error in mine.status.errors] == ["AdmissionDenied"]


@pytest.mark.feature("session.refused", "session.version-bump")
def test_a_corrected_step_is_a_new_run() -> None:
    """That begins without the errors of the former one."""
    mine = life(pull_step("a"), answers={"a": DENIED})
    mine.answers.clear()
    mine.change(steps=[pull_step("a") | {"pull": {"image": "registry.example/signed:1"}}])
    mine.look()
    mine.end("a")
    assert (mine.status.run, mine.reason, mine.status.errors) == (2, "Completed", ())


# --- for now


@pytest.mark.feature("session.refused")
@pytest.mark.parametrize("answer", [QUOTA, NO_RIGHT], ids=["quota", "no right"])
def test_a_step_that_is_refused_for_now_waits_and_says_so(answer: tuple[int, str]) -> None:
    """Pending, with the words of the API server; one write and one Event, however often it is tried."""
    mine = life(pull_step("a"), pull_step("b"), answers={"a": answer})
    assert (mine.status.phase, mine.phases) == (Phase.PENDING, {"a": Phase.PENDING, "b": Phase.PENDING})
    said = f"Step a: {refused(answer).text}. {Reason.FAILED_CREATE.hint}"
    assert ready(mine.status) == ("FailedCreate", said)
    assert (mine.row("a").reason, mine.status.errors) == ("FailedCreate", ())
    assert mine.events == [mine.events[0]]
    assert (mine.events[0].warning, mine.events[0].reason, mine.events[0].message) == (
        True,
        Reason.FAILED_CREATE,
        said,
    )
    written = mine.writes
    for seconds in (5, 15, 35, 75, 135, 195):
        assert mine.wake_at == at(seconds)
        mine.look(at(seconds - 1))
        mine.look(at(seconds))
    assert len(mine.made) == 7
    assert {child.name for child in mine.made} == {mine.made[0].name}
    assert (mine.writes, len(mine.events)) == (written, 1)
    mine.answers.clear()
    mine.look(at(255))
    mine.look()
    assert (mine.status.phase, mine.reason, mine.row("a").reason) == (Phase.RUNNING, "Running", None)
    mine.end("a")
    mine.end("b")
    assert (mine.reason, mine.status.errors) == ("Completed", ())


@pytest.mark.feature("session.refused")
def test_a_restarted_operator_goes_on_waiting() -> None:
    """What the former one said stands: nothing is written and no Event sent before there is something new."""
    mine = life(pull_step("a"), answers={"a": QUOTA})
    before, written = mine.status, mine.writes
    for _ in range(3):
        mine.restart()
        mine.look()
        assert mine.status == before
    assert (mine.writes, len(mine.events)) == (written, 1)
    mine.restart()
    mine.answers = {"a": DENIED}
    mine.look()
    assert mine.row("a").reason == "AdmissionDenied"


@pytest.mark.feature("session.refused")
def test_a_later_operation_of_a_promotion_waits_as_the_first_does() -> None:
    """The pull is done; the tag waits, also for a new process, and the step goes on when it is let."""
    mine = life(promote_step("a"), answers={})
    mine.answers = {"a": QUOTA}
    mine.end("a")
    assert (mine.phases, mine.reason) == ({"a": Phase.PENDING}, "FailedCreate")
    before = mine.status
    mine.restart()
    mine.look()
    assert mine.status == before
    mine.answers.clear()
    mine.look(at(5))
    mine.look()
    assert (mine.phases, mine.reason) == ({"a": Phase.RUNNING}, "Running")
    mine.end("a")
    mine.end("a")
    assert [kind for _, kind in names(mine.made)] == ["ImagePull", "ImageTag", "ImageTag", "ImageTag", "ImagePush"]


@pytest.mark.feature("session.refused")
def test_others_run_while_one_waits() -> None:
    """The Session is Running then, and its condition still says what waits."""
    mine = life(pull_step("a"), pull_step("b"), answers={"a": QUOTA}, parallelism=2)
    assert mine.phases == {"a": Phase.PENDING, "b": Phase.RUNNING}
    assert (mine.status.phase, mine.reason) == (Phase.RUNNING, "FailedCreate")
    mine.end("b")
    assert (mine.status.phase, mine.reason) == (Phase.PENDING, "FailedCreate")


@pytest.mark.feature("session.refused")
def test_a_waiting_session_can_be_suspended_and_stopped() -> None:
    """Nothing is tried while it is suspended; a cancelled one ends, as one does whose time is over."""
    mine = life(pull_step("a"), answers={"a": QUOTA}, activeDeadlineSeconds=300)
    mine.change(suspend=True)
    mine.look(at(5))
    assert (mine.status.phase, mine.reason, len(mine.made), mine.wake_at) == ("Suspended", "Suspended", 1, None)
    mine.change(suspend=None)
    mine.look(at(100))
    assert (mine.reason, len(mine.made)) == ("FailedCreate", 2)
    mine.look(at(400))
    assert (mine.status.phase, mine.reason, mine.phases) == ("Failed", "DeadlineExceeded", {"a": Phase.CANCELLED})
    other = life(pull_step("a"), answers={"a": QUOTA})
    other.change(cancel=True)
    other.look()
    assert (other.status.phase, other.reason) == ("Cancelled", "Cancelled")
