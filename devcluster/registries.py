"""Describe three registries: two anybody may use, and one with a password."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import yaml

from devcluster import parts
from devcluster.layout import write_private
from devcluster.passwords import bcrypt
from devcluster.ports import ADDRESS, free_ports
from devcluster.probes import Probe
from devcluster.services import Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devcluster.layout import Layout
    from devcluster.parts import Part

SOURCE, TARGET, AUTH = "registry-source", "registry-target", "registry-auth"
USER = "imageops-dev"


def registry_services(
    layout: Layout, program: Callable[[Part], Path], password: str, *, host: str = ADDRESS
) -> list[Service]:
    """Describe the registries and write their configuration; `password` opens the third to `USER`.

    `host` is the address that they listen on.
    """
    binary = program(parts.REGISTRY)
    folder = layout.run / "registries"
    folder.mkdir(parents=True, exist_ok=True)
    services = []
    for name, port in zip((SOURCE, TARGET, AUTH), free_ports(3), strict=True):
        config: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": f"{folder}/{name}"}, "delete": {"enabled": True}},
            "http": {"addr": f"{host}:{port}", "secret": secrets.token_hex(16)},
        }
        if name == AUTH:
            accounts = folder / "htpasswd"
            write_private(accounts, f"{USER}:{bcrypt(password)}\n")
            config["auth"] = {"htpasswd": {"realm": USER, "path": str(accounts)}}
        file = folder / f"{name}.yaml"
        write_private(file, yaml.safe_dump(config))
        services.append(
            Service(
                name=name,
                argv=(str(binary), "serve", str(file)),
                environ={"OTEL_TRACES_EXPORTER": "none"},  # or it looks for a collector on this machine
                probe=Probe(url=f"http://{host}:{port}/v2/"),
                log=f"{layout.logs}/{name}.log",
                address=f"{host}:{port}",
            )
        )
    return services
