"""The workflows are sound by two linters, pinned, and allowed no more than they need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from devcluster.pipeline_parts import ACTIONLINT
from tests.support.clients import program
from tests.support.workflows import FOLDER, PINNED, ROOT, Job, files, job, jobs, used, workflow

WRITES = {
    ("release", "publish"): {"packages", "id-token", "attestations"},
    ("scorecard", "analysis"): {"id-token", "security-events"},
}
"""The jobs that may write, and what; nobody else may."""
SUITES = {
    "unit": "unit",
    "chart": "chart",
    "fuzz-sample": "fuzz",
    "integration": "integration",
    "e2e": "e2e",
    "faults-sample": "faults",
}
"""The targets that `make test` runs, and the folder of tests of each."""
TEST_FILES = sorted((ROOT / "tests").rglob("test_*.py"))
EACH_JOB = pytest.mark.parametrize("each", jobs(), ids=lambda each: f"{each.workflow}-{each.name}")
LINT_SECONDS = 120
SHELLCHECK, ZIZMOR = (Path(sys.executable).with_name(name) for name in ("shellcheck", "zizmor"))


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a linter at the root."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LINT_SECONDS, check=False)


def recipe(target: str) -> str:
    """Return what make would run for a target, that of others besides."""
    make = ["make", "--dry-run", "--always-make", "--no-print-directory", target]
    return subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.mark.feature("ci.pipeline")
def test_actionlint_has_nothing_to_say() -> None:
    """Expressions, contexts, events and the names of jobs are as GitHub knows them; scripts are sound by shellcheck."""
    done = run(program(ACTIONLINT), "-no-color", f"-shellcheck={SHELLCHECK}", "-pyflakes=", *files())
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_shellcheck_has_nothing_to_say() -> None:
    """About the scripts that the workflows call."""
    scripts = [path for path in (ROOT / ".ci").iterdir() if not path.suffix]
    assert len(scripts) >= 3
    done = run(SHELLCHECK, *scripts)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.feature("ci.pipeline")
def test_zizmor_has_nothing_to_say() -> None:
    """No expression comes into a script, no credential stays behind, no cache goes into a release."""
    done = run(ZIZMOR, "--offline", "--no-progress", "--config", ".github/zizmor.yml", ".github")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.feature("ci.pipeline")
def test_every_action_is_one_commit() -> None:
    """Named by its full SHA, with its release for people; the same action is the same commit everywhere."""
    foreign = [name for name in used() if not name.startswith("./")]
    matches = [PINNED.fullmatch(name) for name in foreign]
    assert [name for name, match in zip(foreign, matches, strict=True) if match is None] == []
    commits = {(match["action"], match["commit"], match["version"]) for match in matches if match is not None}
    assert len(commits) == len({action for action, _, _ in commits})
    own = {name.removeprefix("./") for name in used() if name.startswith("./")}
    assert all((ROOT / name).exists() for name in own)


@pytest.mark.feature("ci.pipeline")
@EACH_JOB
def test_a_job_may_do_what_it_needs_and_ends(each: Job) -> None:
    """A workflow grants nothing; a job reads the sources, and writes only what is listed here."""
    assert workflow(each.workflow)["permissions"] == {}
    assert {name for name, right in each.permissions.items() if right == "write"} == WRITES.get(
        (each.workflow, each.name), set()
    )
    assert each.permissions["contents"] == "read"
    if each.steps:
        assert each.body["timeout-minutes"] <= 90
        assert re.fullmatch(r"ubuntu-\d\d\.04", each.body["runs-on"])


@pytest.mark.feature("ci.pipeline")
@EACH_JOB
def test_a_checkout_leaves_no_credential_behind(each: Job) -> None:
    """So that nothing that a later step runs can find the token."""
    checkouts = [step for step in each.steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert checkouts or not each.steps


@pytest.mark.feature("ci.pipeline", "ci.tags")
@EACH_JOB
def test_every_tool_and_image_has_a_version(each: Job) -> None:
    """What is installed is named with a version, by a variable that holds one; nothing is `latest`."""
    assert "latest" not in each.script
    assert "curl | " not in each.script
    versions = {name: str(value) for name, value in each.body.get("env", {}).items()}
    for name, value in versions.items():
        assert re.match(r"v\d+\.\d+\.\d+|[0-9a-f]{40}$", value), name
    for package, version in re.findall(r"go install \"([^@\"]+)@([^\"]+)\"", each.script):
        assert version.removeprefix("$") in versions, package
    assert "go install" not in re.sub(r"go install (\"[^\"]+@\$\w+\"|\./cmd/\w+)", "", each.script)


@pytest.mark.feature("ci.pipeline")
def test_a_pull_request_is_checked_by_what_people_run_at_home() -> None:
    """Style, types, generated files; unit, chart, fuzz, integration and fault tests; the chart on two clusters."""
    for name in ("ci", "scan", "e2e"):
        assert "pull_request" in workflow(name)["on"]
        assert "pull_request_target" not in workflow(name)["on"]
    assert job("ci", "check").commands == ["make check", "make docs"]
    assert ".ci/run" in job("ci", "test").script
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("exec make test")
    suites = recipe("test").split()
    for suite, folder in SUITES.items():
        assert suite in suites
        assert f"tests/{folder}" in recipe(suite)
    assert set(SUITES.values()) == {path.parent.relative_to(ROOT / "tests").parts[0] for path in TEST_FILES}
    assert job("e2e", "trial").body["strategy"]["matrix"]["cluster"] == ["kind", "k3s"]
    assert re.findall(r"make e2e CLUSTER=(\w+)", job("e2e", "trial").script) == ["kind", "kubeconfig"]


@EACH_JOB
def test_every_target_of_make_that_a_job_names_exists(each: Job) -> None:
    """So does every script of the repository."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?m)^make ([\w-]+)", each.script):
        assert f"\n{target}: " in makefile
    for script in re.findall(r"(?<![\w/])\.ci/[\w-]+(?![\w.-])", each.script):
        assert (ROOT / script).stat().st_mode & 0o100, script


@pytest.mark.feature("ci.scan")
def test_findings_fail_the_build() -> None:
    """Of the image where a fix exists, of the history, and of both lock files; on every pull request, and each day."""
    assert {"pull_request", "schedule", "workflow_call"} <= set(workflow("scan")["on"])
    assert "--only-fixed --fail-on high" in job("scan", "image").commands[-1]
    assert job("scan", "secrets").commands[-1].startswith("gitleaks git ")
    assert "--exit-code 1" in job("scan", "secrets").commands[-1]
    [checkout] = [step for step in job("scan", "secrets").steps if "actions/checkout@" in step.get("uses", "")]
    assert checkout["with"]["fetch-depth"] == 0
    assert job("scan", "dependencies").commands == ["make audit"]
    audit = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\naudit: ")[2].partition("\n\n")[0]
    for lock in ("requirements-operator.lock", "requirements.lock"):
        assert f"--requirement {lock}" in audit
    for each in jobs():
        assert "|| true" not in each.script, each.name
        assert not any(step.get("continue-on-error") for step in each.steps)


def test_the_chart_is_linted_by_the_tools_of_its_users() -> None:
    """And the Scorecard of the repository is published."""
    script = job("chart", "lint").script
    assert "ct lint --config .ci/chart-testing.yaml" in script
    assert "ah lint --kind helm" in script
    assert (FOLDER / "scorecard.yaml").exists()
    [scorecard] = [step for step in job("scorecard", "analysis").steps if "scorecard-action@" in step["uses"]]
    assert scorecard["with"]["publish_results"] is True
