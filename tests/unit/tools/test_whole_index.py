from __future__ import annotations

from dataclasses import replace

import pytest

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.api.status import PLATFORMS_LENGTH
from imageops.engine.protocol import LocalManifest, RemoteImage
from imageops.tools.evidence import available_platforms
from imageops.tools.whole_index import MAX_INDEXES, WholeIndex
from tests.support.builders import DIGEST
from tests.support.recording_engine import INDEX, RecordingEngine, local, remote

pytestmark = pytest.mark.feature("pull.shapes")

REF = Reference.parse("registry.example/app:1")
NAME = str(REF)


def digest_of(number: int) -> str:
    """Make a digest."""
    return f"sha256:{number:064x}"


def kid(number: int, *, available: bool = True) -> LocalManifest:
    """Make a manifest below an index."""
    return LocalManifest(digest_of(number), "image", f"linux/v{number}", available=available, size_bytes=1)


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


async def fetch(engine: RecordingEngine, offered: RemoteImage | None = None) -> str | Reason:
    """Fetch the index, and return its digest or the reason why not."""

    async def stream(part: Reference, platform: str | None) -> str:
        return (await engine.pull(part, platform=platform, auth=None, sink=lambda _: None)).digest

    try:
        return await WholeIndex(engine, REF, None).fetch(offered or engine.registry[NAME], "linux/amd64", stream)
    except OperationError as error:
        return error.reason


async def test_each_index_that_is_absent_is_pulled_by_digest_and_leaves_no_name() -> None:
    """Whatever the daemon lists, an index that it lacks makes it incomplete."""
    engine = with_indexes(7, 8)
    assert not await WholeIndex(engine, REF, None).is_present()
    assert await fetch(engine) == DIGEST
    assert engine.seen("pull") == [f"pull {NAME}", *(f"pull {REF.name}@{digest_of(number)}" for number in (7, 8))]
    assert list(engine.images) == [NAME]
    assert await WholeIndex(engine, REF, None).is_present()


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
