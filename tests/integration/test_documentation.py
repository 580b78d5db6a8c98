"""What the documentation shows, given to a real API server by a real kubectl, as a reader would."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster import parts
from devcluster.env import Environment
from imageops.api.kinds import ALL_KINDS, IMAGE_PULL, SESSION
from tests.support.admission import ApiServer
from tests.support.clients import Client, MakeClient, program
from tests.support.commands import OUR_NAMES
from tests.support.objects import Objects
from tests.support.pages import ROOT, Page, own_manifests, pages
from tests.support.states import Course, Stage

pytestmark = pytest.mark.integration

PLURALS = {kind.kind: kind.plural for kind in ALL_KINDS}
MANIFESTS = [(page.name, body) for page in pages() for body in own_manifests(page)]
VERBS = {"annotate", "delete", "describe", "get", "patch"}


def _is_about_objects(words: list[str]) -> bool:
    return (
        words[0] == "kubectl"
        and "-n" not in words  # in the operator's own namespace, about objects of the chart
        and any(word in VERBS for word in words)
        and any(word.partition("/")[0] in OUR_NAMES for word in words)
    )


COMMANDS = sorted({tuple(words) for page in pages() for words in page.commands if _is_about_objects(words)})


@pytest.mark.feature("doc.quickstart")
@pytest.mark.parametrize(("page", "body"), MANIFESTS, ids=[f"{name}-{body['kind']}" for name, body in MANIFESTS])
def test_the_api_server_takes_a_documented_manifest(api: ApiServer, page: str, body: dict[str, Any]) -> None:
    """Strictly, and without a warning."""
    path = f"/apis/{body['apiVersion']}/namespaces/default/{PLURALS[body['kind']]}"
    answer = api.request("POST", path, body, dryRun="All")
    assert (answer.status, answer.message, answer.warnings) == (201, "", ()), page


@pytest.fixture
def named(objects: Objects) -> Objects:
    """Make the objects that the guides' commands name; suspended, so that nothing is pulled."""
    objects.create(IMAGE_PULL, "nginx", {"image": "a.example/nginx:1", "suspend": True})
    objects.create(IMAGE_PULL, "builder", {"image": "a.example/builder:1", "suspend": True})
    steps = [{"name": "ship", "promote": {"source": "a.example/app:1", "target": "b.example/app:1"}}]
    objects.create(SESSION, "build-118", {"suspend": True})
    for name in ("release", "mirror", "nightly"):
        objects.create(SESSION, name, {"steps": steps, "suspend": True})
    return objects


@pytest.mark.feature("doc.quickstart", "status.find")
def test_kubectl_does_what_the_guides_have_it_do(named: Objects, make_client: MakeClient) -> None:
    """Every command that looks at objects, annotates, changes or deletes them ends well, as often as it is given."""
    kubectl = make_client(parts.KUBECTL, named.namespace)
    assert len(COMMANDS) > 15
    deletions = [words for words in COMMANDS if "delete" in words]
    for words in (*(words for words in COMMANDS if words not in deletions), *deletions):
        kubectl.run(*words[1:])


@pytest.fixture
def teammate(cluster: Environment, tmp_path: Path) -> Client:
    """Return kubectl in the hands of somebody with rights in one namespace."""
    return Client(program(parts.KUBECTL), cluster.kubeconfig_team_a, "team-a", tmp_path)


@pytest.mark.feature("doc.quickstart", "status.find")
@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("words", [("get", "imageops"), ("get", "imageops", "--field-selector=status.phase=Failed")])
def test_whoever_has_rights_in_a_namespace_alone_can_look_at_all_its_objects(
    teammate: Client, words: tuple[str, ...]
) -> None:
    """The category has no kind that they may not list, or that knows no phase."""
    assert "Forbidden" not in teammate.run(*words).said


@pytest.fixture
def in_a_shell(stage: Stage, cluster: Environment, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Give the environment of a shell whose kubectl works in the stage's namespace."""
    command = tmp_path / "kubectl"
    real, namespace = shlex.quote(str(program(parts.KUBECTL))), stage.objects.namespace
    command.write_text(f'#!/bin/sh\nexec {real} --namespace {namespace} "$@"\n', encoding="utf-8")
    command.chmod(0o700)
    path = f"{tmp_path}:{os.environ['PATH']}"
    yield {**os.environ, "PATH": path, "HOME": str(tmp_path), "KUBECONFIG": cluster.kubeconfig}
    stage.let_go()


@pytest.mark.feature("doc.quickstart", "gitops.waits")
@pytest.mark.parametrize("course", [Course.SUCCEEDS, Course.FAILS])
def test_the_documented_wait_ends_with_either_end(stage: Stage, in_a_shell: dict[str, str], course: Course) -> None:
    """For a new object, and after an edit of one that had ended: never by the end of the run before."""
    lines = [line.strip() for line in Page(ROOT / "docs" / "gitops.md").text.splitlines()]
    start = next(number for number, line in enumerate(lines) if line.startswith("generation=$("))
    script = "\n".join(lines[start : start + 4]).replace("session/release", f"session/{course}")
    before = Course.FAILS if course is Course.SUCCEEDS else Course.SUCCEEDS
    for each in (before, course):
        if each is before:
            stage.create(SESSION, course, before)
        else:
            stage.objects.patch(SESSION, course, {"spec": stage.spec(SESSION, course)})
        done = subprocess.run(
            ["sh", "-ec", script], env=in_a_shell, capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.returncode == 0) == (each is Course.SUCCEEDS), done.stdout + done.stderr
    assert stage.objects.get(SESSION, course)["status"]["run"] == 2
