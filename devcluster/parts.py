"""Say which programs the development cluster is made of, at which versions, and how each can be had.

This table is the one owner of versions and expected build times. `finding` walks the ways in their fixed order.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from devcluster.layout import CHECKOUT


@dataclass(frozen=True, slots=True)
class GoBuild:
    """Describe how one program is built from a Go module.

    `minutes` is the cold build on two busy cores, told to whoever waits for it. `staging` marks a module whose own
    go.mod puts others in the place of some dependencies, such as folders beside it: these need an own go.mod that names
    published versions, as `go install` refuses a module with replace lines. `vendored` marks one that has its
    requirements in a file vendor.mod: they are looked at in a copy of it only. `source` is the folder of a module of
    this tree; its version is made from its files, so that an edit is another program.
    """

    module: str
    version: str
    package: str
    minutes: float
    cgo: bool = False
    stamps: tuple[str, ...] = ()
    staging: bool = False
    vendored: bool = False
    source: Path | None = None

    @property
    def program(self) -> str:
        """Name the program, as the tool chain does by its package's last word that is no major version."""
        *_, former, last = self.package.split("/")
        return former if re.fullmatch(r"v\d+", last) else last

    @property
    def cache_name(self) -> str:
        """Name the file of the built program in the cache."""
        return f"{self.program}-{self.version}"


@dataclass(frozen=True, slots=True)
class Part:
    """Describe one program: its file name on PATH, the versions accepted, and where else it comes from.

    `accepts` is searched for in what the program prints on `version_flag`, which may be several words. `apt` is the
    Debian package and `apt_path` the place it installs the program to. `name` tells two versions of one program apart.
    """

    name: str
    program: str
    accepts: str
    apt: str | None = None
    apt_path: str | None = None
    go: GoBuild | None = None
    version_flag: str = "--version"


KUBERNETES_VERSION = "v1.34.4"
MOBY_VERSION = "v2.0.0-beta.24"
DOCKER_VERSION = "v28.5.2+incompatible"
CONTAINERD_VERSION = "v2.4.2"
RUNC_VERSION = "v1.5.2"
REGISTRY_VERSION = "v3.1.2"
HELM_VERSION = "v4.3.1"
CNI_VERSION = "v1.9.0"
DOCKER_CLI_VERSION = "v29.4.0+incompatible"

_KUBERNETES_STAMPS = (
    f"k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}",
    "k8s.io/component-base/version.gitMajor=1",
    "k8s.io/component-base/version.gitMinor=34",
)


_KUBERNETES_ACCEPTED = r"v1\.(3[2-9]|[4-9]\d)\."
"""1.32 is the first release that serves selectable fields of custom resources as stable."""


def _kubernetes(program: str, minutes: float, *, says: str = "Kubernetes", version_flag: str = "--version") -> Part:
    return Part(
        name=program,
        program=program,
        accepts=f"{says} {_KUBERNETES_ACCEPTED}",
        version_flag=version_flag,
        go=GoBuild(
            module="k8s.io/kubernetes",
            version=KUBERNETES_VERSION,
            package=f"k8s.io/kubernetes/cmd/{program}",
            minutes=minutes,
            stamps=_KUBERNETES_STAMPS,
            staging=True,
        ),
    )


def _own(folder: str, minutes: float, accepts: str) -> Part:
    """Describe a program of this tree; it says on --version which library it is made of."""
    source = CHECKOUT / folder
    files = [source / "go.mod", source / "go.sum", *sorted(source.glob("*.go"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return Part(
        name=source.name,
        program=source.name,
        accepts=accepts,
        go=GoBuild(
            module=source.name,
            version=digest.hexdigest()[:12],
            package=f"./{source.name}",
            minutes=minutes,
            source=source,
        ),
    )


def _containerd(program: str, minutes: float, accepts: str, version_flag: str) -> Part:
    return Part(
        name=f"{program}-2",
        program=program,
        accepts=accepts,
        version_flag=version_flag,
        go=GoBuild(
            module="github.com/containerd/containerd/v2",
            version=CONTAINERD_VERSION,
            package=f"github.com/containerd/containerd/v2/cmd/{program}",
            minutes=minutes,
            stamps=(f"github.com/containerd/containerd/v2/version.Version={CONTAINERD_VERSION}",),
        ),
    )


DOCKERD_20 = Part(
    name="dockerd-20.10",
    program="dockerd",
    accepts=r"Docker version 20\.10\.",
    apt="docker.io",
    apt_path="/usr/sbin/dockerd",
)
CONTAINERD_1 = Part(
    name="containerd-1.6",
    program="containerd",
    accepts=r"containerd/containerd 1\.",
    apt="containerd",
    apt_path="/usr/bin/containerd",
)
CONTAINERD_SHIM_1 = Part(
    name="containerd-shim-1.6",
    program="containerd-shim-runc-v2",
    accepts=r"Version:\s+1\.",
    apt="containerd",
    apt_path="/usr/bin/containerd-shim-runc-v2",
    version_flag="-v",
)
RUNC_1 = Part(name="runc-1.1", program="runc", accepts=r"runc version 1\.", apt="runc", apt_path="/usr/sbin/runc")
ETCD = Part(
    name="etcd",
    program="etcd",
    accepts=r"etcd Version: 3\.([4-9]|\d\d)\.",
    apt="etcd-server",
    apt_path="/usr/bin/etcd",
)
REGISTRY = Part(
    name="registry",
    program="registry",
    accepts=r"registry .*distribution/v3 v3\.",
    go=GoBuild(
        module="github.com/distribution/distribution/v3",
        version=REGISTRY_VERSION,
        package="github.com/distribution/distribution/v3/cmd/registry",
        minutes=1.5,
        stamps=(f"github.com/distribution/distribution/v3/version.version={REGISTRY_VERSION}",),
    ),
)
DOCKERD_29 = Part(
    name="dockerd-29",
    program="dockerd",
    accepts=r"Docker version (29|[3-9]\d)\.",
    go=GoBuild(
        module="github.com/moby/moby/v2",
        version=MOBY_VERSION,
        package="github.com/moby/moby/v2/cmd/dockerd",
        minutes=2.5,
        stamps=(f"github.com/moby/moby/v2/dockerversion.Version={MOBY_VERSION}",),
    ),
)
DOCKERD_28 = Part(
    name="dockerd-28.5",
    program="dockerd",
    accepts=r"Docker version 28\.5\.",
    go=GoBuild(
        module="github.com/docker/docker",
        version=DOCKER_VERSION,
        package="github.com/docker/docker/cmd/dockerd",
        minutes=3.5,
        stamps=(f"github.com/docker/docker/dockerversion.Version={DOCKER_VERSION[1:].removesuffix('+incompatible')}",),
        vendored=True,
    ),
)
CONTAINERD_2 = _containerd("containerd", 1.0, accepts=r"containerd/v2 v?2\.", version_flag="--version")
CONTAINERD_SHIM_2 = _containerd("containerd-shim-runc-v2", 0.3, accepts=r"Version:\s+v?2\.", version_flag="-v")
RUNC = Part(
    name="runc",
    program="runc",
    # containerd 2 puts containers into time namespaces, which runc knows since 1.2.
    accepts=r"runc version 1\.([2-9]|\d\d)\.",
    go=GoBuild(
        module="github.com/opencontainers/runc",
        version=RUNC_VERSION,
        package="github.com/opencontainers/runc",
        minutes=0.7,
        cgo=True,
        stamps=(f"main.version={RUNC_VERSION.removeprefix('v')}",),
    ),
)
KUBE_APISERVER = _kubernetes("kube-apiserver", minutes=3.5)
KUBE_CONTROLLER_MANAGER = _kubernetes("kube-controller-manager", minutes=1.0)
KUBE_SCHEDULER = _kubernetes("kube-scheduler", minutes=0.3)
KUBELET = _kubernetes("kubelet", minutes=0.6)
KUBE_PROXY = _kubernetes("kube-proxy", minutes=0.3)


def _cni(program: str, folder: str) -> Part:
    return Part(
        name=f"cni-{program}",
        program=program,
        accepts=rf"CNI {program} plugin ",
        version_flag="",
        apt="containernetworking-plugins",
        apt_path=f"/usr/lib/cni/{program}",
        go=GoBuild(
            module="github.com/containernetworking/plugins",
            version=CNI_VERSION,
            package=f"github.com/containernetworking/plugins/plugins/{folder}/{program}",
            minutes=0.3,
            stamps=(f"github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion={CNI_VERSION}",),
        ),
    )


CNI = (_cni("bridge", "main"), _cni("loopback", "main"), _cni("host-local", "ipam"))
"""What connects pods on a node."""
CTR = Part(
    name="ctr-1.6",
    program="ctr",
    accepts=r"ctr .*containerd/containerd 1\.",
    apt="containerd",
    apt_path="/usr/bin/ctr",
)
DOCKER_CLI = Part(
    name="docker-cli",
    program="docker",
    accepts=r"Docker version (29|[3-9]\d)\.",  # an older one asks for an API that an Engine 29 does not serve any more
    go=GoBuild(
        module="github.com/docker/cli",
        version=DOCKER_CLI_VERSION,
        package="github.com/docker/cli/cmd/docker",
        minutes=1.0,
        stamps=(f"github.com/docker/cli/cli/version.Version={DOCKER_CLI_VERSION.removesuffix('+incompatible')}",),
        vendored=True,
    ),
)
BUSYBOX = Part(
    name="busybox-static",
    program="busybox",
    accepts=r"BusyBox v1\.",
    version_flag="--help",
    apt="busybox-static",
    apt_path="/bin/busybox",
)

KUBECTL = _kubernetes("kubectl", minutes=1.8, says="Client Version:", version_flag="version --client")
HELM_4 = Part(
    name="helm-4",
    program="helm",
    accepts=r"v4\.\d+\.",
    version_flag="version --short",
    go=GoBuild(
        module="helm.sh/helm/v4",
        version=HELM_VERSION,
        package="helm.sh/helm/v4/cmd/helm",
        minutes=3.8,
        stamps=(f"helm.sh/helm/v4/internal/version.version={HELM_VERSION}",),
    ),
)
KSTATUS = _own("tests/gitops/kstatus", minutes=0.5, accepts=r"kstatus of \S+/cli-utils v1\.")
PROMTOOL = Part(
    name="promtool",
    program="promtool",
    accepts=r"promtool, version [23]\.",
    apt="prometheus",
    apt_path="/usr/bin/promtool",
)
CLIENTS = (KUBECTL, HELM_4, KSTATUS, PROMTOOL)
"""What only tests use: no cluster needs them to come up."""
