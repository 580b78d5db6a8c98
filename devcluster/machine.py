"""Make the machine ready for a target of make: install what it lacks, or say all of it in the first second.

`python3 -m devcluster.machine cluster|tests` runs before there is an environment, so nothing but the standard library
is imported here. Programs with a version of their own are found again, or built, when they are needed: see `finding`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import finding, parts
from devcluster.errors import DevClusterError
from devcluster.layout import cache_folder
from devcluster.packages import AptInstaller
from devcluster.pipeline_parts import PIPELINE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Purpose(StrEnum):
    """Say what the machine is to be ready for; each takes what the one before takes."""

    CLUSTER = "cluster"
    TESTS = "tests"


@dataclass(frozen=True, slots=True)
class Tool:
    """Describe a program whose version does not matter, and the Debian packages that bring it."""

    program: str
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lack:
    """Hold what is missing: Debian packages, and what only people can bring, in words."""

    packages: tuple[str, ...]
    by_hand: tuple[str, ...]


GO = (1, 26)
"""The oldest that builds what is built."""
_GO_WORDS = "Go 1.26 or newer on PATH or in /usr/local/go (https://go.dev/dl)"
_ROOT_WORDS = "root: Engines, namespaces of the kernel and apt-get take it"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_COMPILER = Tool("cc", ("gcc", "libc6-dev"))
_TOOLS = {
    Purpose.CLUSTER: (Tool("openssl", ("openssl",)), Tool("mount", ("mount",))),
    Purpose.TESTS: (
        Tool("git", ("git",)),
        Tool("setpriv", ("util-linux",)),
        Tool("unshare", ("util-linux",)),
        Tool("ip", ("iproute2",)),
        Tool("iptables", ("iptables",)),
        Tool("conntrack", ("conntrack",)),
    ),
}
KUBERNETES = (parts.ETCD, parts.KUBE_APISERVER, parts.KUBE_CONTROLLER_MANAGER)
PARTS = {
    Purpose.CLUSTER: (
        *(parts.DOCKERD_29, parts.CONTAINERD_2, parts.CONTAINERD_SHIM_2, parts.RUNC),
        *(parts.DOCKERD_20, parts.CONTAINERD_1, parts.CONTAINERD_SHIM_1, parts.RUNC_1),
        *(parts.REGISTRY, *KUBERNETES),
    ),
    Purpose.TESTS: (
        *(parts.KUBE_SCHEDULER, parts.KUBELET, parts.KUBE_PROXY, parts.CTR, *parts.CNI, parts.DOCKER_CLI),
        *(parts.BUSYBOX, *parts.CLIENTS, *PIPELINE),
    ),
}


def make_ready(purpose: Purpose, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Install what the machine lacks, in one go.

    Raises `DevClusterError` with all that is missing, before anything is installed, if some of it takes a person.
    """
    lack = survey(purpose, environ)
    if lack.by_hand:
        packages = [f"the packages {', '.join(lack.packages)}"] if lack.packages else []
        msg = f"this machine lacks {'; '.join([*lack.by_hand, *packages])}"
        raise DevClusterError(msg)
    if lack.packages:
        AptInstaller(cache_folder(environ), say).install(*lack.packages)
        if left := survey(purpose, environ).packages:
            msg = f"apt-get does not bring what is needed of {', '.join(left)}: Debian 12 has the versions that fit"
            raise DevClusterError(msg)


def survey(purpose: Purpose, environ: Mapping[str, str]) -> Lack:
    """Look for everything and change nothing."""
    purposes = tuple(Purpose)[: tuple(Purpose).index(purpose) + 1]
    named = KUBERNETES if environ.get("KUBECONFIG") else ()  # an API server that is there already takes none of these
    wanted = [part for each in purposes for part in PARTS[each] if part not in named]
    absent = [part for part in wanted if not finding.at_hand(part, environ)]
    built = [part.go for part in absent if part.go and not part.apt]
    tools = [tool for each in purposes for tool in _TOOLS[each]]
    tools += [_COMPILER] if any(go.cgo for go in built) else []
    missing = [package for tool in tools if not _on_path(tool.program, environ) for package in tool.packages]
    missing += [part.apt for part in absent if part.apt]
    missing += [] if importlib.util.find_spec("ensurepip") else ["python3-venv"]
    builds = bool(built) or purpose is Purpose.TESTS  # tests read the schemas that lie in modules of Go
    missing += ["ca-certificates"] if builds and not _AUTHORITIES.exists() else []
    packages = tuple(dict.fromkeys(missing))
    by_hand = [_GO_WORDS] if builds and not _has_go(environ) else []
    by_hand += [] if os.geteuid() == 0 else [_ROOT_WORDS]
    by_hand += ["apt-get, as a Debian machine has it"] if packages and not _on_path("apt-get", environ) else []
    return Lack(packages, tuple(by_hand))


def _on_path(program: str, environ: Mapping[str, str]) -> str | None:
    folders = [environ.get("PATH", ""), *finding.SYSTEM_FOLDERS]
    return shutil.which(program, path=os.pathsep.join(folders))


def _has_go(environ: Mapping[str, str]) -> bool:
    go = _on_path("go", environ)
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout if go else ""
    version = re.search(r"\bgo(\d+)\.(\d+)", said)
    return version is not None and (int(version[1]), int(version[2])) >= GO


def main(arguments: Sequence[str]) -> int:
    """Return 0 if the machine is ready, else 1 after the sentence that says why not."""
    try:
        make_ready(Purpose(arguments[0]), os.environ, print)
    except DevClusterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
