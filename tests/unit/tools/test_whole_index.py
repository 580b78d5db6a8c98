from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import PLATFORMS_LENGTH
from imageops.engine.protocol import LocalManifest, RemoteImage
from imageops.tools.daemon import Daemon
from imageops.tools.daemon_names import DaemonNames, NoOthers, OtherObjects
from imageops.tools.image_status import available_platforms
from imageops.tools.whole_index import MAX_INDEXES, WholeIndex
from tests.support.builders import DIGEST
from tests.support.other_objects import FixedOthers
from tests.support.recording_engine import INDEX, RecordingEngine, daemon, local, remote

pytestmark = pytest.mark.feature("pull.shapes")

REF = Reference.parse("registry.example/app:1")
NAME = str(REF)


def digest_of(number: int) -> str:
    """Make a digest."""
    return f"sha256:{number:064x}"


def kid(number: int, *, available: bool = True) -> LocalManifest:
    """Make a manifest below an index."""
    return LocalManifest(digest_of(number), "image", f"linux/v{number}", available=available)


def with_indexes(*numbers: int, offered: bool = True) -> RecordingEngine:
    """Make an engine that has an index, and lacks some indexes below it, which the registry offers or not."""
    engine = RecordingEngine(
        images={NAME: local(REF, media_type=INDEX)},
        children={NAME: (kid(1),)},
        indexes={NAME: [digest_of(number) for number in numbers]},
        registry={NAME: remote(index=True)},
    )
    if offered:
        for number in numbers:
            below = remote(digest_of(number), platforms=("linux/arm64",), index=True)
            engine.registry[f"{REF.name}@{digest_of(number)}"] = below
    return engine


def with_children(*children: LocalManifest) -> RecordingEngine:
    """Make an engine that has an index with some children, all of which the registry offers by digest."""
    engine = RecordingEngine(
        images={NAME: local(REF, media_type=INDEX)},
        children={NAME: children},
        registry={NAME: remote(index=True)},
    )
    for child in children:
        engine.registry[by_digest(child.digest)] = remote(child.digest)
    return engine


def by_digest(digest: str) -> str:
    """Name a child."""
    return f"{REF.name}@{digest}"


def whole(place: Daemon, others: OtherObjects | None = None) -> WholeIndex:
    """Make the index, on a daemon that other objects may use."""
    return WholeIndex(place.engine, REF, None, DaemonNames(place, others or NoOthers()))


async def fetch(
    engine: RecordingEngine,
    offered: RemoteImage | None = None,
    *,
    child_fails: Reason | None = None,
    others: OtherObjects | None = None,
    place: Daemon | None = None,
) -> str | Reason:
    """Fetch the index, and return its digest or the reason why not."""

    async def stream(part: Reference, platform: str | None) -> str:
        if child_fails is not None and part.digest is not None:
            engine.failures["pull"] = OperationError(child_fails)
        return (await engine.pull(part, platform=platform, auth=None, sink=lambda _: None)).digest

    index = whole(place or daemon(engine), others)
    try:
        return await index.fetch(offered or engine.registry[NAME], "linux/amd64", stream)
    except OperationError as error:
        return error.reason


async def test_each_index_that_is_absent_is_pulled_by_digest_and_leaves_no_name() -> None:
    """Whatever the daemon lists, an index that it lacks makes it incomplete."""
    engine = with_indexes(7, 8)
    assert not await whole(daemon(engine)).is_present()
    assert await fetch(engine) == DIGEST
    assert engine.seen("pull") == [f"pull {NAME}", *(f"pull {REF.name}@{digest_of(number)}" for number in (7, 8))]
    assert list(engine.images) == [NAME]
    assert await whole(daemon(engine)).is_present()


@pytest.mark.parametrize(
    "reason",
    [
        Reason.AUTH_FAILED,
        Reason.AUTH_EXPIRED,
        Reason.RATE_LIMITED,
        Reason.REGISTRY_UNAVAILABLE,
        Reason.REGISTRY_ERROR,
        Reason.STORAGE_FULL,
        Reason.CONTENT_CORRUPT,
        Reason.DAEMON_UNAVAILABLE,
        Reason.DAEMON_CONNECTION_LOST,
        Reason.DAEMON_ERROR,
        Reason.ENGINE_UNSUPPORTED,
    ],
)
async def test_an_error_that_left_a_child_missing_ends_the_pull_at_once(reason: Reason) -> None:
    """Of 33 children one is asked for, so that no registry is asked 33 times with a credential it refuses."""
    engine = with_children(*(kid(number, available=False) for number in range(33)))
    assert await fetch(engine, child_fails=reason) is reason
    assert engine.seen("pull") == [f"pull {NAME}", f"pull {by_digest(digest_of(0))}"]


async def test_a_full_disk_ends_the_pull_though_the_content_arrived() -> None:
    """It filled up while the child was unpacked; the name that the Engine left is taken away."""
    engine = with_children(kid(1, available=False), kid(2, available=False))

    def fill() -> None:
        if len(engine.seen("pull")) > 1:
            engine.children[NAME] = (kid(1), kid(2, available=False))
            engine.images[by_digest(digest_of(1))] = local(by_digest(digest_of(1)))
            raise OperationError(Reason.STORAGE_FULL)

    engine.during["pull"] = fill
    assert await fetch(engine) is Reason.STORAGE_FULL
    assert len(engine.seen("pull")) == 1 + 1
    assert list(engine.images) == [NAME]


@pytest.mark.parametrize("asked", [False, True])
async def test_the_name_of_a_part_that_another_object_asks_for_is_left(*, asked: bool) -> None:
    """It came to ask in the course of the pull; else the name goes."""
    part = by_digest(digest_of(1))
    engine = with_children(kid(1, available=False))
    others = FixedOthers(asked=frozenset({part} if asked else ()))
    assert await fetch(engine, others=others) == DIGEST
    assert (part in engine.images) is asked


async def test_the_name_of_a_part_is_not_taken_away_while_its_lock_is_held() -> None:
    """Whoever works on the name ends first."""
    part = by_digest(digest_of(1))
    engine = with_children(kid(1, available=False))
    place = daemon(engine)
    async with place.targets.holding(part):
        fetching = asyncio.create_task(fetch(engine, place=place))
        for _ in range(50):
            await asyncio.sleep(0)
        assert part in engine.images
        assert not fetching.done()
    assert await fetching == DIGEST
    assert part not in engine.images


async def test_an_index_that_the_registry_lacks_is_not_found() -> None:
    """And is asked for once."""
    engine = with_indexes(7, offered=False)
    assert await fetch(engine) is Reason.IMAGE_NOT_FOUND
    assert len(engine.seen("distribution")) == 1


async def test_an_index_that_stays_absent_and_one_with_too_many_others_are_refused() -> None:
    """The walk ends."""
    engine = with_indexes(7)
    engine.registry[f"{REF.name}@{digest_of(7)}"] = remote(digest_of(9), index=True)
    assert await fetch(engine) is Reason.ENGINE_UNSUPPORTED
    assert await fetch(with_indexes(*range(100, 100 + MAX_INDEXES + 1))) is Reason.ENGINE_UNSUPPORTED
    assert await fetch(with_indexes(*range(100, 100 + MAX_INDEXES))) == DIGEST


async def test_an_entry_that_is_no_manifest_and_no_index_is_refused() -> None:
    """The daemon lists fewer than the registry does."""
    engine = with_indexes()
    assert await fetch(engine, replace(remote(index=True), entries=2)) is Reason.ENGINE_UNSUPPORTED
    assert await fetch(engine, replace(remote(index=True), entries=1)) == DIGEST


def test_a_status_lists_each_platform_once_and_as_many_as_it_holds() -> None:
    """Of 60 children, and of two of one platform."""
    kids = [kid(number) for number in range(60)]
    found = available_platforms([*kids[:2], *kids])
    assert len(found) == len(set(found)) == PLATFORMS_LENGTH
