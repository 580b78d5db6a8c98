from __future__ import annotations

from dataclasses import replace

from imageops.api.references import Reference
from imageops.tools.image_status import digests_in
from tests.support.builders import DIGEST, OTHER_DIGEST
from tests.support.recording_engine import local

REF = Reference.parse("registry.example/app:1")


def test_only_digests_of_the_repository_count() -> None:
    """Those of others do not, and what is no name of an image is passed over."""
    texts = ("registry.example/other@" + DIGEST, "@@nonsense", "<none>@<none>", f"{REF.name}@{OTHER_DIGEST}")
    assert digests_in(replace(local(REF), repo_digests=texts), REF) == (OTHER_DIGEST,)
