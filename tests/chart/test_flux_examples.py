"""The examples for Flux fit its schema and each other."""

from __future__ import annotations

from typing import Any

import yaml

from tests.support.chart import VERSIONS
from tests.support.chart_pages import ROOT
from tests.support.kinds import KINDS_BY_NAME
from tests.support.kube_schemas import published

FOLDER = ROOT / "examples" / "flux"


def kustomizations() -> dict[str, dict[str, Any]]:
    """Return the Kustomizations by name."""
    bodies = list(yaml.safe_load_all((FOLDER / "kustomizations.yaml").read_text(encoding="utf-8")))
    return {body["metadata"]["name"]: body for body in bodies}


def test_the_kustomizations_fit_the_schema_of_flux() -> None:
    """And wait, with no health check expression."""
    for body in kustomizations().values():
        assert published(VERSIONS[-1], body["apiVersion"], body["kind"]).problems(body) == []
        assert body["spec"]["wait"] is True
        assert "healthCheckExprs" not in body["spec"]
        assert list((FOLDER / body["spec"]["path"]).glob("*.yaml"))


def test_what_runs_an_image_depends_on_its_promotion() -> None:
    """And runs what the promotion leaves at its target."""
    [needed] = kustomizations()["app"]["spec"]["dependsOn"]
    assert needed["name"] in kustomizations()
    session = yaml.safe_load((FOLDER / "images" / "app.yaml").read_text(encoding="utf-8"))
    KINDS_BY_NAME[session["kind"]].spec_model.model_validate(session["spec"])
    deployment = yaml.safe_load((FOLDER / "app" / "deployment.yaml").read_text(encoding="utf-8"))
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    [step] = session["spec"]["steps"]
    assert container["image"] == step["promote"]["target"]
