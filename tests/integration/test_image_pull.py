"""ImagePull on real parts."""

from __future__ import annotations

import pytest

from imageops.api.kinds import IMAGE_PULL
from tests.integration.conftest import EngineUnderTest, MakeImage
from tests.support.objects import Objects, reason

pytestmark = pytest.mark.integration


@pytest.mark.feature("pull.succeeds")
def test_a_pull_ends_pulled_and_the_daemon_has_the_image(
    objects: Objects, engine: EngineUnderTest, make_image: MakeImage,
) -> None:
    """Both engines end Succeeded with reason Pulled."""
    image = make_image(layers=[50_000, 20_000])
    body = objects.run(IMAGE_PULL, "app", {"image": image.reference, "daemonName": engine.name})
    assert reason(body) == "Pulled"
    assert body["status"]["image"]["digest"] == image.digest
