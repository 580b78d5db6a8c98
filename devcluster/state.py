"""Keep the record of what `up` started, so that `down` ends exactly that."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from devcluster import processes
from devcluster.layout import Layout, write_private
from devcluster.probes import Probe
from devcluster.processes import Process
from devcluster.services import Service

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class State:
    """Hold every service of the cluster and what was made in an API server that is not ours.

    `services` maps names to services in their starting order. `namespaces` are those that `up` created in an API server
    named by KUBECONFIG, `kubeconfig` that file: `down` deletes them there.
    """

    services: dict[str, Service] = field(default_factory=dict)
    kubeconfig: str | None = None
    namespaces: tuple[str, ...] = ()

    def including(self, services: Iterable[Service]) -> State:
        """Return the state with these services added or replaced."""
        return replace(self, services=self.services | {service.name: service for service in services})

    def without(self, names: Iterable[str]) -> State:
        """Return the state without the services of these names."""
        left_out = set(names)
        return replace(self, services={name: it for name, it in self.services.items() if name not in left_out})


def load(layout: Layout) -> State:
    """Read the state; empty if there is none, or if the machine was started anew since and nothing of it can run."""
    try:
        document = json.loads(layout.state.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return State()
    if document["boot"] != processes.boot_id():
        return State()
    return State(
        services={entry["name"]: _service(entry) for entry in document["services"]},
        kubeconfig=document["kubeconfig"],
        namespaces=tuple(document["namespaces"]),
    )


def save(layout: Layout, state: State) -> None:
    """Write the state, whole or not at all."""
    document = {
        "boot": processes.boot_id(),
        "services": [asdict(service) for service in state.services.values()],
        "kubeconfig": state.kubeconfig,
        "namespaces": state.namespaces,
    }
    write_private(layout.state, json.dumps(document, indent=1))


def _service(entry: dict[str, Any]) -> Service:
    process = entry["process"]
    return Service(
        **entry
        | {
            "argv": tuple(entry["argv"]),
            "after": tuple(entry["after"]),
            "stale": tuple(entry["stale"]),
            "probe": Probe(**entry["probe"]),
            "process": Process(**process) if process else None,
        }
    )
