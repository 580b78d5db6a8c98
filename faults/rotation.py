"""Change a registry's password in mid-transfer, and put the new one into the Secret when that has failed."""

from __future__ import annotations

import base64
import json

from devcluster.gate import RegistryGate
from devcluster.images import push_image
from faults.site import Site
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, Kind
from tests.support.objects import Body, Objects, reason
from tests.support.private_registry import PrivateRegistry, private_registry
from tests.support.registry_secrets import create_registry_secret
from tests.support.watched_engine import WatchedEngine

END_SECONDS = 60.0
_SECRET = "account"  # noqa: S105 - the name of a Secret
_LAYERS = (3_000_000,) * 8
"""An Engine asks for three at a time, so some are asked for after the change."""
_SPEED = 6_000_000
_ENOUGH = 1_000_000
"""Bytes that have moved when the password is changed; further layers are still to come then."""


def rotate(site: Site, engine: WatchedEngine, kind: Kind) -> Body:
    """Have a password refused in mid-transfer, and return the object after its retry with the new one."""
    with private_registry() as registry, site.namespace() as objects:
        image = site.image(layers=_LAYERS)
        if kind is IMAGE_PULL:
            account = (registry.user, registry.password)
            image = push_image(registry.address, image.repository, "1", layers=_LAYERS, credentials=account)
        with RegistryGate(registry.address, bytes_per_second=_SPEED) as gate:
            reference = f"{gate.address}/{image.repository}:{image.tag}"
            if kind is IMAGE_PUSH:
                engine.daemon.pull(image.reference)
                engine.daemon.tag(image.reference, reference)
            former = registry.password
            create_registry_secret(objects, _SECRET, gate.address, (registry.user, former))
            objects.create(kind, "app", _spec(engine, reference))
            gate.wait(lambda seen: sum(one.request_bytes + one.response_bytes for one in seen) >= _ENOUGH, END_SECONDS)
            registry.rotate()
            failed = objects.wait(kind, "app", _has_failed, seconds=END_SECONDS)
            assert failed["status"]["error"]["reason"] == "AuthExpired", failed["status"]
            _renew(objects, registry, gate.address)
            body = objects.wait_finished(kind, "app", seconds=END_SECONDS)
            assert reason(body) == ("Pulled" if kind is IMAGE_PULL else "Pushed"), body["status"]
            assert [entry["reason"] for entry in body["status"]["history"]] == ["AuthExpired", reason(body)]
            told = f"{body} {objects.events('app')} {site.operator.log.read_text(encoding='utf-8', errors='replace')}"
            assert former not in told, "the former password was told"
            assert registry.password not in told, "the new password was told"
        for name in (reference, image.reference):
            engine.daemon.remove(name)
        return body


def _spec(engine: WatchedEngine, reference: str) -> dict[str, object]:
    return {"image": reference, "daemonName": engine.name, "secretRef": {"name": _SECRET}}


def _renew(objects: Objects, registry: PrivateRegistry, host: str) -> None:
    """Put the present password into the Secret, as External Secrets would."""
    pair = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    text = json.dumps({"auths": {host: {"auth": pair}}})
    path = f"/api/v1/namespaces/{objects.namespace}/secrets/{_SECRET}"
    answer = objects.api.request("PATCH", path, {"stringData": {".dockerconfigjson": text}})
    assert answer.status == 200, answer.message


def _has_failed(body: Body) -> bool:
    return bool(body["status"].get("failedAttempts"))
