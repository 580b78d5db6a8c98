"""Measure how long a short operation takes, against the least that anybody would need for the same.

Ours: from the create to the moment a watcher sees the terminal status, the operator being a process of its own. Bare:
a create, the Engine's work, and a status write, one after another, on objects of a kind that no operator watches but
that is like ours in every other way. Both take turns, so that whatever else the machine does meets both alike.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import docker
import yaml

from bench.figures import Figure, Ratio
from devcluster.env import Environment
from devcluster.images import PushedImage, push_image
from devcluster.kubeconfig import Access, KubeClient
from imageops.api.kinds import GROUP, IMAGE_PULL, IMAGE_TAG, VERSION, Kind
from imageops.cluster.api_server import ApiServer
from imageops.cluster.objects import collection
from imageops.cluster.paths import ApiPath

BARE_GROUP = "bench.imageops.dev"
_ROOT = Path(__file__).parents[1]
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_WARM_UP = 5
_SERVED_SECONDS = 15.0
_GONE_SECONDS = 30.0
_END_SECONDS = 30.0
_POLL_SECONDS = 0.05
_MILLISECONDS = 1_000
_LIMIT = 2.0
"""The goal at this stage; 1.5 is the aim."""

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Case:
    """One kind of short operation: how it is asked for, and the least an Engine has to be asked for it."""

    name: str
    kind: Kind
    spec: Callable[[int], Mapping[str, Any]]
    engine: Callable[[int], object]
    engine_calls: str


@dataclass(slots=True)
class _Samples:
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)


def measure(cluster: Environment, count: int) -> tuple[list[Figure], list[Ratio]]:
    """Measure ImageTag and ImagePull `count` times each, with an operator running."""
    run = secrets.token_hex(4)
    engine = docker.APIClient(base_url=cluster.docker_host, version="auto")
    image = push_image(cluster.registry, f"bench/{run}", "1", seed=int(run, 16))
    try:
        engine.pull(f"{image.registry}/{image.repository}", tag=image.tag)
        with (
            tempfile.TemporaryDirectory() as folder,
            KubeClient(Access.read(Path(cluster.kubeconfig)), Path(folder)) as admin,
        ):
            return _measure(admin, cluster, _cases(engine, image), count=count, run=run)
    finally:
        engine.close()


def _cases(engine: docker.APIClient, image: PushedImage) -> list[_Case]:
    repository = f"{image.registry}/{image.repository}"

    def tag_and_inspect(number: int) -> object:
        engine.tag(image.reference, repository, tag=f"bare-{number}")
        return engine.inspect_image(f"{repository}:bare-{number}")

    return [
        _Case(
            "ImageTag, a new tag",
            IMAGE_TAG,
            lambda number: {"source": image.reference, "target": f"{repository}:ours-{number}"},
            tag_and_inspect,
            "tag and inspect",
        ),
        _Case(
            "ImagePull, present",
            IMAGE_PULL,
            lambda _: {"image": image.reference},
            lambda _: engine.inspect_image(image.reference),
            "inspect",
        ),
    ]


def _measure(
    admin: KubeClient, cluster: Environment, cases: list[_Case], *, count: int, run: str
) -> tuple[list[Figure], list[Ratio]]:
    namespace = f"bench-{run}"
    admin.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    for case in cases:
        _install_bare_kind(admin, case.kind)
    try:
        return asyncio.run(_alternate(cluster, cases, count=count, namespace=namespace))
    finally:
        for case in cases:
            admin.delete(f"{_CRDS}/{case.kind.plural}.{BARE_GROUP}")
        admin.delete(f"/api/v1/namespaces/{namespace}")
        # What goes on until it is gone would slow down what is measured next.
        _wait(lambda: admin.get(f"/api/v1/namespaces/{namespace}") is None, _GONE_SECONDS)


def _install_bare_kind(admin: KubeClient, kind: Kind) -> None:
    """Apply the kind under another group: the same schema, rules and columns, and no operator."""
    text = (_ROOT / "crds" / f"{kind.plural}.{GROUP}.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    document["metadata"]["name"] = f"{kind.plural}.{BARE_GROUP}"
    document["spec"]["group"] = BARE_GROUP
    document["spec"]["names"].pop("shortNames", None)
    document["spec"]["names"].pop("categories", None)
    admin.apply(f"{_CRDS}/{document['metadata']['name']}", document)
    _wait(lambda: admin.get(f"/apis/{BARE_GROUP}/{VERSION}/{kind.plural}") is not None, _SERVED_SECONDS)


def _wait(come: Callable[[], bool], seconds: float) -> None:
    """Return when something has come, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while not come() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


async def _alternate(
    cluster: Environment, cases: list[_Case], *, count: int, namespace: str
) -> tuple[list[Figure], list[Ratio]]:
    api = await ApiServer.connect(cluster.kubeconfig)
    figures, ratios = [], []
    try:
        for case in cases:
            samples = _Samples()
            async with _watching(api, case.kind, namespace) as ends:
                for number in range(_WARM_UP + count):
                    ours, status = await _ours(api, ends, case, namespace=namespace, number=number)
                    samples.ours.append(ours)
                    samples.bare.append(await _bare(api, case, namespace=namespace, number=number, status=status))
            ours_figure = _figure(
                case.name, samples.ours, "from the create request to the terminal status seen by a watcher"
            )
            bare_figure = _figure(
                f"  bare: create, {case.engine_calls}, status write",
                samples.bare,
                "the three one after another, each with its answer",
            )
            figures += [ours_figure, bare_figure]
            ratios.append(Ratio(case.name, ours_figure, bare_figure, _LIMIT))
    finally:
        await api.close()
    return figures, ratios


def _figure(name: str, samples: list[float], clock: str) -> Figure:
    return Figure(name, "ms", samples[_WARM_UP:], clock)


async def _ours(
    api: ApiServer, ends: asyncio.Queue[Body], case: _Case, *, namespace: str, number: int
) -> tuple[float, Body]:
    """Create an object and wait until its end is seen."""
    name = f"ours-{number}"
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": case.kind.kind, "metadata": {"name": name}}
    path = collection(case.kind, namespace)
    began = time.perf_counter()
    await api.create(path, {**body, "spec": case.spec(number)})
    async with asyncio.timeout(_END_SECONDS):
        seen = await ends.get()
    took = (time.perf_counter() - began) * _MILLISECONDS
    if seen["metadata"]["name"] != name or seen["status"]["phase"] != "Succeeded":
        msg = f"{case.kind.kind} {seen['metadata']['name']} ended {seen['status']['phase']}, which is no measurement"
        raise RuntimeError(msg)
    return took, seen["status"]


async def _bare(api: ApiServer, case: _Case, *, namespace: str, number: int, status: Body) -> float:
    """Do the least: create, Engine, write the very status that the operator wrote."""
    name = f"bare-{number}"
    body = {"apiVersion": f"{BARE_GROUP}/{VERSION}", "kind": case.kind.kind, "metadata": {"name": name}}
    path = ApiPath.of("apis", BARE_GROUP, VERSION, "namespaces", namespace, case.kind.plural)
    began = time.perf_counter()
    await api.create(path, {**body, "spec": case.spec(number)})
    await asyncio.to_thread(case.engine, number)
    await api.patch(path / name / "status", [{"op": "add", "path": "/status", "value": status}])
    return (time.perf_counter() - began) * _MILLISECONDS


@asynccontextmanager
async def _watching(api: ApiServer, kind: Kind, namespace: str) -> AsyncIterator[asyncio.Queue[Body]]:
    """Watch a kind, and give every object that has ended into a queue."""
    ends: asyncio.Queue[Body] = asyncio.Queue()
    path = collection(kind, namespace)
    since = (await api.get(path))["metadata"]["resourceVersion"]
    token = await api._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    answer = await api._session.get(
        f"{api._configuration.host}{path}?watch=true&resourceVersion={since}",
        headers={"Authorization": token} if token is not None else {},
        timeout=aiohttp.ClientTimeout(total=None),
    )

    async def read() -> None:
        async for line in answer.content:
            body = json.loads(line)["object"]
            if "completionTime" in (body.get("status") or {}):
                ends.put_nowait(body)

    reading = asyncio.create_task(read())
    try:
        yield ends
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        answer.close()
