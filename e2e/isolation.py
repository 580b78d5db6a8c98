"""Run a program in network, mount and process namespaces of its own, so that its end is the end of all it started.

In the namespaces: no interface but loopback and the node's bridge, no process but those started there, and folders of
its own in place of those that kubelet and containerd write to under fixed names. When the first process of a process
namespace ends, the kernel kills the others, and the mounts and the network go with the last of them
(pid_namespaces(7), network_namespaces(7)). `ip netns exec` would not do: it mounts /sys anew, and kubelet would find no
cgroups.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from devcluster import processes
from devcluster.processes import Process
from e2e.errors import NodeError

ADDRESS = "10.199.0.1"
"""The node's, on the bridge to its pods."""
PODS = "10.199.0.0/24"
BRIDGE = "imageops0"

_END_SECONDS = 30.0
"""The kernel takes a moment to end a namespace's processes."""
_UNSHARE = (
    # unshare ends with its caller, and by --kill-child its child with it
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
_OWN_FOLDERS = ("/run", "/var/lib", "/var/log")
_SETTINGS = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}
_CGROUPS = Path("/sys/fs/cgroup")


def isolated(command: Sequence[str]) -> int:
    """Run a command as the first process of namespaces of its own, and return its exit status.

    If the caller is interrupted, or dies, all that runs in there is killed. It takes root, and a machine that is ready.
    """
    process = subprocess.Popen([*_UNSHARE, *command])
    try:
        return process.wait()
    finally:
        outer = Process.of(process.pid)
        inside = processes.descendants([outer]) if outer else []
        process.kill()
        process.wait()
        processes.wait_gone(inside, _END_SECONDS)


def furnish(run: Path) -> None:
    """Make network and folders for the node; to be called once, inside of the namespaces.

    `run` holds what is written to the folders.
    """
    for folder in _OWN_FOLDERS:
        own = run / "folders" / folder.strip("/").replace("/", "-")
        own.mkdir(parents=True)
        _command("mount", "--bind", str(own), folder)
    for folder in ("/run/netns", "/run/lock", "/run/secrets"):
        Path(folder).mkdir(parents=True)
    _command("mount", "--make-rshared", "/")  # kubelet passes mounts on to pods; nobody outside is a peer of these
    _command("ip", "link", "set", "lo", "up")
    _command("ip", "link", "add", BRIDGE, "type", "bridge")
    _command("ip", "address", "add", f"{ADDRESS}/24", "dev", BRIDGE)
    _command("ip", "link", "set", BRIDGE, "up")
    for name, value in _SETTINGS.items():
        (Path("/proc/sys") / name).write_text(value, encoding="ascii")


def cgroup_of(run: Path) -> str:
    """Name the cgroup below which the node's pods are."""
    return run.name


def remove_cgroups(name: str) -> None:
    """Remove what the node left of its cgroup in each hierarchy; a cgroup outlives its processes."""
    for top in (_CGROUPS / name, *_CGROUPS.glob(f"*/{name}")):
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(FileNotFoundError):
                Path(folder).rmdir()


def make_cgroups(name: str) -> None:
    """Make the node's cgroup in each hierarchy; kubelet wants to find it."""
    tops = [top for top in _CGROUPS.iterdir() if top.is_dir()] if _hierarchies() else [_CGROUPS]
    for top in tops:
        folder = top / name
        folder.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # a new one of version 1 has no processor and no memory
            if (top / setting).exists():
                (folder / setting).write_text((top / setting).read_text(encoding="ascii"), encoding="ascii")


def _hierarchies() -> bool:
    """Tell whether this machine has cgroups of version 1: a hierarchy for each controller."""
    return not (_CGROUPS / "cgroup.controllers").exists()


def _command(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"`{' '.join(words)}` failed: {done.stderr.strip()}"
        raise NodeError(msg)
