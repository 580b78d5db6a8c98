"""Who may do what by the chart: the operator, and the users of its kinds."""

from __future__ import annotations

from typing import Any

import pytest

from devcluster.install import manifests
from tests.support.chart import MODES, VERSIONS, Rendered, render

Rules = list[dict[str, Any]]

each_mode = pytest.mark.parametrize("mode", MODES)
everywhere = pytest.mark.parametrize("version", VERSIONS)


def committed(kind: str, name: str) -> Rules:
    """Return the rules of a role of the development cluster, under which all integration tests run the operator."""
    [rules] = [each["rules"] for each in manifests() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return list(rules)


def bound(rendered: Rendered, kind: str) -> dict[str, list[dict[str, str]]]:
    """Return the subjects of each role of a kind."""
    bindings = [*rendered.all("RoleBinding"), *rendered.all("ClusterRoleBinding")]
    return {each["roleRef"]["name"]: each["subjects"] for each in bindings if each["roleRef"]["kind"] == kind}


@pytest.mark.feature("rbac.secrets", "rbac.roles")
@everywhere
@each_mode
def test_the_roles_are_those_that_the_tests_run_with(mode: str, version: str) -> None:
    """Rule by rule: the operator's, and what the roles edit and view get."""
    rendered = render(MODES[mode], version=version)
    roles = {role["metadata"]["name"]: role["rules"] for role in rendered.all("ClusterRole")}
    names = ("imageops-operator", "imageops-edit", "imageops-view")
    assert roles == {name: committed("ClusterRole", name) for name in names}
    account = {"kind": "ServiceAccount", "name": "imageops", "namespace": "imageops-system"}
    assert bound(rendered, "ClusterRole") == {"imageops-operator": [account]}
    assert rendered.pod["serviceAccountName"] == rendered.one("ServiceAccount", "imageops")["metadata"]["name"]


@pytest.mark.feature("rbac.secrets")
@everywhere
def test_a_lease_is_written_in_the_releases_namespace_only(version: str) -> None:
    """In mode tcp, where there is one."""
    rendered = render(MODES["tcp"], version=version)
    role = rendered.one("Role", "imageops-lease")
    assert role["metadata"]["namespace"] == rendered.environment["IMAGEOPS_LEASE_NAMESPACE"] == "imageops-system"
    assert role["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
    ]
    for mode in ("dind", "hostPath"):
        assert [role["metadata"]["name"] for role in render(MODES[mode]).all("Role")] == ["imageops-test"]


@pytest.mark.feature("rbac.secrets")
@everywhere
@each_mode
def test_in_namespaced_mode_the_operator_has_no_cluster_role(mode: str, version: str) -> None:
    """But the same rules in a Role of each namespace, and it looks at no other."""
    rendered = render(MODES[mode], {"rbac": {"namespaces": ["team-a", "team-b"]}}, version=version)
    assert rendered.all("ClusterRoleBinding") == []
    assert {role["metadata"]["name"] for role in rendered.all("ClusterRole")} == {"imageops-edit", "imageops-view"}
    own = [role for role in rendered.all("Role") if role["metadata"]["name"] == "imageops"]
    roles = {role["metadata"]["namespace"]: role for role in own}
    assert set(roles) == {"team-a", "team-b"}
    for role in roles.values():
        assert role["rules"] == committed("ClusterRole", "imageops-operator")
    assert rendered.environment["IMAGEOPS_NAMESPACES"] == "team-a,team-b"
    assert rendered.one("Role", "imageops-test")["metadata"]["namespace"] == "team-a"


@pytest.mark.feature("rbac.secrets")
@each_mode
def test_secrets_are_only_ever_read_one_by_one(mode: str) -> None:
    """Never listed, watched or written."""
    for values in ({}, {"rbac": {"namespaces": ["team-a"]}}):
        rendered = render(MODES[mode], values)
        rules = [rule for kind in ("Role", "ClusterRole") for role in rendered.all(kind) for rule in role["rules"]]
        assert {verb for rule in rules if "secrets" in rule["resources"] for verb in rule["verbs"]} == {"get"}
        assert all("*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]] for rule in rules)


@pytest.mark.feature("rbac.roles")
def test_users_reach_no_status_no_finalizer_no_policy_and_no_record() -> None:
    """The aggregated roles have the four kinds themselves."""
    rendered = render()
    for name in ("imageops-edit", "imageops-view"):
        role = rendered.one("ClusterRole", name)
        assert [rule["resources"] for rule in role["rules"]] == [["imagepulls", "imagepushes", "imagetags", "sessions"]]
        assert any(label.startswith("rbac.authorization.k8s.io/aggregate-to-") for label in role["metadata"]["labels"])


def test_roles_can_be_left_to_others() -> None:
    """Then no role and no binding is made but the test's own."""
    account = {"serviceAccount": {"create": False, "name": "own"}}
    rendered = render({"rbac": {"create": False, "aggregate": False}}, account)
    assert rendered.all("ClusterRole") == rendered.all("ClusterRoleBinding") == []
    assert [account["metadata"]["name"] for account in rendered.all("ServiceAccount")] == ["imageops-test"]
    assert rendered.pod["serviceAccountName"] == "own"
