from __future__ import annotations

from collections import Counter

import pytest
import yaml

from imageops.api.reasons import Reason, ReasonClass
from tests.support.pages import ROOT
from tests.support.registry_answers import ENGINES, SITUATIONS, Credential, answers, outcomes
from tests.support.registry_pages import PAGE, PRODUCTS, with_tables


@pytest.mark.feature("error.public-reports")
def test_the_tables_are_what_the_tests_hold() -> None:
    """The page's tables are written from the answers and outcomes that the integration test compares."""
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page) == page


@pytest.mark.feature("error.public-reports")
def test_each_answer_has_its_outcome() -> None:
    """On both Engines, and no outcome is one of an answer that is gone."""
    assert set(outcomes()) == {(engine, answer.name) for engine in ENGINES for answer in answers()}


@pytest.mark.feature("error.public-reports")
def test_what_no_operation_meets_is_what_the_engines_words_mean() -> None:
    """Of the few answers that Engine 20.10 is only recorded with, the words alone give the outcome."""
    path = ROOT / "tests" / "unit" / "engine" / "messages" / "registries-20.10.yaml"
    recorded = {
        f"{entry['product']}: {entry['case']}": entry["reason"] for entry in yaml.safe_load(path.read_text("utf-8"))
    }
    slow = [answer.name for answer in answers() if answer.slow]
    assert slow
    assert {name: recorded[name] for name in slow} == {name: outcomes()["engine-20.10", name].reason for name in slow}


@pytest.mark.feature("cred.wrong-once")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_wrong_password_is_sent_at_most_three_times(engine: str) -> None:
    """And never repeated, whatever the words; only "expired" may be, as something renews what has expired."""
    found = outcomes()
    for answer in answers():
        if answer.credential is Credential.WRONG:
            outcome = found[engine, answer.name]
            assert outcome.log_ins <= 3
            assert not outcome.repeated or outcome.reason in {Reason.AUTH_EXPIRED, Reason.RATE_LIMITED}


@pytest.mark.feature("error.public-reports")
def test_no_outcome_is_a_daemon_error_and_repetition_follows_the_class() -> None:
    """Final reasons are never repeated; ten products at least have each of the common situations."""
    for outcome in outcomes().values():
        reason = Reason(outcome.reason)
        assert reason is not Reason.DAEMON_ERROR
        assert not (outcome.repeated and reason.reason_class is not ReasonClass.RETRYABLE)
    assert set(PRODUCTS) == {answer.product for answer in answers()}
    counts = Counter(answer.situation for answer in answers())
    assert all(counts[situation] >= 10 for situation in SITUATIONS if situation != "scan policy")
