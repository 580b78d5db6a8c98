"""Furnish a namespace for sequences: images, Secrets, a ServiceAccount, and Sessions to join."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from faults import stage as stages
from faults.objects import Objects, ended
from faults.record import Record
from faults.schema.judging import reason
from faults.schema.subjects import Site
from faults.stage import Stage
from faults.world import World
from imageops.api.kinds import SESSION
from imageops.api.reasons import Reason

DAEMON = "default"


@asynccontextmanager
async def furnished(world: World, token: str, record: Record) -> AsyncIterator[tuple[Site, Objects]]:
    """Make a namespace with all that sequences name; it goes with the block, and its images too."""
    stage = Stage(world.cluster, world.ways, token, {})
    objects = Objects(world.admin, f"schema-{token}", record)
    await world.admin.call("POST", "/api/v1/namespaces", {"metadata": {"name": objects.namespace}})
    try:
        await _make_secrets(world, objects.namespace)
        yield await _site(world, stage), objects
    finally:
        await world.admin.call("DELETE", f"/api/v1/namespaces/{objects.namespace}")
        for proxy in world.daemons.values():
            await stages.clear(proxy.upstream, await stages.tags_on(proxy.upstream, token))


async def make_sessions(objects: Objects) -> None:
    """Make an open Session and a closed one; the operator has to be at work."""
    await objects.create(SESSION, "open", {})
    await objects.create(SESSION, "closed", {"closed": True})
    await objects.until("open", lambda body: reason(body) == Reason.OPEN)
    await objects.until("closed", ended)


async def _site(world: World, stage: Stage) -> Site:
    engine = world.daemons[DAEMON].upstream
    present, pushed = stage.base(1), stage.target("pushed")
    repository, _, tag = pushed.rpartition(":")
    # Not a plain copy of the image: what a tag names is asked of the registry, and its digest has to be the same.
    for path, headers in (
        (f"/images/{present}/tag?repo={repository}&tag={tag}", {}),
        (f"/images/{repository}/push?tag={tag}", {"X-Registry-Auth": base64.urlsafe_b64encode(b"{}").decode()}),
    ):
        async with engine.send("POST", path, headers=headers) as answer:
            await answer.read()
    async with engine.send("GET", f"/images/{present}/json") as answer:
        image: dict[str, Any] = json.loads(await answer.read())
    await stage.image("stuck")
    return Site(
        {
            "present": present,
            "other": stage.base(2),
            "absent": stage.source("absent"),
            "registry": world.cluster.registry,
            "digest": image["RepoDigests"][0].rpartition("@")[2],
            "id": image["Id"],
            "target": stage.target("first"),
            "second": stage.target("second"),
            "remote": stage.target("remote"),
            "pushed": pushed,
            "stuck": stage.stuck("stuck"),
        }
    )


async def _make_secrets(world: World, namespace: str) -> None:
    cluster = world.cluster
    pair = f"{cluster.registry_auth_user}:{cluster.registry_auth_password}"
    entry = {"auth": base64.b64encode(pair.encode()).decode()}
    hosts = (cluster.registry, cluster.registry_target, world.ways.stuck.address)
    texts = {
        "right": {"auths": dict.fromkeys(hosts, entry)},
        "foreign": {"auths": {cluster.registry_auth: entry}},
        "helper": {"credsStore": "none"},
    }
    bodies = [
        {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": json.dumps(text)}}
        | {"metadata": {"name": name}}
        for name, text in texts.items()
    ]
    bodies.append({"type": "Opaque", "stringData": {"password": "none"}, "metadata": {"name": "opaque"}})
    path = f"/api/v1/namespaces/{namespace}"
    await asyncio.gather(*(world.admin.call("POST", f"{path}/secrets", body) for body in bodies))
    account = {"metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "right"}]}
    await world.admin.call("POST", f"{path}/serviceaccounts", account)
