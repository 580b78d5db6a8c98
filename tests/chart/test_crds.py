"""The definitions: in the chart and alone, upgraded and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from imageops.api.committed import drift
from imageops.api.crdgen.manifest import crd_files
from tests.support.chart import CHART, CRD_CHART, MODES, VERSIONS, render, render_crds

CRDS = Path(__file__).parents[2] / "crds"

everywhere = pytest.mark.parametrize("version", VERSIONS)


@pytest.mark.feature("chart.crds")
def test_the_charts_copies_are_what_the_models_generate() -> None:
    """Byte by byte, and no others lie there."""
    assert drift(CRD_CHART / "files", crd_files()) == []
    assert {file.name for file in (CRD_CHART / "files").iterdir()} == set(crd_files())


@pytest.mark.feature("chart.crds")
@everywhere
@pytest.mark.parametrize("mode", MODES)
def test_an_installation_has_every_definition_and_keeps_it(mode: str, version: str) -> None:
    """They are templates, as Helm never upgrades what lies in a folder `crds`."""
    assert not (CHART / "crds").exists()
    rendered = render(MODES[mode], version=version, crds=True)
    committed = {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in CRDS.glob("*.yaml")}
    assert {f"{each['metadata']['name']}.yaml" for each in rendered.all("CustomResourceDefinition")} == set(committed)
    for definition in rendered.all("CustomResourceDefinition"):
        assert definition["spec"] == committed[f"{definition['metadata']['name']}.yaml"]["spec"]
        assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.feature("chart.crds")
def test_whoever_says_so_has_them_removed_or_installs_them_apart() -> None:
    """By one value each."""
    for definition in render({"crds": {"keep": False}}, crds=True).all("CustomResourceDefinition"):
        assert "annotations" not in definition["metadata"]
    assert render({"crds": {"enabled": False}}).all("CustomResourceDefinition") == []


@pytest.mark.feature("chart.crds")
@everywhere
def test_the_chart_of_definitions_alone_has_the_same(version: str) -> None:
    """And nothing else."""
    assert list(render_crds(version).objects) == render(version=version, crds=True).all("CustomResourceDefinition")
