"""Describe the two private Docker Engines: one with the containerd image store, and one with the graph driver overlay2.

Without a word they are the newest and the oldest line that is supported, 29 and 20.10. IMAGEOPS_ENGINES names another
pair, which takes the same two places: what uses the cluster finds each image store under the name that it always has.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import parts
from devcluster.errors import DevClusterError
from devcluster.probes import Probe
from devcluster.services import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from devcluster.layout import Layout
    from devcluster.parts import Part

_CRI_PLUGINS = {
    2: ("io.containerd.grpc.v1.cri",),
    3: ("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"),
}
"""The kubelet's side of containerd by version of its configuration; an Engine needs none of it."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """Describe one engine: the programs it needs and what makes it differ from the other.

    `name` is its place in the cluster, `label` what a test's id calls it, `release` a pattern of the version that
    it says. `storage` are flags of dockerd, `features` are switched on in its configuration; they choose where images
    are kept.
    """

    name: str
    label: str
    release: str
    dockerd: Part
    containerd: Part
    shim: Part
    runc: Part
    containerd_config: int
    storage: tuple[str, ...]
    features: tuple[str, ...] = ()

    @property
    def programs(self) -> tuple[Part, ...]:
        """List every program the engine needs."""
        return (self.dockerd, self.containerd, self.shim, self.runc)


DEFAULT = EngineKind(
    name="default",
    label="default",
    release=r"29\.|v2\.",  # a build of the module says the module's own version
    dockerd=parts.DOCKERD_29,
    containerd=parts.CONTAINERD_2,
    shim=parts.CONTAINERD_SHIM_2,
    runc=parts.RUNC,
    containerd_config=3,
    storage=(),  # the containerd store is what a new 29 engine starts with
)
GRAPHDRIVER = EngineKind(
    name="graphdriver",
    label="graphdriver",
    release=r"20\.10\.",
    dockerd=parts.DOCKERD_20,
    containerd=parts.CONTAINERD_1,
    shim=parts.CONTAINERD_SHIM_1,
    runc=parts.RUNC_1,
    containerd_config=2,
    storage=("--storage-driver=overlay2",),
)
CONTAINERD_28 = replace(
    DEFAULT,
    label="28.5-containerd",
    release=r"28\.5\.",
    dockerd=parts.DOCKERD_28,
    features=("containerd-snapshotter",),  # what only a new 29 engine starts with
)
OVERLAY_28 = replace(CONTAINERD_28, name="graphdriver", label="28.5-overlay2", storage=GRAPHDRIVER.storage, features=())

PAIRS = {"": (DEFAULT, GRAPHDRIVER), "28.5": (CONTAINERD_28, OVERLAY_28)}
"""The engine with the containerd image store and the one with a graph driver, by what IMAGEOPS_ENGINES says."""


def chosen(environ: Mapping[str, str]) -> tuple[EngineKind, EngineKind]:
    """Read which two engines are wanted.

    Raises `DevClusterError` for a name that no pair has.
    """
    name = environ.get("IMAGEOPS_ENGINES", "")
    if name not in PAIRS:
        msg = f"IMAGEOPS_ENGINES={name} names no engines; it may be {' or '.join(filter(None, PAIRS))}, or unset"
        raise DevClusterError(msg)
    return PAIRS[name]


def docker_host(layout: Layout, kind: EngineKind) -> str:
    """Name the engine's address as DOCKER_HOST wants it."""
    return f"unix://{layout.run}/{kind.name}.sock"


def engine_services(layout: Layout, kind: EngineKind, program: Callable[[Part], Path]) -> list[Service]:
    """Describe the engine's dockerd and the containerd that only it uses, and write their configuration.

    containerd is started by us and named to dockerd, as dockerd would otherwise take one of the system's that it finds
    at the well-known socket. Each engine sees its own programs only: PATH is a folder of links.
    """
    home = layout.run / kind.name
    folder = home / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for part in kind.programs:
        link = folder / part.program
        link.unlink(missing_ok=True)
        link.symlink_to(program(part))
    containerd_socket = f"{layout.run}/{kind.name}-c.sock"
    config = home / "containerd.toml"
    config.write_text(_containerd_config(kind, home, containerd_socket), encoding="utf-8")
    daemon_config = home / "daemon.json"  # without one of our own dockerd would read the system's
    features = dict.fromkeys(kind.features, True)
    daemon_config.write_text(json.dumps({"features": features}) + "\n", encoding="utf-8")
    environ = {
        # The system's folders come last: dockerd calls mount helpers and the like.
        "PATH": os.pathsep.join([str(folder), "/usr/sbin", "/usr/bin", "/sbin", "/bin"]),
        "HOME": str(home),
        "TMPDIR": "/tmp",  # noqa: S108 - what the daemon makes there, it makes safely
    }
    host = docker_host(layout, kind)
    containerd = Service(
        name=f"containerd-{kind.name}",
        argv=(f"{folder}/containerd", "--config", str(config)),
        environ=environ,
        probe=Probe(socket=containerd_socket),
        log=f"{layout.logs}/containerd-{kind.name}.log",
        address=f"unix://{containerd_socket}",
    )
    dockerd = Service(
        name=f"engine-{kind.name}",
        argv=(
            f"{folder}/dockerd",
            f"--config-file={daemon_config}",
            f"--host={host}",
            f"--containerd={containerd_socket}",
            f"--data-root={home}/data",
            f"--exec-root={home}/exec",
            f"--pidfile={home}/dockerd.pid",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            *kind.storage,
        ),
        environ=environ,
        probe=Probe(url="http://localhost/_ping", socket=host.removeprefix("unix://")),
        log=f"{layout.logs}/engine-{kind.name}.log",
        address=host,
        after=(containerd.name,),
        stale=(f"{home}/dockerd.pid",),
    )
    return [containerd, dockerd]


def _containerd_config(kind: EngineKind, home: Path, socket: str) -> str:
    disabled = ", ".join(f'"{plugin}"' for plugin in _CRI_PLUGINS[kind.containerd_config])
    return (
        f"version = {kind.containerd_config}\n"
        f'root = "{home}/containerd"\n'
        f'state = "{home}/containerd-state"\n'
        f"disabled_plugins = [{disabled}]\n"
        "[grpc]\n"
        f'  address = "{socket}"\n'
    )
