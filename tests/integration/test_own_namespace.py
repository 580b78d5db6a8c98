"""Whatever a user writes into a ServiceAccount, the operator asks for nothing outside the object's namespace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devcluster.env import Environment
from devcluster.kubernetes import OPERATOR
from imageops.api.kinds import IMAGE_PULL
from tests.integration.conftest import MakeGate, MakeImage, through
from tests.support.objects import Objects, reason
from tests.support.registry_secrets import create_registry_secret
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

SPELLINGS = [
    "../../{namespace}/secrets/regcred",
    "..%2f..%2f{namespace}%2fsecrets%2fregcred",
    "%2e%2e/%2e%2e/{namespace}/secrets/regcred",
    "../../../namespaces/{namespace}/secrets/regcred?x=",
    "?/../../../{namespace}/secrets/regcred",
    "..\\..\\{namespace}\\secrets\\regcred",
    "/api/v1/namespaces/{namespace}/secrets/regcred",
    ".",
    "..",
    "#",
    "regcred%00",
    "Regcred",
]
"""Names under which another namespace's Secret, or no Secret at all, might be reached."""


def asked_by_the_operator(log: str) -> list[dict[str, Any]]:
    """Return what the API server noted of the operator's requests for Secrets and ServiceAccounts."""
    lines = Path(log).read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["user"]["username"] == OPERATOR]


@pytest.mark.feature("cred.own-namespace")
def test_no_name_leads_into_another_namespace(
    objects: Objects,
    other_objects: Objects,
    engine: EngineUnderTest,
    make_image: MakeImage,
    make_gate: MakeGate,
    cluster: Environment,
) -> None:
    """The pull stays anonymous and says which entry was of no use; by the audit log nothing else was asked for."""
    pair = (cluster.registry_auth_user, cluster.registry_auth_password)
    image = make_image(registry=cluster.registry_auth, credentials=pair)
    gate = make_gate(cluster.registry_auth)
    theirs, mine = objects, other_objects
    create_registry_secret(theirs, "regcred", gate.address, pair)
    path = f"/api/v1/namespaces/{mine.namespace}/serviceaccounts"
    for number, spelling in enumerate(SPELLINGS):
        entry = {"name": spelling.format(namespace=theirs.namespace)}
        account = {"metadata": {"name": f"robot-{number}"}, "imagePullSecrets": [entry]}
        assert mine.api.request("POST", path, account).status == 201
    before = len(asked_by_the_operator(cluster.audit_log))
    for number, spelling in enumerate(SPELLINGS):
        spec = {
            "image": through(gate, image),
            "daemonName": engine.name,
            "serviceAccountName": f"robot-{number}",
        }
        body = mine.run(IMAGE_PULL, f"app-{number}", spec)
        assert reason(body) == "AuthFailed", spelling
        assert "imagePullSecrets[0]" in body["status"]["error"]["hint"]
        assert body["status"]["auth"] == {"method": "Anonymous"}
    asked = asked_by_the_operator(cluster.audit_log)[before:]
    own = [one for one in asked if one["objectRef"]["namespace"] == mine.namespace]
    assert len(own) >= len(SPELLINGS)
    assert [one["requestURI"] for one in asked if one not in own] == []
    assert {one["objectRef"]["resource"] for one in own} == {"serviceaccounts"}
    assert not [request for request in gate.requests if request.authorized]


@pytest.mark.feature("cred.own-namespace")
def test_a_good_entry_beside_one_of_no_use_still_serves(
    objects: Objects, engine: EngineUnderTest, make_image: MakeImage, cluster: Environment
) -> None:
    """An entry that is no name is passed over, as one that holds nothing for the registry is."""
    pair = (cluster.registry_auth_user, cluster.registry_auth_password)
    image = make_image(registry=cluster.registry_auth, credentials=pair)
    create_registry_secret(objects, "regcred", cluster.registry_auth, pair)
    account = {"metadata": {"name": "robot"}, "imagePullSecrets": [{"name": "../regcred"}, {"name": "regcred"}]}
    path = f"/api/v1/namespaces/{objects.namespace}/serviceaccounts"
    assert objects.api.request("POST", path, account).status == 201
    body = objects.run(
        IMAGE_PULL, "app", {"image": image.reference, "daemonName": engine.name, "serviceAccountName": "robot"}
    )
    assert (reason(body), body["status"]["auth"]["secretRef"]) == ("Pulled", {"name": "regcred"})
