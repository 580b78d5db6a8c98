"""An API server that takes its time, seen from between it and the operator."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from devcluster import env
from devcluster.gate import RegistryGate
from devcluster.images import push_image
from devcluster.install import install
from devcluster.kubeconfig import Access
from faults.api_proxy import ApiProxy
from faults.director import Answer, Director
from faults.record import Call, Names, Record
from faults.upstream import Upstream
from imageops.api.kinds import IMAGE_PULL
from tests.support.admission import ApiServer
from tests.support.control_plane import private_control_plane
from tests.support.objects import Body, Objects, reason
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.integration

WRITE_SECONDS = 3.0
LAYER_BYTES = 30_000_000
BYTES_PER_SECOND = 2_500_000
"""So that the pull takes as long as four writes."""
STEP_BYTES = 1 << 20
"""In which Engine 29 counts."""


@dataclass(slots=True)
class SlowWrites(Director):
    """Holds every write of a status up; notes its progress, and how much the registry had sent when it came."""

    gate: RegistryGate
    written: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def before(self, call: Call) -> Answer | None:
        """Wait."""
        if call.method != "PATCH":
            return None
        sent = sum(one.response_bytes for one in self.gate.requests)
        *_, change = call.body
        progress = change["value"] if change["path"] == "/status/progress" else change["value"].get("progress") or {}
        self.written.append((progress, sent))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(WRITE_SECONDS)
        self.at_once -= 1
        return None


def pulled(plane_kubeconfig: str, operator: OperatorProcess, reference: str, namespace: str) -> Body:
    """Have an operator pull an image, and return the object at its end."""
    api = ApiServer(plane_kubeconfig)
    try:
        operator.start()
        return Objects(api, namespace).run(IMAGE_PULL, "app", {"image": reference, "daemonName": "default"}, seconds=90)
    finally:
        operator.kill()
        api.close()


@pytest.mark.feature("progress.never-blocks")
async def test_slow_writes_hold_no_transfer_up(tmp_path: Path) -> None:
    """The stream is read on meanwhile: each write says what had come when the one before it began, or newer."""
    cluster = env.load()
    image = await asyncio.to_thread(
        partial(push_image, cluster.registry, "fault/slow-writes", "1", layers=[LAYER_BYTES], seed=3)
    )
    with private_control_plane() as plane, RegistryGate(cluster.registry, bytes_per_second=BYTES_PER_SECOND) as gate:
        await asyncio.to_thread(install, Path(plane.kubeconfig))
        proxy = ApiProxy(Upstream.api(plane.kubeconfig_operator))
        slow = SlowWrites(gate)
        proxy.namespace, proxy.director, proxy.record = "default", slow, Record(Names({}))
        kubeconfig = tmp_path / "kubeconfig"
        Access(server=await proxy.listen(), ca_data="", user={"token": "none"}).write(kubeconfig)
        operator = OperatorProcess(str(kubeconfig), cluster.imageops_daemons, tmp_path / "operator.log")
        reference = f"{gate.address}/{image.repository}:1"
        try:
            body = await asyncio.to_thread(pulled, plane.kubeconfig, operator, reference, "default")
        finally:
            await proxy.close()
    assert reason(body) == "Pulled"
    assert slow.most_at_once == 1
    assert len(slow.written) >= 3
    for (_, sent_before), (told, _) in pairwise(slow.written):
        assert told.get("bytesDone", 0) >= min(sent_before, LAYER_BYTES) - STEP_BYTES
