"""Say which programs GitOps and delivery are tested with, at which versions; no cluster needs them to come up."""

from __future__ import annotations

from devcluster.parts import GoBuild, Part

KUSTOMIZE_CONTROLLER_VERSION = "v1.9.5"
SOPS_VERSION = "v3.13.3"
AGE_VERSION = "v1.3.2"
ACTIONLINT_VERSION = "v1.7.12"
KYVERNO_VERSION = "v1.19.1"
GITLEAKS_VERSION = "v8.30.1"

KUSTOMIZE_CONTROLLER = Part(
    name="kustomize-controller",
    program="kustomize-controller",
    # It has no option that tells its version, so what lies on PATH cannot be accepted.
    accepts=r"(?!)",
    go=GoBuild(
        module="github.com/fluxcd/kustomize-controller",
        version=KUSTOMIZE_CONTROLLER_VERSION,
        package="github.com/fluxcd/kustomize-controller",
        minutes=2.0,
        staging=True,
    ),
)
"""Flux's controller that applies a source and waits for what it applied."""
SOPS = Part(
    name="sops",
    program="sops",
    accepts=r"sops 3\.",
    version_flag="--version --disable-version-check",
    go=GoBuild(
        module="github.com/getsops/sops/v3",
        version=SOPS_VERSION,
        package="github.com/getsops/sops/v3/cmd/sops",
        minutes=3.0,
    ),
)
AGE_KEYGEN = Part(
    name="age-keygen",
    program="age-keygen",
    accepts=r"1\.\d+\.\d+",
    go=GoBuild(
        module="filippo.io/age",
        version=AGE_VERSION,
        package="filippo.io/age/cmd/age-keygen",
        minutes=0.2,
        stamps=(f"main.Version={AGE_VERSION}",),
    ),
)
ACTIONLINT = Part(
    name="actionlint",
    program="actionlint",
    accepts=r"1\.[7-9]\.",
    go=GoBuild(
        module="github.com/rhysd/actionlint",
        version=ACTIONLINT_VERSION,
        package="github.com/rhysd/actionlint/cmd/actionlint",
        minutes=0.3,
    ),
)
GITLEAKS = Part(
    name="gitleaks",
    program="gitleaks",
    accepts=r"8\.\d+\.\d+",
    go=GoBuild(
        module="github.com/zricethezav/gitleaks/v8",
        version=GITLEAKS_VERSION,
        package="github.com/zricethezav/gitleaks/v8",
        minutes=0.5,
        stamps=(f"github.com/zricethezav/gitleaks/v8/version.Version={GITLEAKS_VERSION.removeprefix('v')}",),
    ),
)
KYVERNO = Part(
    name="kyverno",
    program="kubectl-kyverno",
    accepts=r"Version: v?1\.(19|[2-9]\d)",
    version_flag="version",
    go=GoBuild(
        module="github.com/kyverno/kyverno",
        version=KYVERNO_VERSION,
        package="github.com/kyverno/kyverno/cmd/cli/kubectl-kyverno",
        minutes=6.0,
        staging=True,
    ),
)
"""Applies policies to manifests without a cluster."""
PIPELINE = (KUSTOMIZE_CONTROLLER, SOPS, AGE_KEYGEN, ACTIONLINT, GITLEAKS, KYVERNO)
