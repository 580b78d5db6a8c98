from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, IMAGE_TAG, Kind
from imageops.api.reasons import Reason
from imageops.api.status import OperationStatus, Phase
from imageops.core.effects import Purpose
from imageops.core.outcome import Outcome
from imageops.runtime.attempts import RunningAttempt
from imageops.runtime.objects import met
from imageops.runtime.others import OtherEntries
from tests.support.builders import DIGEST, NOW
from tests.support.operator_bench import OperatorBench, play, settle
from tests.support.recording_engine import RecordingEngine, remote

NAME = "registry.example/app:1"
PULL = {"image": NAME}


def ended(reason: Reason) -> RunningAttempt:
    """Make an attempt that has ended, on whose outcome nobody has decided yet."""

    def clock() -> datetime:
        return NOW

    attempt = RunningAttempt(2, 1, Purpose.RUN, clock, lambda: None, lambda _: None)
    attempt.outcome = Outcome(reason=reason, message=reason.sentence)
    return attempt


@pytest.mark.feature("pull.deletion-policy")
@pytest.mark.parametrize(
    ("kind", "spec", "name", "asks"),
    [
        (IMAGE_PULL, PULL, NAME, True),
        (IMAGE_PULL, PULL, "registry.example/app:2", False),
        (IMAGE_PULL, PULL | {"daemonName": "default"}, NAME, True),
        (IMAGE_PULL, PULL | {"daemonName": "another"}, NAME, False),
        (IMAGE_PULL, {"image": f"{NAME}@{DIGEST}"}, f"registry.example/app@{DIGEST}", True),
        (IMAGE_PULL, {"image": f"registry.example:5000/app@{DIGEST}"}, f"registry.example:5000/app@{DIGEST}", True),
        (IMAGE_TAG, {"source": "a:1", "target": NAME}, NAME, True),
        (IMAGE_TAG, {"source": NAME, "target": "a:1"}, NAME, False),
        (IMAGE_PUSH, PULL, NAME, False),
    ],
)
def test_who_is_to_give_a_daemon_a_name_asks_for_it(kind: Kind, spec: Any, name: str, *, asks: bool) -> None:
    """By the name under which the daemon keeps it, and on the same daemon."""

    async def story(mine: OperatorBench) -> None:
        await settle(1.0)
        metadata = {"name": "app", "namespace": "team", "uid": "u", "resourceVersion": "1"}
        body = {"metadata": metadata | {"creationTimestamp": "2026-01-02T03:04:05Z"}, "spec": spec}
        entry, own = (met(kind, body, began=NOW, now=NOW) for _ in range(2))
        mine.store.add(entry)
        others = OtherEntries(own, "default", mine.store, mine.daemons)
        assert others.ask_for(name) is asks
        assert not others.have(name)
        assert not OtherEntries(entry, "default", mine.store, mine.daemons).ask_for(name)
        entry.status = OperationStatus(phase=Phase.SUCCEEDED)
        assert others.have(name) is asks
        for outcome, has in ((Reason.PULLED, True), (Reason.ENGINE_UNSUPPORTED, False)):
            entry.attempt = ended(outcome)
            assert others.have(name) is (asks and has)
        mine.store.remove(entry)

    play(story)


@pytest.mark.feature("pull.deletion-policy")
def test_an_object_that_is_made_anew_at_once_keeps_its_image() -> None:
    """Without a finalizer the image goes after its object, unless the next one has come until then."""

    async def story(mine: OperatorBench) -> None:
        spec = PULL | {"deletionPolicy": "Delete"}
        for again in (True, False):
            body = mine.apply(IMAGE_PULL, "app", spec)
            await settle()
            await mine.api.delete(mine.path(IMAGE_PULL, "app"), uid=body["metadata"]["uid"])
            if again:
                mine.apply(IMAGE_PULL, "app", spec)
            await settle()
            assert (NAME in mine.engine.images) is again
        assert len(mine.engine.seen("pull")) == 1

    engine = RecordingEngine(registry={NAME: remote()})
    play(story, OperatorBench(engine=engine, finalizes=False))
