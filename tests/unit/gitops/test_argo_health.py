"""Argo CD's view of our objects: the scripts, their fixtures, and the examples that rest on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.argo_fixtures import files
from tests.support.argo_health import ARGOCD, CUSTOMIZATIONS, GROUP_FOLDER, SETTING, Health, judge, script, settings
from tests.support.builders import KINDS
from tests.support.kinds import KINDS_BY_NAME


def cases(kind: str) -> list[dict[str, Any]]:
    """Read the list of a kind's fixtures, in the form that Argo CD's own tests read it."""
    listed = yaml.safe_load((GROUP_FOLDER / kind / "health_test.yaml").read_text(encoding="utf-8"))
    return list(listed["tests"])


ALL = [pytest.param(kind, case, id=f"{kind}-{case['inputPath']}") for kind in KINDS for case in cases(kind)]


@pytest.mark.feature("gitops.argo-health")
@pytest.mark.parametrize(("kind", "case"), ALL)
def test_a_script_says_of_a_fixture_what_is_listed(kind: str, case: dict[str, Any]) -> None:
    """So does the copy in argocd-cm."""
    body = yaml.safe_load((GROUP_FOLDER / kind / case["inputPath"]).read_text(encoding="utf-8"))
    assert body["kind"] == kind
    expected = Health(**case["healthStatus"])
    assert judge(script(kind), body) == expected
    assert judge(settings()[f"{SETTING}{kind}"], body) == expected


@pytest.mark.feature("gitops.argo-health")
@pytest.mark.parametrize("kind", KINDS)
def test_the_layout_is_that_of_argo_cd(kind: str) -> None:
    """A folder per group and kind; every fixture is listed, every health occurs, and there are five or more."""
    folder = CUSTOMIZATIONS / "imageops.dev" / kind
    assert {path.name for path in folder.iterdir()} == {"health.lua", "health_test.yaml", "testdata"}
    listed = [case["inputPath"] for case in cases(kind)]
    assert sorted(listed) == sorted(f"testdata/{path.name}" for path in (folder / "testdata").iterdir())
    assert {case["healthStatus"]["status"] for case in cases(kind)} == {
        "Healthy",
        "Progressing",
        "Degraded",
        "Suspended",
    }
    assert len(listed) >= 5


@pytest.mark.feature("gitops.argo-health")
def test_the_fixtures_are_what_the_operator_decides_today() -> None:
    """`make generate` writes them; none is left over from former rules."""
    expected = files()
    assert [path for path, text in expected.items() if path.read_text(encoding="utf-8") != text] == []
    assert set(GROUP_FOLDER.rglob("*.yaml")) == {path for path in expected if GROUP_FOLDER in path.parents}


@pytest.mark.feature("gitops.argo-health")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": 1}, {"observedGeneration": 1, "conditions": []}])
def test_an_object_without_an_answer_is_waited_for(kind: str, status: dict[str, Any] | None) -> None:
    """Whatever part of a status it has, and whether or not anybody has set an annotation."""
    for metadata in ({}, {"annotations": {"other": "1"}}):
        body: dict[str, Any] = {"metadata": {"generation": 1, **metadata}, "spec": {}}
        if status is not None:
            body["status"] = status
        assert judge(script(kind), body).status == "Progressing"


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_that_has_been_answered_holds_nothing_up(kind: str) -> None:
    """The end that shows is that of the run it asked for."""
    body = yaml.safe_load((GROUP_FOLDER / kind / "testdata" / "healthy_succeeded.yaml").read_text(encoding="utf-8"))
    body["metadata"]["annotations"] = {"imageops.dev/requestedAt": "2"}
    assert judge(script(kind), body).status == "Progressing"
    body["status"]["lastHandledRequestedAt"] = "2"
    assert judge(script(kind), body).status == "Healthy"


def of(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def test_the_hook_runs_before_a_synchronisation_and_is_made_anew_for_each() -> None:
    """A hook with a name is run once only, unless the former one is deleted first."""
    [hook] = of(ARGOCD / "presync-promote.yaml")
    assert hook["metadata"]["annotations"] == {
        "argocd.argoproj.io/hook": "PreSync",
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
    }
    KINDS_BY_NAME[hook["kind"]].spec_model.model_validate(hook["spec"])
    assert "ttlSecondsAfterFinished" not in hook["spec"]


def test_the_image_is_a_wave_before_what_runs_it() -> None:
    """And both name the same image."""
    pull, deployment = of(ARGOCD / "sync-waves.yaml")
    KINDS_BY_NAME[pull["kind"]].spec_model.model_validate(pull["spec"])
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert pull["spec"]["image"] == container["image"]
    waves = [int(one["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) for one in (pull, deployment)]
    assert waves == sorted(set(waves))
