"""Real Engines of a test's own, which may be killed, filled up or hidden behind TLS without disturbing anybody."""

from __future__ import annotations

import dataclasses
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import finding, processes
from devcluster.ending import end_services, remove_tree
from devcluster.engines import EngineKind, chosen, engine_services
from devcluster.layout import Layout

if TYPE_CHECKING:
    from devcluster.services import Service

KINDS = {kind.name: kind for kind in chosen(os.environ)}


class PrivateEngine:
    """One dockerd with its own containerd and data, started by the test."""

    def __init__(
        self, kind: EngineKind, run: Path, *, options: tuple[str, ...] = (), environ: Mapping[str, str] | None = None
    ) -> None:
        """Describe the engine; `options` and `environ` are further ones of dockerd."""
        layout = Layout(checkout=run, run=run)
        layout.make()
        ways = finding.standard_ways(os.environ, lambda _: None)
        containerd, dockerd = engine_services(layout, kind, lambda part: finding.find(part, ways).path)
        environ = {**dockerd.environ, **(environ or {})}
        dockerd = dataclasses.replace(dockerd, argv=(*dockerd.argv, *options), environ=environ)
        self.home = run / kind.name
        self.address = dockerd.address
        self._services: dict[str, Service] = {containerd.name: containerd, dockerd.name: dockerd}
        self._dockerd = dockerd.name

    def start(self) -> None:
        """Start what does not run, and wait until the engine answers."""
        for name, service in self._services.items():
            if not service.alive:
                self._services[name] = service.started()
            self._services[name].wait_ready()

    def kill(self) -> None:
        """Kill dockerd as a crash would; containerd lives on, as it does on a host."""
        process = self._services[self._dockerd].process
        assert process is not None
        processes.end([process], 0.0)

    def end(self) -> None:
        """End everything."""
        end_services(self._services.values())


@contextmanager
def private_engine(
    name: str,
    *,
    megabytes: int | None = None,
    options: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
) -> Iterator[PrivateEngine]:
    """Run an engine of the kind that the development cluster calls `name`.

    With `megabytes` all it keeps lies on a volume of that size.
    """
    run = Path(f"/tmp/imageops-t{secrets.token_hex(3)}")  # noqa: S108 - short, as a socket's path must be; made with 0700
    run.mkdir(mode=0o700)
    try:
        if megabytes is not None:
            _mount_small_volume(run / name, megabytes)
        engine = PrivateEngine(KINDS[name], run, options=options, environ=environ)
        try:
            engine.start()
            yield engine
        finally:
            engine.end()
    finally:
        remove_tree(run)


def _mount_small_volume(folder: Path, megabytes: int) -> None:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
