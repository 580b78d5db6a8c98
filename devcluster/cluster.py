"""Bring the whole cluster up and down."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import engines, env, finding, kubernetes, registries, state, tenants
from devcluster.ending import end_services, remove_tree
from devcluster.kubeconfig import Access
from devcluster.locking import locked
from devcluster.parts import CLIENTS
from devcluster.pipeline_parts import PIPELINE
from devcluster.services import PortTakenError
from devcluster.units import KUBERNETES, Named, units

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from devcluster.layout import Layout
    from devcluster.parts import Part
    from devcluster.services import Service
    from devcluster.units import Unit

_ATTEMPTS = 3
"""How often new ports are picked when another program was faster."""


class Cluster:
    """Hold the cluster of one checkout. Commands on it take turns by a file lock.

    `environ` says what is to be used in place of parts of our own. `say` shows one line to whoever waits.
    """

    def __init__(self, layout: Layout, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._layout = layout
        self._named = Named.by(environ, layout)
        self._ways = finding.standard_ways(environ, say)
        self._say = say
        self._found: dict[str, finding.Found] = {}
        self._state = state.State()
        self._guard = threading.Lock()
        known = env.load(layout.env) if layout.env.exists() else env.Environment()
        self._password = known.registry_auth_password or secrets.token_urlsafe(18)

    def up(self, groups: Sequence[str]) -> None:
        """Start what is missing of these groups and wait until all of it is ready.

        Raises `DevClusterError` if a program cannot be had or a part does not come up; what was started stays recorded,
        so `down` ends it.
        """
        with locked(self._layout.lock, lambda: self._say("another command is at work on this cluster, waiting")):
            started = time.monotonic()
            self._state = state.load(self._layout)
            if not self._state.services:
                remove_tree(self._layout.run)  # left by a machine that was switched off
            self._layout.make()
            wanted = [unit for unit in self._units() if unit.group in groups]
            names = [name for unit in wanted for name in unit.names]
            services = self._state.services
            same_server = self._named.kubeconfig is None or self._state.kubeconfig == str(self._named.kubeconfig)
            if same_server and all(name in services and services[name].ready for name in names):
                self._say(f"already up; {self._layout.env} says where")
                return
            self._bring_up(wanted)
            if KUBERNETES in groups:
                self._make_teams()
            self._write_env()
            self._say(f"up in {time.monotonic() - started:.1f} s; {self._layout.env} says where")

    def build(self, *, clients: bool) -> None:
        """Find every program, building what has to be built, and say where each lies; `clients` are for tests only."""
        listed = [part for unit in self._units() for part in unit.programs]
        for part in [*listed, *((*CLIENTS, *PIPELINE) if clients else ())]:
            path = self._program(part)
            self._say(f"{part.name:28} {path} ({self._found[part.name].way})")

    def down(self) -> None:
        """End exactly what `up` started, and remove its data. The logs stay.

        Raises `DevClusterError` if a process cannot be ended; the record of it stays then.
        """
        with locked(self._layout.lock, lambda: self._say("another command is at work on this cluster, waiting")):
            self._state = state.load(self._layout)
            if self._state.kubeconfig and self._state.namespaces:
                tenants.remove_teams(Access.read(Path(self._state.kubeconfig)), self._state.namespaces)
            end_services(self._state.services.values())
            remove_tree(self._layout.run)
            shutil.rmtree(self._layout.kube, ignore_errors=True)
            self._layout.env.unlink(missing_ok=True)
            self._layout.state.unlink(missing_ok=True)
            self._say("down")

    def status(self) -> list[Service]:
        """List the recorded services."""
        return list(state.load(self._layout).services.values())

    def _units(self) -> list[Unit]:
        return units(self._layout, self._named, self._password)

    def _program(self, part: Part) -> Path:
        if part.name not in self._found:
            self._found[part.name] = finding.find(part, self._ways)
        return self._found[part.name].path

    def _bring_up(self, wanted: Sequence[Unit]) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            fresh = [unit for unit in wanted if not all(name in self._state.services for name in unit.names)]
            for part in [part for unit in fresh for part in unit.programs]:
                self._program(part)
            described = [service for unit in fresh for service in unit.describe(self._program)]
            for service in described:
                Path(service.log).unlink(missing_ok=True)
            self._state = self._state.including(described)
            self._write_env()  # before the state names the registries: their password stands only here
            state.save(self._layout, self._state)
            services = [self._state.services[name] for unit in wanted for name in unit.names]
            try:
                self._start([service for service in services if not service.ready])
            except PortTakenError:
                if attempt == _ATTEMPTS:
                    raise
                self._say("a port was taken by another program meanwhile, picking others")
                for unit in wanted:
                    members = [self._state.services[name] for name in unit.names]
                    if not all(service.alive for service in members):
                        end_services(members)
                        self._state = self._state.without(unit.names)
            else:
                return

    def _start(self, services: Sequence[Service]) -> None:
        """Start the services side by side, each as soon as those it waits for are ready."""
        futures: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(services))) as pool:
            for service in services:  # those to wait for stand before, so no thread waits for one that has no thread
                earlier = [futures[name] for name in service.after if name in futures]
                futures[service.name] = pool.submit(self._start_one, service, earlier)
        for future in futures.values():
            future.result()

    def _start_one(self, service: Service, earlier: Sequence[Future[None]]) -> None:
        for future in earlier:
            future.result()
        begun = time.monotonic()
        if not service.alive:
            service = service.started()
            with self._guard:
                self._state = self._state.including([service])
                state.save(self._layout, self._state)
        service.wait_ready()
        self._say(f"{service.name:24} ready in {time.monotonic() - begun:4.1f} s  {service.address}")

    def _make_teams(self) -> None:
        if self._named.kubeconfig is None:
            tenants.make_teams(Access.read(self._admin()))
            return
        access = Access.read(self._admin())
        self._say(f"using the API server {access.server} that KUBECONFIG names; team-a and team-b are made there")
        made = tenants.make_teams(access)
        self._state = replace(
            self._state,
            kubeconfig=str(self._named.kubeconfig),
            namespaces=tuple(dict.fromkeys([*self._state.namespaces, *made])),
        )
        state.save(self._layout, self._state)
        tenants.make_users(access, self._layout)

    def _write_env(self) -> None:
        env.write(self._layout.env, self._environment())

    def _environment(self) -> env.Environment:
        addresses = {name: service.address for name, service in self._state.services.items()}
        docker_host = self._named.docker_host or addresses.get(f"engine-{engines.DEFAULT.name}", "")
        graphdriver = addresses.get(f"engine-{engines.GRAPHDRIVER.name}", "")
        daemons = {engines.DEFAULT.name: docker_host, engines.GRAPHDRIVER.name: graphdriver}
        environment = env.Environment(
            docker_host=docker_host,
            docker_host_graphdriver=graphdriver,
            imageops_daemons=",".join(f"{name}={host}" for name, host in daemons.items() if host),
        )
        if registries.AUTH in addresses:
            environment = replace(
                environment,
                registry=addresses[registries.SOURCE],
                registry_target=addresses[registries.TARGET],
                registry_auth=addresses[registries.AUTH],
                registry_auth_user=registries.USER,
                registry_auth_password=self._password,
            )
        operator = kubernetes.kubeconfig(self._layout, kubernetes.OPERATOR)
        if operator.exists():
            admin = self._admin()
            environment = replace(
                environment,
                kubeconfig=str(admin),
                kubeconfig_operator=str(operator),
                kubeconfig_team_a=str(kubernetes.kubeconfig(self._layout, kubernetes.TEAM_A)),
                kubeconfig_team_b=str(kubernetes.kubeconfig(self._layout, kubernetes.TEAM_B)),
                kube_apiserver_url=Access.read(admin).server,
                audit_log="" if self._named.kubeconfig else str(kubernetes.audit_log(self._layout)),
            )
        return environment

    def _admin(self) -> Path:
        return self._named.kubeconfig or kubernetes.kubeconfig(self._layout, kubernetes.ADMIN)
