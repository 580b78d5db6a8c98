from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.operations import IfExists
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import PreviousImage
from imageops.core.outcome import Outcome
from imageops.core.progress import ProgressTracker
from imageops.engine.protocol import ImageStore, LocalManifest, UnreadableAnswerError
from imageops.tools.daemon import Daemon
from imageops.tools.execution import Execution
from imageops.tools.limits import Requester
from imageops.tools.push import PushArguments, PushTool
from tests.support.builders import DIGEST, OTHER_DIGEST
from tests.support.recorder import Recorder
from tests.support.recording_engine import (
    INDEX,
    FixedCredentials,
    RecordingEngine,
    daemon,
    local,
    on_graphdriver,
    remote,
)

REF = Reference.parse("registry.example/app:1")
NAME = str(REF)
ARM_DIGEST = f"sha256:{'c' * 64}"


async def push(
    engine: RecordingEngine,
    *,
    place: Daemon | None = None,
    **fields: Any,
) -> tuple[Outcome, Execution[Any, Any], Recorder]:
    """Run the tool to its end."""
    tool = PushTool(place or daemon(engine), FixedCredentials(), Requester("uid", "team"))
    recorder = Recorder()
    arguments = PushArguments(reference=REF, **fields)
    execution = Execution(tool, arguments, ProgressTracker(), recorder)
    return await execution.run(), execution, recorder


async def test_a_push_is_done_when_the_registry_serves_it() -> None:
    """A new tag replaces nothing, so nothing has to be on record before."""
    engine = RecordingEngine(images={NAME: local(REF)})
    outcome, execution, recorder = await push(engine)
    assert (outcome.reason, outcome.bytes_transferred) == (Reason.PUSHED, 1000)
    assert [call.split()[0] for call in engine.calls] == ["inspect", "distribution", "push", "distribution"]
    assert execution.facts.image is not None
    assert (execution.facts.image.digest, execution.facts.previous) == (DIGEST, None)
    assert (recorder.checkpoints, recorder.transfers) == (0, 1)


async def test_an_image_that_the_daemon_lacks_is_not_pushed() -> None:
    """Nothing is asked of the registry."""
    engine = RecordingEngine()
    assert (await push(engine))[0].reason is Reason.IMAGE_NOT_ON_DAEMON
    assert engine.calls == [f"inspect {NAME}"]


@pytest.mark.parametrize(
    ("if_exists", "there", "reason", "pushes"),
    [
        (IfExists.FAIL, DIGEST, Reason.ALREADY_PUSHED, 0),
        (IfExists.SKIP, DIGEST, Reason.ALREADY_PUSHED, 0),
        (IfExists.REPLACE, DIGEST, Reason.ALREADY_PUSHED, 0),
        (IfExists.FAIL, OTHER_DIGEST, Reason.TAG_CONFLICT, 0),
        (IfExists.SKIP, OTHER_DIGEST, Reason.PUSH_SKIPPED, 0),
        (IfExists.REPLACE, OTHER_DIGEST, Reason.PUSHED, 1),
    ],
)
async def test_what_is_there_decides(if_exists: IfExists, there: str, reason: Reason, pushes: int) -> None:
    """A tag is moved only after what it was is on record."""
    engine = RecordingEngine(images={NAME: local(REF)}, registry={NAME: remote(there)})
    outcome, execution, recorder = await push(engine, if_exists=if_exists)
    assert (outcome.reason, len(engine.seen("push"))) == (reason, pushes)
    assert recorder.checkpoints == pushes
    assert execution.facts.previous == (PreviousImage(digest=OTHER_DIGEST) if pushes else None)
    shown = execution.facts.image
    digests = {Reason.ALREADY_PUSHED: DIGEST, Reason.PUSHED: DIGEST}
    assert (shown.digest if shown is not None else None) == digests.get(reason)


async def test_a_precondition_is_compared_with_the_registry() -> None:
    """Nothing is pushed unless the tag is exactly that now."""
    engine = RecordingEngine(images={NAME: local(REF)}, registry={NAME: remote(OTHER_DIGEST)})
    refused = await push(engine, if_exists=IfExists.REPLACE, required_digest=ARM_DIGEST)
    assert (refused[0].reason, engine.seen("push")) == (Reason.PRECONDITION_FAILED, [])
    moved = await push(engine, if_exists=IfExists.REPLACE, required_digest=OTHER_DIGEST)
    assert moved[0].reason is Reason.PUSHED


@pytest.mark.parametrize(
    ("afterwards", "message"),
    [(None, "serves no such tag."), (remote(OTHER_DIGEST), "serves another manifest under the tag.")],
)
async def test_a_registry_that_keeps_nothing_gives_a_failed_attempt(afterwards: Any, message: str) -> None:
    """Whatever it had answered."""
    engine = RecordingEngine(images={NAME: local(REF)})

    def lose() -> None:
        engine.registry.pop(NAME)
        if afterwards is not None:
            engine.registry[NAME] = afterwards

    engine.during["push"] = lose
    outcome, execution, _ = await push(engine)
    assert (outcome.reason, execution.facts.image) == (Reason.IMAGE_CHANGED, None)
    assert outcome.message.endswith(message)


@pytest.mark.parametrize("method", ["distribution", "push"])
async def test_an_error_of_the_engine_is_the_outcome(method: str) -> None:
    """The place for the transfer is given back, and the next one gets it."""
    engine = RecordingEngine(images={NAME: local(REF)}, failures={method: OperationError(Reason.AUTH_FAILED)})
    place = daemon(engine, transfers=1)
    assert (await push(engine, place=place))[0].reason is Reason.AUTH_FAILED
    engine.failures.clear()
    assert (await push(engine, place=place))[0].reason is Reason.PUSHED


def kid(digest: str, platform: str | None, *, available: bool = True) -> LocalManifest:
    """Make a child of an index."""
    kind = "attestation" if platform is None else "image"
    return LocalManifest(digest=digest, kind=kind, platform=platform, available=available)


AMD, ARM = kid(OTHER_DIGEST, "linux/amd64"), kid(ARM_DIGEST, "linux/arm64")
MISSING = kid(ARM_DIGEST, "linux/arm64", available=False)
FOREIGN = kid(DIGEST, "linux/s390x", available=False)
POWER = kid(DIGEST, "linux/ppc64le")
ABSENT = kid(OTHER_DIGEST, "linux/amd64", available=False)


@pytest.mark.parametrize(
    ("platform", "children", "in_registry", "reason"),
    [
        (None, (AMD, ARM), DIGEST, Reason.ALREADY_PUSHED),
        ("All", (AMD, ARM), DIGEST, Reason.ALREADY_PUSHED),
        ("All", (AMD, MISSING), None, Reason.PLATFORM_NOT_FOUND),
        (None, (AMD, MISSING), OTHER_DIGEST, Reason.ALREADY_PUSHED),
        (None, (AMD, ARM, FOREIGN), OTHER_DIGEST, Reason.ALREADY_PUSHED),
        ("linux/arm64", (AMD, ARM), ARM_DIGEST, Reason.ALREADY_PUSHED),
        ("linux/arm64", (AMD, MISSING), None, Reason.PLATFORM_NOT_FOUND),
        (None, (ARM, FOREIGN), ARM_DIGEST, Reason.ALREADY_PUSHED),
        (None, (ABSENT, ARM, POWER), ARM_DIGEST, Reason.PLATFORM_NOT_FOUND),
        ("linux/arm64", (ABSENT, ARM, POWER), ARM_DIGEST, Reason.ALREADY_PUSHED),
        ("linux/s390x", (AMD, ARM), None, Reason.PLATFORM_NOT_FOUND),
        ("linux/arm64", (AMD, ARM), DIGEST, Reason.TAG_CONFLICT),
    ],
)
async def test_of_an_index_exactly_what_is_asked_is_recognised(
    platform: str | None,
    children: tuple[LocalManifest, ...],
    in_registry: str | None,
    reason: Reason,
) -> None:
    """An incomplete index would be pushed as the one manifest that is there, and not at all if there are several."""
    image = local(REF, media_type=INDEX)
    registry = {NAME: remote(in_registry)} if in_registry else {}
    engine = RecordingEngine(images={NAME: image}, children={NAME: children}, registry=registry)
    outcome, execution, _ = await push(engine, platform=platform)
    assert (outcome.reason, engine.seen("push")) == (reason, [])
    if reason is Reason.ALREADY_PUSHED:
        assert execution.facts.image is not None
        sent = {one.platform for one in children if in_registry in {DIGEST, one.digest} and one.available}
        assert set(execution.facts.image.platforms) == sent


@pytest.mark.parametrize(
    ("platform", "asked", "reason"),
    [
        (None, None, Reason.PUSHED),
        ("All", None, Reason.PUSHED),
        ("linux/amd64", "linux/amd64", Reason.PUSHED),
        ("linux/arm64", None, Reason.PLATFORM_NOT_FOUND),
    ],
)
async def test_a_plain_manifest_has_one_platform(platform: str | None, asked: str | None, reason: Reason) -> None:
    """The daemon is told of a platform only where one is asked for."""
    engine = RecordingEngine(images={NAME: local(REF)})
    assert (await push(engine, platform=platform))[0].reason is reason
    expected = [f"push {NAME} {asked}" if asked else f"push {NAME}"] if reason is Reason.PUSHED else []
    assert engine.seen("push") == expected


@pytest.mark.parametrize(
    ("platform", "reason"),
    [("linux/amd64", Reason.ENGINE_UNSUPPORTED), (None, Reason.ALREADY_PUSHED)],
)
async def test_a_graphdriver_knows_its_content_by_what_it_pushed_before(platform: str | None, reason: Reason) -> None:
    """And pushes no single platform."""
    image = on_graphdriver(local(REF))
    engine = RecordingEngine(ImageStore.GRAPHDRIVER, images={NAME: image}, registry={NAME: remote()})
    assert (await push(engine, platform=platform))[0].reason is reason


@pytest.mark.parametrize(
    ("present", "assumed", "reason", "unchecked"),
    [
        (True, (), Reason.DRY_RUN_PASSED, "the right to push"),
        (False, (NAME,), Reason.DRY_RUN_PASSED, "an earlier step would have made"),
        (False, (), Reason.IMAGE_NOT_ON_DAEMON, ""),
    ],
)
async def test_a_dry_run_sends_nothing(
    *,
    present: bool,
    assumed: tuple[str, ...],
    reason: Reason,
    unchecked: str,
) -> None:
    """It assumes what an earlier step would have made, and says so."""
    engine = RecordingEngine(images={NAME: local(REF)} if present else {})
    outcome, _, recorder = await push(engine, dry_run=True, assumed=dict.fromkeys(assumed))
    assert (outcome.reason, engine.seen("push"), recorder.transfers) == (reason, [], 0)
    assert unchecked in outcome.message


@pytest.mark.feature("pull.shapes")
@pytest.mark.parametrize("platform", [None, "All"])
async def test_an_index_below_which_an_index_is_missing_is_not_pushed(platform: str | None) -> None:
    """EngineUnsupported before anything is sent: the Engine would call it done."""
    engine = RecordingEngine(images={NAME: local(REF, media_type=INDEX)}, indexes={NAME: [OTHER_DIGEST]})
    engine.children[NAME] = (kid(DIGEST, "linux/amd64"),)
    assert (await push(engine, platform=platform))[0].reason is Reason.ENGINE_UNSUPPORTED
    assert engine.seen("push") == engine.seen("distribution") == []


@pytest.mark.feature("pull.shapes")
@pytest.mark.parametrize(
    ("if_exists", "reason", "pushes"),
    [(IfExists.REPLACE, Reason.PUSHED, 1), (IfExists.FAIL, Reason.REGISTRY_UNAVAILABLE, 0)],
)
async def test_a_registry_that_cannot_be_read_is_pushed_to_only_where_it_decides_nothing(
    if_exists: IfExists, reason: Reason, pushes: int
) -> None:
    """What was sent is on record, and that nobody has seen what is served."""
    engine = RecordingEngine(images={NAME: local(REF)})
    engine.failures["distribution"] = UnreadableAnswerError(Reason.REGISTRY_UNAVAILABLE)
    outcome, execution, _ = await push(engine, if_exists=if_exists)
    assert (outcome.reason, len(engine.seen("push"))) == (reason, pushes)
    image = execution.facts.image
    if pushes:
        assert image is not None
        assert (image.digest, image.unconfirmed) == (DIGEST, True)


def test_the_record_shows_what_was_asked() -> None:
    """And no credential."""
    whole = PushArguments(reference=REF, platform="All").shown()
    assert whole == {"image": NAME, "ifExists": "Fail", "platform": "All"}
    assert PushArguments(reference=REF).shown() == {"image": NAME, "ifExists": "Fail"}


@pytest.mark.feature("error.public-reports")
async def test_what_the_registry_took_is_pushed_though_a_policy_hides_it() -> None:
    """A scan that begins with the push keeps the image from being read back: the digest is the daemon's receipt."""
    engine = RecordingEngine(images={NAME: local(REF)})

    def scan() -> None:
        engine.failures["distribution"] = OperationError(Reason.REGISTRY_POLICY_DENIED)

    engine.during["push"] = scan
    outcome, execution, _ = await push(engine)
    assert outcome.reason is Reason.PUSHED
    assert "could not be read back" in outcome.message
    assert execution.facts.image is not None
    assert execution.facts.image.digest == DIGEST


@pytest.mark.feature("error.public-reports")
@pytest.mark.parametrize(
    ("if_exists", "required", "reason", "pushes"),
    [
        (IfExists.FAIL, None, Reason.REGISTRY_POLICY_DENIED, 0),
        (IfExists.SKIP, None, Reason.REGISTRY_POLICY_DENIED, 0),
        (IfExists.REPLACE, DIGEST, Reason.REGISTRY_POLICY_DENIED, 0),
        (IfExists.REPLACE, None, Reason.PUSHED, 1),
    ],
)
async def test_a_refusal_by_policy_tells_nothing_of_a_tag(
    if_exists: IfExists, required: str | None, reason: Reason, pushes: int
) -> None:
    """No success and no conflict comes of it; only what replaces whatever there is goes on, and puts that on record."""
    engine = RecordingEngine(images={NAME: local(REF)})
    engine.failures["distribution"] = OperationError(Reason.REGISTRY_POLICY_DENIED)
    outcome, execution, recorder = await push(engine, if_exists=if_exists, required_digest=required)
    assert outcome.reason is reason
    assert (len(engine.seen("push")), recorder.checkpoints) == (pushes, pushes)
    assert execution.facts.previous == (PreviousImage() if pushes else None)


@pytest.mark.feature("error.public-reports")
@pytest.mark.parametrize("elsewhere", [True, False])
async def test_the_refusal_of_a_mount_names_the_right_that_lacks(*, elsewhere: bool) -> None:
    """Engine 29 has the registry take layers from where it had them; only then the hint speaks of that."""
    image = local(REF)
    other = f"{REF.host}/other@{DIGEST}" if elsewhere else f"other.example/app@{DIGEST}"
    engine = RecordingEngine(images={NAME: replace(image, repo_digests=(*image.repo_digests, other))})
    engine.failures["push"] = OperationError(Reason.AUTH_FAILED, doubtful=True)
    outcome, *_ = await push(engine)
    assert outcome.reason is Reason.AUTH_FAILED
    assert ("right to read that repository" in (outcome.hint or "")) == elsewhere


@pytest.mark.feature("dryrun.faithful")
@pytest.mark.parametrize(
    ("served", "platform", "more", "reason"),
    [
        (None, "All", {}, Reason.DRY_RUN_PASSED),
        (DIGEST, "All", {}, Reason.DRY_RUN_PASSED),
        (OTHER_DIGEST, "All", {}, Reason.TAG_CONFLICT),
        (OTHER_DIGEST, "All", {"if_exists": IfExists.REPLACE}, Reason.DRY_RUN_PASSED),
        (OTHER_DIGEST, "linux/arm64", {}, Reason.DRY_RUN_PASSED),
        (OTHER_DIGEST, None, {"required_digest": DIGEST}, Reason.PRECONDITION_FAILED),
    ],
)
async def test_a_dry_run_asks_about_an_image_that_is_yet_to_be_made(
    served: str | None, platform: str | None, more: dict[str, Any], reason: Reason
) -> None:
    """The target's registry knows the tag; whether its content is the same can be told only of a whole index."""
    engine = RecordingEngine(registry={NAME: remote(served)} if served is not None else {})
    outcome, _, _ = await push(engine, dry_run=True, assumed={NAME: DIGEST}, platform=platform, **more)
    assert (outcome.reason, engine.seen("push"), len(engine.seen("distribution"))) == (reason, [], 1)


@pytest.mark.feature("dryrun.faithful")
async def test_a_dry_run_is_told_of_a_refused_credential_before_there_is_an_image() -> None:
    """A promotion that would fail at its end says so at its beginning."""
    engine = RecordingEngine(failures={"distribution": OperationError(Reason.AUTH_FAILED)})
    assert (await push(engine, dry_run=True, assumed={NAME: None}))[0].reason is Reason.AUTH_FAILED
