"""Mode dind on a real node: the chart's defaults, with an Engine of the pod's own and its data on a volume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster import parts
from devcluster.gate import RegistryGate
from devcluster.images import manifest_digest
from devcluster.ports import free_ports
from e2e.environment import Environment
from imageops.api.kinds import ALL_KINDS, IMAGE_PULL, SESSION
from tests.e2e.conftest import (
    SECONDS,
    MakeGate,
    MakeImage,
    has_moved_bytes,
    installed,
    may_use,
    names,
    through,
    wait_until_may_use,
)
from tests.support.admission import ApiServer
from tests.support.chart import NAMESPACE
from tests.support.clients import Client, Kstatus, MakeClient, program
from tests.support.installation import (
    ENGINE,
    Installation,
    engine_values,
    make_namespace,
    make_volume,
    merged_values,
    newer_chart,
    process_status,
    short_names,
    smoke_values,
    wait_left,
)
from tests.support.objects import Body, Objects, reason
from tests.support.pod_network import egress_enforced, listening, reached
from tests.support.sessions import child_of, promote, pull, push, step_is, tag

CLAIM = "data-imageops-0"
RELEASED = Path(__file__).parents[1] / "gitops" / "chart"
"""A team's chart, which has an object of ours."""
METADATA, PRIVATE, PUBLIC = "169.254.169.254", "10.198.0.1", "203.0.113.1"
"""Addresses that the node is given for a test: none of them leads anywhere else."""


@pytest.fixture(scope="module")
def installation(
    node: Environment, api: ApiServer, make_helm: Callable[[str], Client], make_image: MakeImage, team: Objects
) -> Iterator[Installation]:
    """Install the chart as it is, but for the images at hand and the addresses of registries."""
    make_namespace(api, NAMESPACE)
    make_volume(api, Path(node.volumes) / CLAIM, CLAIM)
    values = merged_values(node, engine_values(node), smoke_values(node, make_image()))
    with installed(Installation(node, api, make_helm(NAMESPACE), values=values), team) as installation:
        yield installation


def layers_of(gate: RegistryGate) -> int:
    """Count how often a layer or configuration was asked for."""
    return sum("/blobs/" in request.path for request in gate.requests)


def create_pulls(team: Objects, prefix: str, images: Iterable[str], **fields: Any) -> list[str]:
    """Create a pull of each image, and return their names."""
    names = []
    for number, image in enumerate(images):
        names.append(f"{prefix}-{number}")
        team.create(IMAGE_PULL, names[-1], {"image": image, **fields})
    return names


def pulls_by_name(team: Objects) -> dict[str, Body]:
    """Return all pulls of the team."""
    return {body["metadata"]["name"]: body for body in team.all(IMAGE_PULL)}


def operator_images(installation: Installation) -> list[str]:
    """Return the image of each operator's container."""
    return [pod["spec"]["containers"][0]["image"] for pod in installation.pods()]


@pytest.mark.feature("chart.modes", "chart.dind-options")
def test_a_team_promotes_an_image_through_the_side_car(
    installation: Installation, team: Objects, make_image: MakeImage, node: Environment
) -> None:
    """With rights in one namespace, and registries that speak plain HTTP as a value says; the digest is kept."""
    assert installation.pods()[0]["status"]["phase"] == "Running"
    image = make_image(platforms=["linux/amd64", "linux/arm64"], attestations=True)
    steps = [promote("ship", image.reference, f"{node.registry_target}/{image.repository}:1")]
    body = team.run(SESSION, "release", {"steps": steps}, seconds=SECONDS)
    assert reason(body) == "Completed", body["status"]
    assert manifest_digest(node.registry_target, image.repository, "1") == image.digest
    [evidence] = body["status"]["evidence"]
    assert evidence["digestPreserved"] is True


@pytest.mark.feature("chart.network")
def test_the_network_policy_lets_through_what_is_needed_and_nothing_else(
    installation: Installation, team: Objects, make_image: MakeImage, node: Environment
) -> None:
    """Under its egress rules a promotion works; metadata, private ranges not listed and other ports are refused."""
    pod = installation.wait_ready()
    ports = (int(node.registry.rpartition(":")[2]), free_ports(1)[0])
    targets = [(address, port) for address in (METADATA, PRIVATE, PUBLIC) for port in ports]
    process = int(process_status()["Pid"])
    image = make_image()
    with listening(targets):
        assert reached(process, targets) == targets
        with egress_enforced(installation.network_policy(), pod["status"]["podIP"]):
            assert reached(process, targets) == [(PUBLIC, ports[0])]
            steps = [promote("ship", image.reference, f"{node.registry_target}/{image.repository}:1")]
            body = team.run(SESSION, "under-policy", {"steps": steps}, seconds=SECONDS)
    assert reason(body) == "Completed", body["status"]
    assert manifest_digest(node.registry_target, image.repository, "1") == image.digest


@pytest.mark.feature("chart.dind-volume")
def test_a_pull_goes_on_when_its_pod_was_deleted_in_the_middle(
    installation: Installation, team: Objects, make_image: MakeImage, make_gate: MakeGate, node: Environment
) -> None:
    """The attempt is closed as Interrupted, and the next one belongs to the same run, the only one."""
    image = make_image(layers=[8_000_000, 8_000_000])
    gate = make_gate(node.registry)
    gate.stall(path=".*/blobs/.*", after_bytes=4_000_000)
    team.create(IMAGE_PULL, "interrupted", {"image": through(gate, image)})
    team.wait(IMAGE_PULL, "interrupted", has_moved_bytes, seconds=SECONDS)
    installation.replace_pod()
    gate.release()
    body = team.wait_finished(IMAGE_PULL, "interrupted", seconds=SECONDS)
    assert reason(body) == "Pulled", body["status"]
    assert body["status"]["run"] == 1
    assert [attempt["outcome"] for attempt in body["status"]["history"]] == ["Interrupted", "Succeeded"]


@pytest.mark.feature("chart.dind-volume")
def test_a_half_done_session_goes_on_with_the_images_of_the_volume(
    installation: Installation, team: Objects, make_image: MakeImage, make_gate: MakeGate, node: Environment
) -> None:
    """The pod is deleted between pull and push: the image is still there, and not one layer is pulled again."""
    image = make_image(layers=[2_000_000])
    source, target = make_gate(node.registry), make_gate(node.registry_target)
    target.stall(path=".*/blobs/.*")
    shipped = f"{target.address}/{image.repository}:1"
    steps = [
        pull("get", through(source, image)),
        tag("name", through(source, image), shipped, runAfter=["get"]),
        push("put", shipped, runAfter=["name"]),
    ]
    team.create(SESSION, "half-done", {"steps": steps})
    target.wait(lambda requests: any("/blobs/" in request.path for request in requests), seconds=SECONDS)
    team.wait(SESSION, "half-done", step_is("put", "Running"), seconds=SECONDS)
    pulled = layers_of(source)
    installation.replace_pod()
    target.release()
    body = team.wait_finished(SESSION, "half-done", seconds=SECONDS)
    assert reason(body) == "Completed", body["status"]
    assert layers_of(source) == pulled > 0
    for step in ("get", "name", "put"):
        kind, name = child_of(team, "half-done", step)
        assert team.get(kind, name)["status"]["run"] == 1
    assert manifest_digest(node.registry_target, image.repository, "1") == image.digest


@pytest.mark.feature("delivery.rollback", "chart.crds")
def test_an_upgrade_and_a_rollback_lose_nothing_and_run_nothing_again(
    installation: Installation,
    team: Objects,
    make_image: MakeImage,
    make_gate: MakeGate,
    node: Environment,
    tmp_path: Path,
) -> None:
    """With 100 live objects: 60 that have ended, 20 that are under way or wait for a place, and 20 suspended."""
    quick, slow = make_gate(node.registry), make_gate(node.registry)
    slow.stall(path=".*/blobs/.*")
    small, large = make_image(), make_image(layers=[500_000])
    ended = create_pulls(team, "ended", names(quick, small, 60))
    for name in ended:
        assert reason(team.wait_finished(IMAGE_PULL, name, seconds=SECONDS)) == "Pulled"
    under_way = create_pulls(team, "under-way", names(slow, large, 20))
    suspended = create_pulls(team, "suspended", names(quick, small, 20, first=60), suspend=True)
    slow.wait(lambda requests: any("/blobs/" in request.path for request in requests), seconds=SECONDS)
    for name in suspended:
        team.wait(IMAGE_PULL, name, lambda body: reason(body) == "Suspended", seconds=SECONDS)
    before, asked = pulls_by_name(team), len(quick.requests)
    assert len({*ended, *under_way, *suspended} & set(before)) == 100

    repository, _, tag_of_next = node.operator_image_next.rpartition(":")
    installation.upgrade({"image": {"repository": repository, "tag": tag_of_next}}, chart=newer_chart(tmp_path))
    assert operator_images(installation) == [node.operator_image_next]
    assert "pulled" in short_names(installation.api)
    installation.rollback()
    assert operator_images(installation) == [node.operator_image]
    assert "pulled" not in short_names(installation.api)

    slow.release()
    interruptions = 0
    for name in under_way:
        body = team.wait_finished(IMAGE_PULL, name, seconds=SECONDS)
        assert reason(body) == "Pulled", body["status"]
        outcomes = [attempt["outcome"] for attempt in body["status"]["history"]]
        assert outcomes.count("Succeeded") == 1
        assert set(outcomes) <= {"Interrupted", "Succeeded"}
        interruptions += outcomes.count("Interrupted")
    assert interruptions > 0
    after = pulls_by_name(team)
    assert {name: body["metadata"]["uid"] for name, body in before.items()} == {
        name: body["metadata"]["uid"] for name, body in after.items()
    }
    for name in (*ended, *suspended):
        assert after[name]["status"] == before[name]["status"]
    assert {after[name]["status"]["run"] for name in (*ended, *under_way)} == {1}
    assert len(quick.requests) == asked


@pytest.mark.feature("gitops.waits")
def test_the_tools_of_a_pipeline_end_with_the_object(
    installation: Installation,
    team: Objects,
    make_team_client: MakeClient,
    make_image: MakeImage,
) -> None:
    """As the team: kubectl, Helm and Flux's library, on success and on failure, long before their timeout."""
    assert installation.wait_ready()
    kubectl, helm = (make_team_client(part, team.namespace) for part in (parts.KUBECTL, parts.HELM_4))
    kstatus = Kstatus(program(parts.KSTATUS))
    image = make_image()
    good, bad = image.reference, f"{image.reference}-missing"
    for name, reference, condition, verdict in (("good", good, "Ready", "Current"), ("bad", bad, "Stalled", "Failed")):
        team.create(IMAGE_PULL, name, {"image": reference})
        for what in (f"condition={condition}", "jsonpath={.status.completionTime}"):
            kubectl.run("wait", f"imagepull/{name}", f"--for={what}", "--timeout=100s")
        assert kstatus.judge([team.get(IMAGE_PULL, name)])[0].status == verdict
        values = helm.home / f"{name}.json"
        values.write_text(json.dumps({"pull": {"image": reference}}), encoding="utf-8")
        install = ("install", f"of-{name}", str(RELEASED), "--wait", "--timeout=100s", f"--values={values}")
        done = helm.start(*install).wait(120)
        assert (done.code == 0) == (name == "good"), done.said
        assert "deadline exceeded" not in done.said


@pytest.mark.feature("chart.modes")
def test_helm_test_pulls_tags_and_pushes(installation: Installation) -> None:
    """As a ServiceAccount with rights on three kinds."""
    said = installation.test().said
    assert [said.count(f"{kind} {{") for kind in ("ImagePull", "ImageTag", "ImagePush")] == [1, 1, 1]


@pytest.mark.feature("image.hardened")
def test_the_operators_process_has_nothing_that_it_does_not_need(installation: Installation) -> None:
    """The kernel says so: no root, no capability, none to be had, a seccomp filter, a root that is read-only."""
    installation.wait_ready()
    status = process_status()
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"65532"}
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert "ro" in status["root"].split(",")


@pytest.mark.feature("rbac.secrets")
def test_the_engine_has_no_token_of_the_operators(installation: Installation) -> None:
    """It is privileged; whoever gets into it shall not be able to read the cluster's Secrets."""
    installation.wait_ready()
    assert "/run/secrets/kubernetes.io/serviceaccount" in process_status()["mounts"]
    assert "serviceaccount" not in process_status(ENGINE)["mounts"]


@pytest.mark.feature("chart.crds")
def test_uninstalling_leaves_the_kinds_and_objects_and_nothing_else(
    installation: Installation, team: Objects, make_image: MakeImage
) -> None:
    """All else that the release made is gone, rights too; the volume is kept, and a new release goes on."""
    everybody = Objects(installation.api, team.namespace)
    kept = team.run(IMAGE_PULL, "kept", {"image": make_image().reference}, seconds=SECONDS)
    installation.uninstall()
    installation.wait_pods(lambda pods: not pods)
    kinds = {("CustomResourceDefinition", kind.crd_name) for kind in ALL_KINDS}
    wait_left(installation.api, NAMESPACE, kinds | {("PersistentVolumeClaim", CLAIM)})
    assert everybody.get(IMAGE_PULL, "kept") == kept
    assert may_use(team) is False
    installation.install()
    wait_until_may_use(team)
    body = team.run(IMAGE_PULL, "next", {"image": make_image().reference}, seconds=SECONDS)
    assert reason(body) == "Pulled", body["status"]
    assert team.get(IMAGE_PULL, "kept")["status"] == kept["status"]
