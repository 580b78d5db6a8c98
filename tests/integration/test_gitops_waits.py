"""Whoever waits for an object is told at once how it ended: kubectl, Helm 4, and Flux's library."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from devcluster import parts
from imageops.api.kinds import IMAGE_PULL, SESSION, Kind
from tests.support.argo_health import judge, script
from tests.support.clients import Client, Done, Kstatus, MakeClient, Running
from tests.support.objects import Body, finished
from tests.support.operator_process import OperatorProcess
from tests.support.states import KINDS, Course, Stage, State
from tests.support.status_watch import StatusWatch

pytestmark = pytest.mark.integration

CHART = Path(__file__).parents[1] / "gitops" / "chart"
TIMEOUT = "300s"
"""What the tools are told to wait at most: far more than any of it takes."""
"""For a process of a busy machine to learn of an end and to exit."""
ENDS = {Course.RUNS: ("Ready", "Current"), Course.RUNS_TO_FAIL: ("Stalled", "Failed")}
"""For each end: the condition that kubectl waits for, and what kstatus says then."""
CHART_NAMES = dict(zip(("pull", "push", "tag", "session"), KINDS, strict=True))


class Ends:
    """When objects ended, as the API server told it."""

    def __init__(self, watches: list[StatusWatch]) -> None:
        """Take the running watches."""
        self._watches = watches

    def of(self, name: str, *, run: int = 1) -> float:
        """Return the moment, on the monotonic clock, at which the last object of this name had ended a run."""
        moments = []
        for watch in self._watches:
            ended = [one.at for one in watch.seen(name) if finished(one.body) and one.status["run"] == run]
            moments.extend(ended[:1])
        return max(moments)


@contextmanager
def watching(stage: Stage) -> Iterator[Ends]:
    """Watch all four kinds."""
    with ExitStack() as stack:
        yield Ends([stack.enter_context(StatusWatch(stage.objects, kind)) for kind in KINDS])


@pytest.fixture
def held(stage: Stage) -> Iterator[Stage]:
    """Return the stage, with everything that runs held up until it is let go."""
    stage.hold_up()
    yield stage
    stage.let_go()


@pytest.fixture
def kubectl(stage: Stage, make_client: MakeClient) -> Client:
    """Return kubectl in the stage's namespace."""
    return make_client(parts.KUBECTL, stage.objects.namespace)


@pytest.fixture
def helm(stage: Stage, make_client: MakeClient) -> Client:
    """Return Helm 4 in the stage's namespace."""
    return make_client(parts.HELM_4, stage.objects.namespace)


def tell(figure: str) -> None:
    """Show a figure with `pytest -rP`."""
    sys.stdout.write(f"{figure}\n")


def wait_of_flux(kstatus: Kstatus, stage: Stage, kind: Kind, name: str) -> tuple[Body, str, float]:
    """Wait as Flux does, by looking again; return the object, the verdict and its moment."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        body = stage.objects.get(kind, name)
        (verdict,) = kstatus.judge([body])
        if verdict.status != "InProgress":
            return body, verdict.status, time.monotonic()
    raise AssertionError(name)


@pytest.mark.feature("gitops.waits")
@pytest.mark.parametrize("course", ENDS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_kubectl_and_flux_end_with_the_object(
    held: Stage,
    kubectl: Client,
    kstatus: Kstatus,
    kind: Kind,
    course: Course,
) -> None:
    """Both wait while it runs; then `kubectl wait` for either end, or for any end, and kstatus are done at once."""
    name, (condition, verdict) = f"waits-{course}", ENDS[course]
    with watching(held) as ends:
        held.create(kind, name, course)
        held.wait(kind, name, State.RUNNING)
        waits = [
            kubectl.start("wait", f"{kind.singular}/{name}", f"--for={what}", f"--timeout={TIMEOUT}", "-v=6")
            for what in (f"condition={condition}", "jsonpath={.status.completionTime}")
        ]
        for one in waits:
            one.wait_until_it_says("watch=true")
        assert kstatus.judge([held.objects.get(kind, name)])[0].status == "InProgress"
        assert all(one.waits for one in waits)
        held.let_go()
        body, seen, moment = wait_of_flux(kstatus, held, kind, name)
        done = [one.wait(60) for one in waits]
        held.objects.wait(kind, name, finished)
    assert finished(body)
    assert seen == verdict
    assert [one.code for one in done] == [0, 0], done
    late = [at - ends.of(name) for at in (*(one.ended for one in done), moment)]
    tell(f"{kind.kind} {course}: kubectl {late[0]:.2f} s and {late[1]:.2f} s, kstatus {late[2]:.2f} s after the end")


@pytest.mark.feature("gitops.waits", "gitops.argo-health")
@pytest.mark.parametrize("course", ENDS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_argo_cd_ends_with_the_object(held: Stage, kind: Kind, course: Course) -> None:
    """By the script of its kind, in every state of a real object: Progressing until its end, then the verdict."""
    name = f"argo-{course}"
    expected = {Course.RUNS: "Healthy", Course.RUNS_TO_FAIL: "Degraded"}[course]
    with StatusWatch(held.objects, kind) as watch:
        held.create(kind, name, course)
        held.wait(kind, name, State.RUNNING)
        held.let_go()
        body = held.objects.wait_finished(kind, name, seconds=60)
        seen = [(finished(one.body), judge(script(kind.kind), one.body).status) for one in watch.wait_for(body)]
    assert {health for ended, health in seen if not ended} == {"Progressing"}
    assert {health for ended, health in seen if ended} == {expected}


@pytest.mark.feature("gitops.waits")
def test_kubectl_does_not_take_an_old_condition_for_an_answer(
    stage: Stage,
    kubectl: Client,
    operator: OperatorProcess,
) -> None:
    """A spec that nobody has looked at yet is waited for, although Ready still is True."""
    stage.create(IMAGE_PULL, "old", Course.SUCCEEDS)
    body = stage.wait(IMAGE_PULL, "old", State.SUCCEEDED)
    ready = ("wait", "imagepull/old", "--for=condition=Ready")
    operator.stop()
    try:
        stage.objects.patch(IMAGE_PULL, "old", stage.edited(IMAGE_PULL, body["spec"]))
        assert "timed out" in kubectl.run(*ready, "--timeout=1s", good=(1,)).said
    finally:
        operator.start()
    kubectl.run(*ready, "--timeout=60s")
    assert stage.objects.get(IMAGE_PULL, "old")["status"]["run"] == 2


def release(helm: Client, name: str, specs: dict[str, dict[str, object]]) -> Running:
    """Start `helm upgrade --install --wait` of the chart with these specs."""
    values = helm.home / f"{name}-{time.monotonic_ns()}.yaml"
    values.write_text(yaml.safe_dump(specs), encoding="utf-8")
    return helm.start(
        "upgrade",
        "--install",
        name,
        str(CHART),
        "--wait",
        f"--timeout={TIMEOUT}",
        "--debug",
        "--values",
        str(values),
    )


def assert_at_once(what: str, done: Done, ended: float) -> None:
    """Check that Helm ended with the last object, and say how much later."""
    tell(f"Helm, {what}: {done.ended - ended:.2f} s after the end of the last object, timeout {TIMEOUT}")
    assert done.ended > ended


@pytest.mark.feature("gitops.waits")
def test_helm_waits_for_success_of_a_release_and_of_its_next_version(held: Stage, helm: Client) -> None:
    """A release of all four kinds is deployed when the last has succeeded; so is an upgrade, and one of no change."""
    specs = {name: held.spec(kind, Course.RUNS) for name, kind in CHART_NAMES.items()}
    with watching(held) as ends:
        installing = release(helm, "good", specs)
        installing.wait_until_it_says("waiting for resource")
        for kind in KINDS:
            held.wait(kind, "good", State.RUNNING)
        assert installing.waits
        held.let_go()
        done = installing.wait(60)
        assert done.code == 0, done.said
        assert_at_once("success", done, ends.of("good"))

        held.hold_up()
        specs["pull"] = held.spec(IMAGE_PULL, Course.RUNS)
        upgrading = release(helm, "good", specs)
        held.objects.wait(IMAGE_PULL, "good", lambda body: body["status"]["run"] == 2)
        upgrading.wait_until_it_says("waiting for resource")
        held.wait(IMAGE_PULL, "good", State.RUNNING)
        assert upgrading.waits
        held.let_go()
        done = upgrading.wait(60)
        assert done.code == 0, done.said
        assert_at_once("upgrade", done, ends.of("good", run=2))

    again = release(helm, "good", specs).wait(60)
    assert again.code == 0, again.said
    runs = {kind: held.objects.get(kind, "good")["status"]["run"] for kind in KINDS}
    assert runs == dict.fromkeys(KINDS, 1) | {IMAGE_PULL: 2}


@pytest.mark.feature("gitops.waits")
@pytest.mark.parametrize("failing", CHART_NAMES)
def test_helm_fails_with_the_object_that_failed(held: Stage, helm: Client, failing: str) -> None:
    """One failure among successes ends the wait when the last object has ended, long before the timeout."""
    name = f"bad-{failing}"
    specs = {
        other: held.spec(kind, Course.RUNS_TO_FAIL if other == failing else Course.SUCCEEDS)
        for other, kind in CHART_NAMES.items()
    }
    with watching(held) as ends:
        installing = release(helm, name, specs)
        installing.wait_until_it_says("waiting for resource")
        held.wait(CHART_NAMES[failing], name, State.RUNNING)
        for kind in KINDS:
            if kind is not CHART_NAMES[failing]:
                held.wait(kind, name, State.SUCCEEDED)
        assert installing.waits
        held.let_go()
        done = installing.wait(60)
        assert done.code != 0
        failed = CHART_NAMES[failing].kind
        assert f"{failed}/{held.objects.namespace}/{name} not ready. status: Failed" in done.said
        assert "deadline exceeded" not in done.said
        assert_at_once(f"failure of the {failed}", done, ends.of(name))


@pytest.mark.feature("gitops.waits")
def test_an_open_session_keeps_nobody_waiting(stage: Stage, kubectl: Client, kstatus: Kstatus, helm: Client) -> None:
    """It is Ready while it takes operations: a release that holds one is deployed."""
    done = release(helm, "open", {"session": {"daemonName": stage.engine.name}}).wait(60)
    assert done.code == 0, done.said
    kubectl.run("wait", "session/open", "--for=condition=Ready", "--timeout=30s")
    body = stage.objects.get(SESSION, "open")
    assert "completionTime" not in body["status"]
    assert kstatus.judge([body])[0].status == "Current"
