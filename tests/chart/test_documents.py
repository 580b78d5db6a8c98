"""The values and the objects of other projects that the documentation shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.chart import VERSIONS, render
from tests.support.kube_schemas import published
from tests.support.pages import own_manifests, pages

VALUES = [(page.name, values) for page in pages() for values in page.values]
FOREIGN = [(page.name, body) for page in pages() for body in page.manifests if body not in own_manifests(page)]
UNPUBLISHED = ("kustomize.toolkit.fluxcd.io/",)
"""Groups whose schemas lie in no Go module that the tests have."""


@pytest.mark.feature("doc.quickstart")
@pytest.mark.parametrize(("page", "values"), VALUES, ids=[name for name, _ in VALUES])
def test_documented_values_are_taken_by_the_chart(page: str, values: dict[str, Any]) -> None:
    """By the schema and the guards."""
    assert render(values).objects, page


@pytest.mark.feature("doc.quickstart")
@pytest.mark.parametrize(("page", "body"), FOREIGN, ids=[f"{name}-{body['kind']}" for name, body in FOREIGN])
def test_documented_objects_of_other_projects_fit_their_schemas(page: str, body: dict[str, Any]) -> None:
    """Kubernetes' own, and those of the projects that publish theirs."""
    if not body["apiVersion"].startswith(UNPUBLISHED):
        assert published(VERSIONS[-1], body["apiVersion"], body["kind"]).problems(body) == [], page
