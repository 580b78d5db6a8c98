"""Objects that a backup brings back, as the page on backup and restore says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from imageops.api.kinds import GROUP, IMAGE_TAG, VERSION
from tests.integration.conftest import MakeImage
from tests.support.objects import Body, Objects
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

NAMES = ("v2", "v1")
"""In the order in which a backup tool brings them back: the newer before the older."""


class _Site:
    """Two tags of one name, made one after the other, and what a backup holds of them."""

    def __init__(self, objects: Objects, engine: EngineUnderTest, make_image: MakeImage) -> None:
        self.objects, self.engine = objects, engine
        self.target = f"prod.example/{objects.namespace}:stable"
        self.ids: dict[str, str] = {}
        self.saved: dict[str, Body] = {}
        for name in reversed(NAMES):
            image = make_image()
            engine.daemon.pull(image.reference)
            spec = {
                "source": image.reference,
                "target": self.target,
                "ifExists": "Replace",
                "daemonName": engine.name,
            }
            self.saved[name] = objects.run(IMAGE_TAG, name, spec)
            self.ids[name] = self.named
        assert self.ids["v1"] != self.ids["v2"] == self.named
        for name in NAMES:
            objects.delete(IMAGE_TAG, name)
            objects.wait_gone(IMAGE_TAG, name)

    @property
    def named(self) -> str:
        """The image that has the name now."""
        found = self.engine.daemon.inspect(self.target)
        assert found is not None
        return str(found["Id"])

    def restore(self, *names: str, status: bool, **changes: Any) -> None:
        """Bring them back as a backup tool does: created without status, which is then written if that is asked for."""
        for name in names:
            saved = self.saved[name]
            body = {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": IMAGE_TAG.kind,
                "metadata": {"name": name},
                "spec": {**saved["spec"], **changes},
                "status": saved["status"],
            }
            answer = self.objects.api.request("POST", self.objects.path(IMAGE_TAG), body)
            assert answer.status == 201, answer.message
            if status:
                answer = self.objects.api.replace(self.objects.path(IMAGE_TAG, name), "status", saved["status"])
                assert answer.status == 200, answer.message

    def wait(self, phase: str) -> Mapping[str, Body]:
        """Return both when they are in a phase."""
        return {name: self.objects.wait(IMAGE_TAG, name, lambda body: _phase(body) == phase) for name in NAMES}


def _phase(body: Body) -> str:
    seen = body["status"].get("observedGeneration") == body["metadata"]["generation"]
    return str(body["status"]["phase"]) if seen else ""


@pytest.fixture
def site(objects: Objects, containerd: EngineUnderTest, make_image: MakeImage) -> _Site:
    """Return the two tags."""
    return _Site(objects, containerd, make_image)


@pytest.mark.feature("gitops.restore")
def test_what_is_restored_without_a_status_runs_in_the_order_of_the_restore(site: _Site) -> None:
    """Which is why the page says to suspend it: the older one, restored after the newer, moves the name back."""
    for name in NAMES:
        site.restore(name, status=False)
        site.objects.wait(IMAGE_TAG, name, lambda body: _phase(body) == "Succeeded")
        assert site.named == site.ids[name]
    assert site.named == site.ids["v1"]


@pytest.mark.feature("gitops.restore")
def test_what_is_restored_suspended_runs_nothing_until_it_is_let_go(site: _Site) -> None:
    """One by one, the newest last: then the name is where it was."""
    site.restore(*NAMES, status=False, suspend=True)
    site.wait("Suspended")
    assert site.named == site.ids["v2"]
    for name in reversed(NAMES):
        site.objects.patch(IMAGE_TAG, name, {"spec": {"suspend": None}})
        site.objects.wait(IMAGE_TAG, name, lambda body: _phase(body) == "Succeeded")
        assert site.named == site.ids[name]
    assert site.named == site.ids["v2"]


@pytest.mark.feature("gitops.restore")
def test_what_is_restored_suspended_with_its_status_has_ended_and_runs_nothing(site: _Site) -> None:
    """Neither then nor when it is let go, in whatever order; a token still runs it."""
    site.restore(*NAMES, status=True, suspend=True)
    for name in NAMES:
        site.objects.patch(IMAGE_TAG, name, {"spec": {"suspend": None}})
    bodies = site.wait("Succeeded")
    for name, body in bodies.items():
        assert body["status"]["completionTime"] == site.saved[name]["status"]["completionTime"]
        assert body["status"]["run"] == site.saved[name]["status"]["run"]
    assert site.named == site.ids["v2"]
    site.objects.ask_again(IMAGE_TAG, "v1", "again")
    site.objects.wait(IMAGE_TAG, "v1", lambda body: body["status"]["run"] == 2 and _phase(body) == "Succeeded")
    assert site.named == site.ids["v1"]
