"""Play trials: the cluster, the proxies, one operator that is started again whenever it ends, and the workload."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from devcluster.env import Environment
from devcluster.kubeconfig import Access
from devcluster.ports import ADDRESS, free_ports
from faults import stage as stages
from faults import workload
from faults.api_proxy import ApiProxy
from faults.director import Answer, Director
from faults.launcher import Launcher, OperatorProcess
from faults.objects import KINDS, Objects
from faults.proxy import DaemonProxy, Proxy, whole
from faults.record import Left, Names, Record
from faults.site import Sites
from faults.stage import Stage, Ways
from faults.summary import Clean
from faults.upstream import Upstream

READY_SECONDS = 60.0
REST_SECONDS = 0.4
"""Without a request of the operator this long, nothing more is on its way."""
_REST_LIMIT_SECONDS = 60.0
_POLL_SECONDS = 0.02
_NO_CREDENTIAL = {"token": "none"}
"""What the operator has: the proxy puts the operator's own in its place."""


@dataclass(slots=True)
class World:
    """One lane: trials are played in it one after another, and worlds stand side by side."""

    cluster: Environment
    admin: Upstream
    launcher: Launcher
    sites: Sites
    api: ApiProxy
    daemons: dict[str, DaemonProxy]
    ways: Ways
    folder: Path
    environment: dict[str, str]
    _bases: dict[str, str]
    """Names for the digests of the images that every trial uses."""
    last: Record | None = field(default=None, init=False)
    """What happened in the last trial."""
    _clean: Clean | None = field(default=None, init=False)

    @classmethod
    @asynccontextmanager
    async def opened(cls, cluster: Environment, launcher: Launcher, sites: Sites) -> AsyncIterator[World]:
        """Put the proxies up."""
        folder = Path(tempfile.mkdtemp(prefix="faults-"))
        api = ApiProxy(Upstream.api(cluster.kubeconfig_operator))
        kubeconfig = folder / "kubeconfig"
        Access(server=await api.listen(), ca_data="", user=_NO_CREDENTIAL).write(kubeconfig)
        addresses = dict(pair.split("=", 1) for pair in cluster.imageops_daemons.split(","))
        daemons = {name: DaemonProxy(name, Upstream.daemon(address)) for name, address in addresses.items()}
        sockets = {name: await proxy.listen(folder / f"{name}.sock") for name, proxy in daemons.items()}
        environment = {
            "KUBECONFIG": str(kubeconfig),
            "IMAGEOPS_DAEMONS": ",".join(f"{name}={address}" for name, address in sockets.items()),
            "IMAGEOPS_HEALTH_HOST": ADDRESS,
            "IMAGEOPS_HEALTH_PORT": str(free_ports(1)[0]),
            "IMAGEOPS_LOG_LEVEL": "DEBUG",
        }
        ways = Ways.open(cluster)
        admin = Upstream.api(cluster.kubeconfig)
        bases = await asyncio.to_thread(stages.make_bases, cluster)
        for proxy in daemons.values():
            await stages.pull_bases(proxy.upstream, bases)
        try:
            yield cls(cluster, admin, launcher, sites, api, daemons, ways, folder, environment, stages.digests(bases))
        finally:
            await api.close()
            for proxy in daemons.values():
                await proxy.close()
            await admin.close()
            ways.close()
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def clean(self) -> Clean:
        """What an undisturbed trial comes to here."""
        if self._clean is None:
            raise RuntimeError("no clean run was played yet")
        return self._clean

    async def prepare(self) -> Record:
        """Play the workload undisturbed, and keep what it comes to."""
        record = await self.play()
        self._clean = Clean.of(record)
        return record

    async def play(self, director: Director | None = None, *, defect: str | None = None) -> Record:
        """Play the workload once, with a director's faults, and return the record; `defect` names a planted one."""
        director = director or Director()
        token = secrets.token_hex(4)
        password = secrets.token_hex(12)
        names = self._names(token)
        pairs = [f"{self.cluster.registry_auth_user}:{one}" for one in (password, self.cluster.registry_auth_password)]
        hidden = [text for pair in pairs for text in (pair.partition(":")[2], base64.b64encode(pair.encode()).decode())]
        record = Record(Names(names), secrets=tuple(hidden))
        self.last = record
        stage = Stage(self.cluster, self.ways, token, names)
        objects = Objects(self.admin, f"faults-{token}", record)
        await self._prepare(objects, password)
        self.ways.shut()
        trial = Trial(self, record, director, objects.namespace, self.folder / f"{token}.log", defect)
        try:
            async with trial.running(), objects.watched():
                waiting: set[str] = set()
                try:
                    async with asyncio.timeout(director.play_seconds):
                        await workload.play(objects, stage, waiting)
                except TimeoutError:
                    record.unfinished = ", ".join(sorted(waiting))
                await trial.rest()
                record.left = await self._left(trial, stage, objects, token)
        finally:
            await self._tidy(objects, token)
        return record

    def proxies(self) -> tuple[Proxy, ...]:
        """Return all proxies."""
        return (self.api, *self.daemons.values())

    def _names(self, token: str) -> dict[str, str]:
        return {
            self.cluster.registry: "source",
            self.cluster.registry_target: "target",
            self.cluster.registry_auth: "locked",
            self.ways.failing.address: "failing",
            self.ways.stuck.address: "stuck",
            token: "~",
            **self._bases,
        }

    async def _prepare(self, objects: Objects, wrong: str) -> None:
        await self.admin.call("POST", "/api/v1/namespaces", {"metadata": {"name": objects.namespace}})
        passwords = {
            workload.WRONG_PASSWORD_SECRET: wrong,
            workload.PASSWORD_SECRET: self.cluster.registry_auth_password,
        }
        for name, password in passwords.items():
            pair = base64.b64encode(f"{self.cluster.registry_auth_user}:{password}".encode()).decode()
            text = json.dumps({"auths": {self.cluster.registry_auth: {"auth": pair}}})
            body = {
                "metadata": {"name": name},
                "type": "kubernetes.io/dockerconfigjson",
                "stringData": {".dockerconfigjson": text},
            }
            await self.admin.call("POST", f"/api/v1/namespaces/{objects.namespace}/secrets", body)

    async def _left(self, trial: Trial, stage: Stage, objects: Objects, token: str) -> Left:
        return Left(
            objects=tuple(await objects.all()),
            events=tuple(await objects.events()),
            tags={name: await stages.tags_on(proxy.upstream, token) for name, proxy in self.daemons.items()},
            served=await asyncio.to_thread(stage.served),
            metrics=await trial.page("metrics"),
            log=trial.log.read_text(encoding="utf-8", errors="replace"),
        )

    async def _tidy(self, objects: Objects, token: str) -> None:
        await objects.delete_all()  # the namespace stays: taking it away asks the API server for every kind there is
        for proxy in self.daemons.values():
            await stages.clear(proxy.upstream, await stages.tags_on(proxy.upstream, token))


@dataclass(slots=True)
class Trial:
    """One trial in progress: its operator, and what a director can do."""

    world: World
    record: Record
    director: Director
    namespace: str
    log: Path
    defect: str | None
    _process: OperatorProcess | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep an operator running while the block runs; it is ready and watches all kinds when the block begins."""
        self.director.hands = self
        self.world.api.namespace = self.namespace
        for proxy in self.world.proxies():
            proxy.record, proxy.director = self.record, self.director
        keeping = asyncio.create_task(self._keep())
        try:
            await self._ready()
            await self._watching()
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            for proxy in self.world.proxies():
                proxy.record, proxy.director = None, Director()
            if self._process is not None:
                await self._process.kill()
            self.log.unlink(missing_ok=True)

    async def kill(self) -> None:
        """Kill the operator; return when it is gone."""
        if self._process is not None:
            await self._process.kill()

    async def ask(self, path: str, **query: str) -> Answer:
        """Read from the API server past the proxy, as its administrator."""
        target = path + ("?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else "")
        async with self.world.admin.send("GET", target, headers={"Accept": "application/json"}) as answer:
            return await whole(answer)

    async def rest(self) -> None:
        """Return when the operator is ready and has asked for nothing for a while."""
        async with asyncio.timeout(_REST_LIMIT_SECONDS):
            while True:
                await self._ready()
                quiet = time.monotonic() - self.record.last_numbered
                if quiet > REST_SECONDS and await self._is_ready():
                    return
                await asyncio.sleep(max(_POLL_SECONDS, REST_SECONDS - quiet))

    async def page(self, name: str) -> str:
        """Return a page of the operator's health server."""
        url = f"http://{ADDRESS}:{self.world.environment['IMAGEOPS_HEALTH_PORT']}/{name}"
        async with self.world.admin.session.get(url) as answer:
            return await answer.text() if answer.status < 400 else ""

    async def _keep(self) -> None:
        """Start the operator, and again whenever it ends, as a kubelet does."""
        while True:
            self._process = await self.world.launcher.launch(self.world.environment, self.log, defect=self.defect)
            await asyncio.shield(self._process.ended)
            self.record.crashes += 1

    async def _ready(self) -> None:
        async with asyncio.timeout(READY_SECONDS):
            while not await self._is_ready():  # noqa: ASYNC110 - another process is asked
                await asyncio.sleep(_POLL_SECONDS)

    async def _watching(self) -> None:
        """Return when all watches have begun: kopf calls itself ready before."""
        async with asyncio.timeout(READY_SECONDS):
            while len({call.label for call in self.record.calls if call.watches}) < len(KINDS):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)

    async def _is_ready(self) -> bool:
        with suppress(aiohttp.ClientError, ConnectionError):
            return bool(await self.page("readyz"))
        return False
