from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.operations import ImagePullPolicy
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.core.outcome import Outcome
from imageops.core.progress import ProgressTracker
from imageops.engine.protocol import ImageStore, LocalManifest, RegistryAuth, UnreadableAnswerError
from imageops.tools.check import CheckTool
from imageops.tools.daemon import Daemon
from imageops.tools.execution import Execution
from imageops.tools.limits import Requester
from imageops.tools.pull import PullArguments, PullTool
from tests.support.builders import DIGEST, OTHER_DIGEST, OTHER_ID
from tests.support.other_objects import FixedOthers
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
PROOF_DIGEST = f"sha256:{'d' * 64}"
ALL = PullArguments(reference=REF, platform="All")
ARM = PullArguments(reference=REF, platform="linux/arm64")


def kid(digest: str, platform: str | None, *, available: bool = False) -> LocalManifest:
    """Make a child of an index."""
    kind = "attestation" if platform is None else "image"
    return LocalManifest(digest=digest, kind=kind, platform=platform, available=available)


async def pull(
    engine: RecordingEngine,
    arguments: PullArguments | None = None,
    *,
    credentials: FixedCredentials | None = None,
    place: Daemon | None = None,
    check: str | None = None,
) -> tuple[Outcome, Execution[Any, Any], ProgressTracker]:
    """Run the tool, or the check of an image that had a digest, to its end."""
    tool = PullTool(place or daemon(engine), credentials or FixedCredentials(), Requester("uid", "team"))
    chosen: Any = tool if check is None else CheckTool(tool, check)
    tracker = ProgressTracker()
    execution = Execution[Any, Any](chosen, arguments or PullArguments(reference=REF), tracker, Recorder())
    return await execution.run(), execution, tracker


@pytest.mark.feature("pull.shapes")
async def test_the_registry_is_asked_first_only_where_the_answer_decides_something() -> None:
    """A credential, a platform or a dry run: one question. An anonymous pull of what there is: none."""
    login = FixedCredentials(RegistryAuth(username="a", password="b"))
    dry = PullArguments(reference=REF, dry_run=True)
    for arguments, credentials, questions in (
        (None, None, 0),
        (None, login, 1),
        (PullArguments(reference=REF, platform="linux/amd64"), None, 1),
        (dry, None, 1),
    ):
        engine = RecordingEngine(registry={NAME: remote()})
        await pull(engine, arguments, credentials=credentials)
        assert len(engine.seen("distribution")) == questions


@pytest.mark.feature("pull.shapes")
@pytest.mark.parametrize(
    ("platform", "reason"),
    [("linux/amd64", Reason.PULLED), ("All", Reason.REGISTRY_UNAVAILABLE)],
)
async def test_a_question_that_has_no_readable_answer_does_not_stop_a_pull(platform: str, reason: Reason) -> None:
    """The stream judges; only all of an index cannot be pulled without knowing what there is."""
    engine = RecordingEngine(registry={NAME: remote()})
    engine.failures["distribution"] = UnreadableAnswerError(Reason.REGISTRY_UNAVAILABLE)
    outcome, *_ = await pull(engine, PullArguments(reference=REF, platform=platform))
    assert outcome.reason is reason
    engine.failures["distribution"] = OperationError(Reason.REGISTRY_UNAVAILABLE)
    outcome, *_ = await pull(engine, PullArguments(reference=REF, platform=platform, policy=ImagePullPolicy.ALWAYS))
    assert outcome.reason is Reason.REGISTRY_UNAVAILABLE


async def test_a_pull_pulls_and_looks() -> None:
    """Success is what the inspect afterwards shows."""
    engine = RecordingEngine(registry={NAME: remote()})
    outcome, execution, tracker = await pull(engine)
    assert outcome.reason is Reason.PULLED
    assert [call.split()[0] for call in engine.calls] == ["inspect", "inspect", "pull", "inspect"]
    image = execution.facts.image
    assert image is not None
    assert (image.digest, image.size_bytes, image.platforms, image.present) == (DIGEST, 5000, ("linux/amd64",), True)
    assert execution.facts.daemon is not None
    assert (execution.facts.daemon.image_store, execution.facts.daemon.version) == ("containerd", "29.0")
    assert (outcome.bytes_transferred, tracker.bytes_transferred) == (1000, 1000)


@pytest.mark.parametrize("store", ImageStore)
async def test_an_image_that_is_there_costs_no_call_to_the_registry(store: ImageStore) -> None:
    """Nor a credential."""
    image = local(REF)
    engine = RecordingEngine(store, images={NAME: on_graphdriver(image) if store is ImageStore.GRAPHDRIVER else image})
    credentials = FixedCredentials(failure=Reason.SECRET_NOT_FOUND)
    outcome, execution, _ = await pull(engine, credentials=credentials)
    assert (outcome.reason, credentials.asked) == (Reason.ALREADY_PRESENT, [])
    assert engine.seen("distribution") == engine.seen("pull") == []
    assert execution.facts.image is not None
    assert execution.facts.image.digest == DIGEST


async def test_policies_decide_about_the_registry() -> None:
    """Never asks it never, Always each time."""
    never = PullArguments(reference=REF, policy=ImagePullPolicy.NEVER)
    always = PullArguments(reference=REF, policy=ImagePullPolicy.ALWAYS)
    engine = RecordingEngine(registry={NAME: remote(OTHER_DIGEST)})
    assert (await pull(engine, never))[0].reason is Reason.IMAGE_NOT_ON_DAEMON
    assert engine.calls == [f"inspect {NAME}"]
    engine.images[NAME] = local(REF)
    outcome, execution, _ = await pull(engine, always)
    assert outcome.reason is Reason.PULLED
    assert execution.facts.image is not None
    assert execution.facts.image.digest == OTHER_DIGEST


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("describe", Reason.DAEMON_UNAVAILABLE),
        ("pull", Reason.REGISTRY_UNAVAILABLE),
        ("inspect", Reason.DAEMON_CONNECTION_LOST),
    ],
)
async def test_an_error_of_the_engine_is_the_outcome(method: str, error: Reason) -> None:
    """Wherever it comes up; the place for the transfer is given back."""
    engine = RecordingEngine(registry={NAME: remote()}, failures={method: OperationError(error)})
    place = daemon(engine, transfers=1)
    assert (await pull(engine, place=place))[0].reason is error
    engine.failures.clear()
    assert (await pull(engine, place=place))[0].reason is Reason.PULLED


async def test_what_the_registry_does_not_have_is_not_pulled() -> None:
    """The image, or the platform, of which the message names the ones that there are."""
    engine = RecordingEngine()
    assert (await pull(engine))[0].reason is Reason.IMAGE_NOT_FOUND
    engine.calls.clear()
    engine.registry[NAME] = remote(platforms=("linux/amd64", "linux/s390x"))
    outcome = (await pull(engine, ARM))[0]
    assert outcome.reason is Reason.PLATFORM_NOT_FOUND
    assert outcome.message == "The image has no linux/arm64. It has linux/amd64, linux/s390x."
    assert engine.seen("pull") == []


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (None, Reason.IMAGE_CHANGED),
        (local(REF, digest=OTHER_DIGEST), Reason.IMAGE_CHANGED),
    ],
    ids=["absent", "another"],
)
async def test_a_pull_that_left_something_else_is_a_failed_attempt(after: Any, reason: Reason) -> None:
    """The daemon's word alone is no success."""
    engine = RecordingEngine(registry={NAME: remote()})
    plain = engine.inspect

    async def inspect(reference: str, *, platform: str | None = None) -> Any:
        found = await plain(reference, platform=platform)
        return after if engine.seen("pull") else found

    engine_with_lie: Any = _With(engine, inspect=inspect)
    assert (await pull(engine_with_lie))[0].reason is reason


class _With:
    """An engine of which some methods are others."""

    def __init__(self, engine: RecordingEngine, **methods: Any) -> None:
        self._engine, self._methods = engine, methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._engine, name)


async def test_a_manifest_of_another_platform_than_asked_is_not_the_image() -> None:
    """A registry that names no platforms is believed first, and the inspect is not."""
    engine = RecordingEngine(ImageStore.GRAPHDRIVER, registry={NAME: remote(platforms=())})
    assert (await pull(engine, ARM))[0].reason is Reason.PLATFORM_NOT_FOUND


@pytest.mark.parametrize(
    ("platform", "reason"),
    [
        ("linux/arm64/v8", Reason.ALREADY_PRESENT),
        ("linux/amd64", Reason.PLATFORM_CONFLICT),
        (None, Reason.PLATFORM_CONFLICT),
    ],
)
async def test_a_graphdriver_keeps_one_platform_of_a_reference(platform: str | None, reason: Reason) -> None:
    """Another one is not pulled over it."""
    present = on_graphdriver(local(REF, platform=platform))
    engine = RecordingEngine(ImageStore.GRAPHDRIVER, images={NAME: present})
    assert (await pull(engine, ARM))[0].reason is reason
    assert engine.seen("pull") == []


async def test_a_graphdriver_has_no_whole_index() -> None:
    """EngineUnsupported before anything is asked."""
    engine = RecordingEngine(ImageStore.GRAPHDRIVER)
    assert (await pull(engine, ALL))[0].reason is Reason.ENGINE_UNSUPPORTED
    assert engine.calls == []


def with_index(*children: LocalManifest, present: bool = False) -> RecordingEngine:
    """Make an engine whose registry has an index with amd64, arm64 and an attestation."""
    offered = remote(platforms=("linux/amd64", "linux/arm64"), index=True)
    engine = RecordingEngine(registry={NAME: offered}, children={NAME: children})
    if present:
        engine.images[NAME] = local(REF, media_type=INDEX)
    return engine


async def test_all_platforms_are_pulled_child_by_child() -> None:
    """The daemon's own first, then what is missing, by digest, the attestation too."""
    children = (
        kid(OTHER_DIGEST, "linux/amd64", available=True),
        kid(ARM_DIGEST, "linux/arm64"),
        kid(PROOF_DIGEST, None),
    )
    engine = with_index(*children)
    engine.during["pull"] = lambda: engine.images.update({NAME: local(REF, media_type=INDEX)})
    outcome, execution, tracker = await pull(engine, ALL)
    assert outcome.reason is Reason.PULLED
    assert engine.seen("pull") == [f"pull {NAME}", f"pull {REF.name}@{ARM_DIGEST}", f"pull {REF.name}@{PROOF_DIGEST}"]
    assert execution.facts.image is not None
    assert execution.facts.image.platforms == ("linux/amd64", "linux/arm64")
    assert tracker.streams == 2


@pytest.mark.parametrize(("arrives", "reason"), [(True, Reason.PULLED), (False, Reason.DAEMON_ERROR)])
async def test_an_error_about_a_child_counts_if_something_is_missing_then(*, arrives: bool, reason: Reason) -> None:
    """The Engine may refuse the pull of an attestation although its content arrived."""
    engine = with_index(kid(OTHER_DIGEST, "linux/amd64", available=True), kid(PROOF_DIGEST, None))
    engine.images[NAME] = local(REF, media_type=INDEX)
    plain = engine.pull

    async def failing(reference: Reference, **rest: Any) -> Any:
        receipt = await plain(reference, **rest)
        if reference.digest is None:
            return receipt
        engine.children[NAME] = (kid(PROOF_DIGEST, None, available=arrives),)
        raise OperationError(Reason.DAEMON_ERROR)

    lying: Any = _With(engine, pull=failing)
    assert (await pull(lying, replace(ALL, policy=ImagePullPolicy.ALWAYS)))[0].reason is reason


ONE = PullArguments(reference=REF)
AMD_CHILD, ARM_CHILD = kid(DIGEST, "linux/amd64"), kid(ARM_DIGEST, "linux/arm64")


def there(child: LocalManifest) -> LocalManifest:
    """Return the same child, with its content on the daemon."""
    return replace(child, available=True)


@pytest.mark.parametrize(
    ("arguments", "children", "present"),
    [
        (ONE, (there(AMD_CHILD), ARM_CHILD), True),
        (ONE, (AMD_CHILD, there(ARM_CHILD)), False),
        (ARM, (there(ARM_CHILD),), True),
        (ALL, (there(AMD_CHILD), ARM_CHILD), False),
        (ALL, (there(AMD_CHILD),), True),
    ],
)
async def test_present_means_that_all_content_asked_for_is_there(
    arguments: PullArguments,
    children: tuple[LocalManifest, ...],
    *,
    present: bool,
) -> None:
    """An index whose other children are missing has only those that it has."""
    engine = with_index(*children, present=True)
    outcome, _, _ = await pull(engine, replace(arguments, policy=ImagePullPolicy.NEVER))
    assert outcome.reason is (Reason.ALREADY_PRESENT if present else Reason.IMAGE_NOT_ON_DAEMON)


@pytest.mark.feature("pull.shapes")
@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("entries", "reason"),
    [(1, Reason.ALREADY_PRESENT), (2, Reason.ENGINE_UNSUPPORTED), (None, Reason.IMAGE_NOT_FOUND)],
    ids=["as-many", "one-more", "gone"],
)
async def test_all_of_an_index_is_there_only_if_the_registry_lists_no_more(
    entries: int | None, reason: Reason, *, dry_run: bool
) -> None:
    """The daemon says nothing of an entry that is no manifest; the registry is asked once, for what the daemon has."""
    engine = with_index(there(AMD_CHILD), present=True)
    named = f"{REF.name}@{DIGEST}"
    if entries is not None:
        engine.registry[named] = replace(remote(index=True), entries=entries)
    outcome, *_ = await pull(engine, replace(ALL, dry_run=dry_run))
    expected = Reason.DRY_RUN_PASSED if dry_run and reason is Reason.ALREADY_PRESENT else reason
    assert outcome.reason is expected
    assert engine.seen("distribution") == [f"distribution {named}"]
    assert engine.seen("pull") == []


@pytest.mark.feature("pull.shapes")
@pytest.mark.parametrize("arguments", [ONE, replace(ALL, policy=ImagePullPolicy.NEVER)], ids=["one", "never"])
async def test_one_platform_and_never_do_not_ask_how_many_entries_there_are(arguments: PullArguments) -> None:
    """What the daemon lists counts."""
    engine = with_index(there(AMD_CHILD), present=True)
    assert (await pull(engine, arguments))[0].reason is Reason.ALREADY_PRESENT
    assert engine.seen("distribution") == []


@pytest.mark.feature("pull.shapes")
@pytest.mark.parametrize("given", [False, True])
async def test_the_name_of_a_refused_image_is_left_if_another_object_gave_it(*, given: bool) -> None:
    """It did in the course of the pull that was refused; else the name goes."""
    engine = RecordingEngine(registry={NAME: remote()})

    def refuse() -> None:
        engine.images[NAME] = local(REF)
        raise OperationError(Reason.ENGINE_UNSUPPORTED)

    engine.during["pull"] = refuse
    others = FixedOthers(asked=frozenset({NAME}), given=frozenset({NAME} if given else ()))
    tool = PullTool(daemon(engine), FixedCredentials(), Requester("uid", "team"), others)
    outcome = await Execution[Any, Any](tool, ONE, ProgressTracker(), Recorder()).run()
    assert (outcome.reason, NAME in engine.images) == (Reason.ENGINE_UNSUPPORTED, given)


@pytest.mark.parametrize(("platform", "present"), [("linux/arm64", True), ("linux/s390x", False)])
async def test_a_plain_manifest_has_one_platform(platform: str, *, present: bool) -> None:
    """On the containerd store too."""
    engine = RecordingEngine(images={NAME: local(REF, platform="linux/arm64/v8")})
    wanted = PullArguments(reference=REF, platform=platform, policy=ImagePullPolicy.NEVER)
    assert (await pull(engine, wanted))[0].reason is (Reason.ALREADY_PRESENT if present else Reason.IMAGE_NOT_ON_DAEMON)


@pytest.mark.parametrize(("present", "unchecked"), [(True, "nothing"), (False, "the layers themselves")])
async def test_a_dry_run_moves_no_layer(*, present: bool, unchecked: str) -> None:
    """And says what it did not check."""
    engine = RecordingEngine(registry={NAME: remote()}, images={NAME: local(REF)} if present else {})
    outcome, execution, _ = await pull(engine, PullArguments(reference=REF, dry_run=True))
    assert (outcome.reason, engine.seen("pull")) == (Reason.DRY_RUN_PASSED, [])
    assert f"Not checked: {unchecked}" in outcome.message
    assert (execution.facts.image is None) is present


async def test_the_record_shows_what_was_asked() -> None:
    """And no credential."""
    assert ARM.shown() == {"image": NAME, "imagePullPolicy": "IfNotPresent", "platform": "linux/arm64"}
    assert PullArguments(reference=REF).shown() == {"image": NAME, "imagePullPolicy": "IfNotPresent"}


# --- checks


@pytest.mark.parametrize(
    ("present", "offered", "reason"),
    [
        (True, remote(), Reason.ALREADY_PRESENT),
        (True, remote(OTHER_DIGEST), Reason.REMOTE_DIGEST_CHANGED),
        (True, None, Reason.IMAGE_NOT_FOUND),
        (False, remote(), Reason.IMAGE_MISSING),
    ],
    ids=["unchanged", "moved", "unknown", "gone"],
)
async def test_a_check_pulls_nothing(*, present: bool, offered: Any, reason: Reason) -> None:
    """It tells by its reason what has drifted."""
    engine = RecordingEngine(registry={NAME: offered} if offered else {}, images={NAME: local(REF)} if present else {})
    assert (await pull(engine, check=DIGEST))[0].reason is reason
    assert engine.seen("pull") == []


@pytest.mark.parametrize(
    "arguments",
    [
        PullArguments(reference=REF, policy=ImagePullPolicy.NEVER),
        PullArguments(reference=Reference.parse(f"registry.example/app@{DIGEST}")),
    ],
    ids=["never", "by-digest"],
)
async def test_what_cannot_move_is_not_compared(arguments: PullArguments) -> None:
    """A digest stays what it is, and Never does not ask."""
    engine = RecordingEngine(images={str(arguments.reference): local(arguments.reference, image_id=OTHER_ID)})
    assert (await pull(engine, arguments, check=DIGEST))[0].reason is Reason.ALREADY_PRESENT
    assert engine.seen("distribution") == []
