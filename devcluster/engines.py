"""Describe the two private Docker Engines: the 29 line with the containerd store, and 20.10 with overlay2."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import parts
from devcluster.probes import Probe
from devcluster.services import Service

if TYPE_CHECKING:
    from collections.abc import Callable

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

    `storage` are the dockerd flags that choose where images are kept.
    """

    name: str
    dockerd: Part
    containerd: Part
    shim: Part
    runc: Part
    containerd_config: int
    storage: tuple[str, ...]

    @property
    def programs(self) -> tuple[Part, ...]:
        """List every program the engine needs."""
        return (self.dockerd, self.containerd, self.shim, self.runc)


DEFAULT = EngineKind(
    name="default",
    dockerd=parts.DOCKERD_29,
    containerd=parts.CONTAINERD_2,
    shim=parts.CONTAINERD_SHIM_2,
    runc=parts.RUNC,
    containerd_config=3,
    storage=(),  # the containerd store is what a new 29 engine starts with
)
GRAPHDRIVER = EngineKind(
    name="graphdriver",
    dockerd=parts.DOCKERD_20,
    containerd=parts.CONTAINERD_1,
    shim=parts.CONTAINERD_SHIM_1,
    runc=parts.RUNC_1,
    containerd_config=2,
    storage=("--storage-driver=overlay2",),
)


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
    daemon_config.write_text("{}\n", encoding="utf-8")
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
