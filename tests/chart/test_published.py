"""The chart as a release publishes it: packaged under a version of its own, with both images named by digest."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from devcluster.parts import HELM_4
from tests.support.chart import CHART
from tests.support.clients import program

VERSION = f"0.1.0-sha-{40 * 'a'}"
"""As that of a commit of main."""
DIGESTS = [f"sha256:{64 * '1'}", f"sha256:{64 * '2'}"]


@pytest.mark.feature("ci.tags")
def test_what_is_published_runs_exactly_the_images_that_were_looked_up(tmp_path: Path) -> None:
    """Under labels that Kubernetes takes, with the definitions inside."""
    chart = tmp_path / "imageops"
    shutil.copytree(CHART, chart)
    values = (chart / "values.yaml").read_text(encoding="utf-8")
    assert values.count('digest: ""') == len(DIGESTS)
    for digest in DIGESTS:
        values = values.replace('digest: ""', f"digest: {digest}", 1)
    (chart / "values.yaml").write_text(values, encoding="utf-8")
    words = ("--version", VERSION, "--destination", tmp_path)
    subprocess.run([program(HELM_4), "package", chart, *words], check=True, capture_output=True, timeout=60)
    command: list[str | Path] = [program(HELM_4), "template", "imageops", tmp_path / f"imageops-{VERSION}.tgz"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    bodies = [body for body in yaml.load_all(done.stdout, yaml.CSafeLoader) if body]
    [pod] = [body["spec"]["template"]["spec"] for body in bodies if body["kind"] == "StatefulSet"]
    images = {one["image"] for one in (*pod["containers"], *pod["initContainers"])}
    assert {f"ghcr.io/imageops/imageops@{DIGESTS[0]}", f"docker.io/library/docker@{DIGESTS[1]}"} <= images
    assert all("@sha256:" in image for image in images)
    for body in bodies:
        for value in (body["metadata"].get("labels") or {}).values():
            assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", value), value
    assert any(body["kind"] == "CustomResourceDefinition" for body in bodies)
