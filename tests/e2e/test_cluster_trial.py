"""The trial on clusters that others made, run as its users run it; here the cluster is the node."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster import parts
from devcluster.images import PushedImage
from e2e.environment import Environment
from imageops.api.kinds import ALL_KINDS
from tests.e2e.conftest import MakeImage
from tests.support.admission import ApiServer
from tests.support.chart import CHART
from tests.support.chart_pages import ROOT
from tests.support.clients import Client, program
from tests.support.installation import engine_values, make_volume, wait_left

NAMESPACE = "imageops-trial"
CLAIM = "data-imageops-0"
SECONDS = 420
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

Trial = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def image(make_image: MakeImage) -> PushedImage:
    """Return an index with two platforms and their attestations."""
    return make_image(platforms=["linux/amd64", "linux/arm64"], attestations=True)


@pytest.fixture
def trial(node: Environment, image: PushedImage, tmp_path: Path) -> Trial:
    """Return a function that runs the script with Helm's arguments; all else it is told by its variables."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for part in (parts.HELM_4, parts.KUBECTL):
        (programs / part.program).symlink_to(program(part))
    values = tmp_path / "values.json"
    values.write_text(json.dumps(engine_values(node)), encoding="utf-8")
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "KUBECONFIG": node.kubeconfig,
        "IMAGE": node.operator_image,
        "REGISTRY_IMAGE": node.registry_image,
        "SOURCE_IMAGE": image.reference,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / ".ci" / "cluster-trial"), f"--values={values}", *arguments]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    return run


@pytest.fixture
def volume(node: Environment, api: ApiServer) -> Iterator[None]:
    """Make the volume that another cluster would provide."""
    make_volume(api, Path(node.volumes) / "trial", CLAIM, NAMESPACE)
    yield
    assert api.request("DELETE", f"/api/v1/persistentvolumes/{CLAIM}").status == 200


def namespaces(api: ApiServer) -> set[str]:
    """Return the names of all namespaces."""
    return {body["metadata"]["name"] for body in api.request("GET", "/api/v1/namespaces").body["items"]}


@pytest.mark.feature("session.promote", "chart.crds")
@pytest.mark.usefixtures("volume")
def test_the_chart_is_tried_and_removed(trial: Trial, api: ApiServer, node: Environment, image: PushedImage) -> None:
    """The image arrives with its digest, and nothing is left but the kinds; it takes Helm and kubectl, and no DNS."""
    before = namespaces(api)
    # A registry that speaks plain HTTP, as the script's own two; definitions may be there from another release.
    done = trial("--set", f"daemon.dind.insecureRegistries[2]={node.registry}", "--take-ownership")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"promoted {image.reference}: {image.digest}" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1].startswith("cluster-trial: ok in ")
    assert namespaces(api) == before
    wait_left(api, NAMESPACE, {("CustomResourceDefinition", kind.crd_name) for kind in ALL_KINDS})


@pytest.fixture
def definitions(make_helm: Callable[[str], Client]) -> Iterator[Client]:
    """Install the definitions as somebody else's release, and return the Helm that did."""
    helm = make_helm("default")
    helm.run("install", "definitions", str(CHART / "charts" / "imageops-crds"), "--take-ownership")
    yield helm
    helm.run("uninstall", "definitions")


def test_beside_another_installation_it_fails_and_cleans_up(trial: Trial, api: ApiServer, definitions: Client) -> None:
    """Nothing of the other is touched, and the last line says how it ended."""
    before, release = namespaces(api), definitions.run("get", "all", "definitions").said
    found = api.request("GET", DEFINITIONS).body["items"]
    done = trial()
    assert done.returncode != 0
    assert "invalid ownership metadata" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("cluster-trial: FAILED after ")
    assert namespaces(api) == before
    assert definitions.run("get", "all", "definitions").said == release
    assert api.request("GET", DEFINITIONS).body["items"] == found
