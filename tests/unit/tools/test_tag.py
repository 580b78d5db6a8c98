from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from imageops.api.operations import IfExists, TagPreconditions
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import PreviousImage
from imageops.core.outcome import Outcome
from imageops.core.progress import ProgressTracker
from imageops.engine.protocol import LocalManifest
from imageops.tools.daemon import Daemon
from imageops.tools.execution import Execution, execute_without_progress
from imageops.tools.removal import RemovalArguments, RemovalTool
from imageops.tools.tag import TagArguments, TagTool
from tests.support.builders import DIGEST, IMAGE_ID, OTHER_DIGEST, OTHER_ID
from tests.support.other_objects import FixedOthers
from tests.support.recorder import Recorder
from tests.support.recording_engine import INDEX, RecordingEngine, daemon, local, on_graphdriver

SOURCE = "registry.example/app:1"
TARGET = Reference.parse("registry.example/app:2")


def engine_with(target: str | None = None) -> RecordingEngine:
    """Make an engine that has the source, and perhaps a target with an image id."""
    engine = RecordingEngine(images={SOURCE: local(SOURCE)})
    if target is not None:
        engine.images[str(TARGET)] = local(TARGET, digest=OTHER_DIGEST, image_id=target)
    return engine


async def tag(
    engine: RecordingEngine,
    *,
    place: Daemon | None = None,
    source: str = SOURCE,
    **fields: Any,
) -> tuple[Outcome, Execution[Any, Any], Recorder]:
    """Run the tool to its end."""
    recorder = Recorder()
    arguments = TagArguments(source=source, target=TARGET, **fields)
    execution = Execution(TagTool(place or daemon(engine)), arguments, ProgressTracker(), recorder)
    return await execution.run(), execution, recorder


@pytest.mark.parametrize("source", [SOURCE, IMAGE_ID])
async def test_a_tag_is_set_when_the_target_shows_the_source(source: str) -> None:
    """By its id, so that nothing can move the source in between."""
    engine = engine_with()
    outcome, execution, recorder = await tag(engine, source=source)
    assert (outcome.reason, engine.seen("tag")) == (Reason.TAGGED, [f"tag {IMAGE_ID} {TARGET}"])
    assert execution.facts.image is not None
    assert (execution.facts.image.id, execution.facts.image.digest) == (IMAGE_ID, DIGEST)
    assert (recorder.checkpoints, execution.facts.previous) == (0, None)


@pytest.mark.parametrize(
    ("target", "fields", "reason"),
    [
        (IMAGE_ID, {}, Reason.ALREADY_TAGGED),
        (OTHER_ID, {}, Reason.TAG_CONFLICT),
        (OTHER_ID, {"if_exists": IfExists.REPLACE}, Reason.TAGGED),
        (
            OTHER_ID,
            {"if_exists": IfExists.REPLACE, "preconditions": TagPreconditions(digest=OTHER_DIGEST)},
            Reason.TAGGED,
        ),
        (
            OTHER_ID,
            {"if_exists": IfExists.REPLACE, "preconditions": TagPreconditions(image_id=IMAGE_ID)},
            Reason.PRECONDITION_FAILED,
        ),
        (
            None,
            {"if_exists": IfExists.REPLACE, "preconditions": TagPreconditions(digest=DIGEST)},
            Reason.PRECONDITION_FAILED,
        ),
    ],
)
async def test_what_the_target_is_decides(target: str | None, fields: dict[str, Any], reason: Reason) -> None:
    """It is moved only after what it was is on record."""
    engine = engine_with(target)
    outcome, execution, recorder = await tag(engine, **fields)
    moved = reason is Reason.TAGGED
    assert (outcome.reason, len(engine.seen("tag")), recorder.checkpoints) == (reason, moved, moved)
    assert execution.facts.previous == (PreviousImage(id=OTHER_ID, digest=OTHER_DIGEST) if moved else None)


async def test_an_image_that_the_daemon_lacks_is_not_tagged() -> None:
    """ImageNotOnDaemon, and no call but the look."""
    engine = RecordingEngine()
    assert (await tag(engine))[0].reason is Reason.IMAGE_NOT_ON_DAEMON
    assert engine.calls == [f"inspect {SOURCE}"]


@pytest.mark.parametrize("after", [None, OTHER_ID])
async def test_a_daemon_that_says_yes_and_does_no_gives_a_failed_attempt(after: str | None) -> None:
    """The target is looked at afterwards."""
    engine = engine_with()

    def undo() -> None:
        engine.images.pop(str(TARGET))
        if after is not None:
            engine.images[str(TARGET)] = local(TARGET, image_id=after)

    engine.during["tag"] = undo
    assert (await tag(engine))[0].reason is Reason.IMAGE_CHANGED


async def test_50_tags_at_once_move_one_target_one_after_another() -> None:
    """What each found before is what the one before it set."""
    engine = RecordingEngine()
    sources = {f"registry.example/app:s{number}": f"sha256:{number:064x}" for number in range(50)}
    for name, image_id in sources.items():
        engine.images[name] = local(name, image_id=image_id)
    place = daemon(engine)
    results = await asyncio.gather(
        *(tag(engine, place=place, source=name, if_exists=IfExists.REPLACE) for name in sources),
    )
    chain = {one.facts.previous.id if one.facts.previous is not None else None for _, one, _ in results}
    assert {outcome.reason for outcome, _, _ in results} == {Reason.TAGGED}
    last = engine.images[str(TARGET)].id
    assert chain == {None, *sources.values()} - {last}
    assert place.targets._locks == {}


async def test_a_graphdriver_tells_a_digest_of_the_target_only_if_it_has_one() -> None:
    """Nothing is invented."""
    engine = RecordingEngine(images={SOURCE: on_graphdriver(replace(local(SOURCE), repo_digests=()))})
    _, execution, _ = await tag(engine)
    assert execution.facts.image is not None
    assert execution.facts.image.digest is None


@pytest.mark.parametrize(
    ("present", "assumed", "reason"),
    [
        (True, (), Reason.DRY_RUN_PASSED),
        (False, (SOURCE,), Reason.DRY_RUN_PASSED),
        (False, (), Reason.IMAGE_NOT_ON_DAEMON),
    ],
)
async def test_a_dry_run_sets_nothing(*, present: bool, assumed: tuple[str, ...], reason: Reason) -> None:
    """It assumes what an earlier step would have made."""
    engine = engine_with() if present else RecordingEngine()
    outcome, _, _ = await tag(engine, dry_run=True, assumed=dict.fromkeys(assumed))
    assert (outcome.reason, engine.seen("tag")) == (reason, [])


def test_the_record_shows_what_was_asked() -> None:
    """Source, target and what to do about another."""
    shown = TagArguments(source=SOURCE, target=TARGET).shown()
    assert shown == {"source": SOURCE, "target": str(TARGET), "ifExists": "Fail"}


@pytest.mark.parametrize(
    ("image_id", "removed"),
    [(IMAGE_ID, True), (OTHER_ID, False), (None, False)],
    ids=["same", "moved", "unknown"],
)
async def test_a_reference_is_removed_only_while_it_names_the_image(image_id: str | None, *, removed: bool) -> None:
    """A tag that somebody else moved is left to him."""
    engine = engine_with()
    arguments = RemovalArguments(reference=Reference.parse(SOURCE), image_id=image_id)
    outcome = await execute_without_progress(RemovalTool(daemon(engine)), arguments, observer=Recorder())
    assert (outcome.reason, SOURCE not in engine.images) == (Reason.COMPLETED, removed)
    assert arguments.shown() == {"image": SOURCE}


@pytest.mark.feature("pull.deletion-policy")
async def test_a_reference_that_another_object_asks_for_by_now_is_left() -> None:
    """The removal was decided on before it came."""
    engine = engine_with()
    tool = RemovalTool(daemon(engine), FixedOthers(asked=frozenset({SOURCE})))
    arguments = RemovalArguments(reference=Reference.parse(SOURCE), image_id=IMAGE_ID)
    await execute_without_progress(tool, arguments, observer=Recorder())
    assert SOURCE in engine.images


@pytest.mark.feature("pull.platform")
@pytest.mark.parametrize(
    ("platform", "removed"),
    [("linux/arm64", True), ("linux/s390x", False), (None, False)],
    ids=["same", "another", "whole"],
)
async def test_one_platform_of_an_index_is_recognised_by_its_own_id(platform: str | None, *, removed: bool) -> None:
    """The containerd store gives it the id of its manifest, which is not that of the index."""
    child = LocalManifest(OTHER_ID, "image", "linux/arm64", available=True)
    index = local(SOURCE, media_type=INDEX)
    engine = RecordingEngine(images={SOURCE: index}, children={SOURCE: (child,)})
    arguments = RemovalArguments(reference=Reference.parse(SOURCE), image_id=OTHER_ID, platform=platform)
    await execute_without_progress(RemovalTool(daemon(engine)), arguments, observer=Recorder())
    assert (SOURCE not in engine.images) is removed
