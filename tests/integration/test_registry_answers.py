"""What a pull or a push comes to when a registry answers as real products are known to, on both Engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH
from imageops.api.reasons import Reason
from tests.support.local_daemon import LocalDaemon
from tests.support.objects import Body, Objects, condition, finished
from tests.support.product_registry import PASSWORD, REPOSITORY, TAG, USER, ProductRegistry, serving
from tests.support.registry_answers import ENGINES, Answer, At, Credential, Outcome, answers, outcomes
from tests.support.registry_secrets import create_registry_secret

pytestmark = pytest.mark.integration

ANSWERS = answers()
EXPECTED = outcomes()
DAEMONS = dict(zip(ENGINES, ("graphdriver", "default"), strict=True))
ENDED_WITHIN = 300.0
"""Seconds. Engine 20.10 repeats a refused upload for 50 s by itself, and has few places for pushes."""
HINTS = {"QuotaExceeded": "quota raised", "TagProtected": "new tag", "LayerTooLarge": "client_max_body_size"}
"""Words of the hint that names the cure."""
MAY_BE_THE_SECRET = {"AuthFailed", "AuthExpired", "RateLimited", "RegistryError", "ImageNotFound"}
SOURCE = "imageops.dev/answers:1"


@dataclass(frozen=True, slots=True)
class End:
    """How an operation ended, and the registry that it met."""

    body: Body
    registry: ProductRegistry

    @property
    def outcome(self) -> Outcome:
        """Sum it up."""
        status = self.body["status"]
        error = status.get("error")
        assert status["attempts"] == 1
        assert condition(self.body, "Reconciling") is None
        if error is None:
            return Outcome(status["conditions"][0]["reason"], repeated=False, log_ins=self.registry.log_ins)
        return Outcome(error["reason"], repeated=error["class"] == "Retryable", log_ins=self.registry.log_ins)


def _met_on(engine: str) -> list[Answer]:
    """Return the answers that an Engine is to meet here: what 20.10 repeats for most of a minute is only recorded."""
    return [answer for answer in ANSWERS if not (answer.slow and engine == "engine-20.10")]


@pytest.fixture(scope="module", params=ENGINES)
def ends(
    request: pytest.FixtureRequest, shared_objects: Objects, addresses: dict[str, str]
) -> Iterator[tuple[str, dict[str, End]]]:
    """Let one operation meet each answer, all side by side, with no retries left; by the answer's name."""
    engine: str = request.param
    daemon = LocalDaemon(addresses[DAEMONS[engine]])
    daemon.make(SOURCE, b"what is pushed")
    begun: dict[str, tuple[str, ProductRegistry]] = {}
    made = [SOURCE]
    with ExitStack() as stack:
        for number, answer in enumerate(_met_on(engine)):
            registry, gate = stack.enter_context(serving(answer))
            name = f"{engine.replace('.', '-')}-{number}"
            reference = _reference(daemon, answer, gate.address)
            made.append(reference)
            _create(shared_objects, name, answer, reference, DAEMONS[engine])
            begun[answer.name] = (name, registry)
        found = {}
        for answer in _met_on(engine):
            name, registry = begun[answer.name]
            kind = IMAGE_PUSH if answer.operation == "push" else IMAGE_PULL
            found[answer.name] = End(shared_objects.wait(kind, name, finished, seconds=ENDED_WITHIN), registry)
        yield engine, found
    for reference in made:
        daemon.remove(reference)


def _reference(daemon: LocalDaemon, answer: Answer, host: str) -> str:
    """Return the image that the operation is about; one that is pushed is put under that name first."""
    reference = f"{host}/{REPOSITORY}:{TAG}"
    if answer.at in {At.MOUNT, At.SECOND_SCOPE}:
        daemon.pull(reference)
        daemon.tag(reference, f"{host}/team/other:{TAG}")
        return f"{host}/team/other:{TAG}"
    if answer.operation == "push":
        daemon.tag(SOURCE, reference)
    return reference


def _create(objects: Objects, name: str, answer: Answer, reference: str, daemon: str) -> None:
    spec: dict[str, object] = {"image": reference, "daemonName": daemon, "backoffLimit": 0}
    if answer.credential is not Credential.NONE:
        password = PASSWORD if answer.credential is Credential.RIGHT else "not-the-password"
        create_registry_secret(objects, name, reference.partition("/")[0], (USER, password))
        spec["secretRef"] = {"name": name}
    if answer.operation == "push":
        objects.create(IMAGE_PUSH, name, {**spec, "ifExists": "Replace"})
    else:
        objects.create(IMAGE_PULL, name, spec)


@pytest.mark.feature("error.public-reports")
@pytest.mark.feature("error.auth-or-not-found")
@pytest.mark.feature("cred.wrong-once")
@pytest.mark.parametrize("product", sorted({answer.product for answer in ANSWERS}))
def test_the_answers_of_a_product_come_to_what_the_table_says(ends: tuple[str, dict[str, End]], product: str) -> None:
    """Reason, whether it is repeated, how often a wrong password is sent, and a hint that fits."""
    engine, found = ends
    for answer in _met_on(engine):
        if answer.product == product:
            _assert_expected(answer, found[answer.name], EXPECTED[engine, answer.name])


def _assert_expected(answer: Answer, end: End, expected: Outcome) -> None:
    outcome = end.outcome
    assert end.registry.given, f"{answer.name}: the scripted answer was never given"
    assert (outcome.reason, outcome.repeated) == (expected.reason, expected.repeated), answer.name
    if answer.credential is Credential.WRONG:
        assert outcome.log_ins <= expected.log_ins, answer.name
    error = end.body["status"].get("error")
    if error is not None:
        assert error["message"].startswith(Reason(outcome.reason).sentence)
        assert HINTS.get(outcome.reason, "") in error["hint"], answer.name
        assert ("Secret" in error["hint"]) <= (outcome.reason in MAY_BE_THE_SECRET), answer.name
