"""Say which parts are described together, and which of them the environment names already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import engines, kubernetes, parts, registries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from devcluster.engines import EngineKind
    from devcluster.layout import Layout
    from devcluster.parts import Part
    from devcluster.services import Service

ENGINES, REGISTRIES, KUBERNETES = "engines", "registries", "kubernetes"
GROUPS = (ENGINES, REGISTRIES, KUBERNETES)
"""What `up --only` chooses from."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Hold parts that are described together, because they share ports or files.

    `names` are its services, `programs` what they run, and `describe` makes the services anew from where the programs
    lie.
    """

    group: str
    names: tuple[str, ...]
    programs: tuple[Part, ...]
    describe: Callable[[Callable[[Part], Path]], list[Service]]


@dataclass(frozen=True, slots=True)
class Named:
    """Hold what the environment names to be used in place of parts of our own.

    `kubeconfig` leads to an API server, `docker_host` to an Engine. What points to this checkout's own cluster, as
    after `source .dev/env`, does not count. `pair` are the two Engines that are chosen.
    """

    kubeconfig: Path | None
    docker_host: str | None
    pair: tuple[EngineKind, EngineKind] = (engines.DEFAULT, engines.GRAPHDRIVER)

    @classmethod
    def by(cls, environ: Mapping[str, str], layout: Layout) -> Named:
        """Read KUBECONFIG (its first existing file), DOCKER_HOST and IMAGEOPS_ENGINES."""
        files = [Path(name) for name in environ.get("KUBECONFIG", "").split(os.pathsep) if name]
        existing = next((path.resolve() for path in files if path.exists()), None)
        host = environ.get("DOCKER_HOST") or None
        return cls(
            kubeconfig=None if existing and existing.is_relative_to(layout.kube) else existing,
            docker_host=None if host and host.startswith(f"unix://{layout.run}/") else host,
            pair=engines.chosen(environ),
        )


def units(layout: Layout, named: Named, password: str) -> list[Unit]:
    """List the units this cluster is to have; `password` opens the registry that asks for one."""
    own = named.pair if named.docker_host is None else named.pair[1:]
    listed = [_engine(layout, kind) for kind in own]
    listed.append(
        Unit(
            group=REGISTRIES,
            names=(registries.SOURCE, registries.TARGET, registries.AUTH),
            programs=(parts.REGISTRY,),
            describe=lambda program: registries.registry_services(layout, program, password),
        )
    )
    if named.kubeconfig is None:
        listed.append(
            Unit(
                group=KUBERNETES,
                names=(kubernetes.ETCD, kubernetes.APISERVER, kubernetes.CONTROLLER_MANAGER),
                programs=(parts.ETCD, parts.KUBE_APISERVER, parts.KUBE_CONTROLLER_MANAGER),
                describe=lambda program: kubernetes.kubernetes_services(layout, program),
            )
        )
    return listed


def _engine(layout: Layout, kind: EngineKind) -> Unit:
    return Unit(
        group=ENGINES,
        names=(f"containerd-{kind.name}", f"engine-{kind.name}"),
        programs=kind.programs,
        describe=lambda program: engines.engine_services(layout, kind, program),
    )
