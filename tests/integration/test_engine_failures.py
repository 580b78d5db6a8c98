"""The Docker engine alone against both real Engines: cancelled, refused, killed, filled up, and behind TLS."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.ports import free_ports
from imageops.api.errors import OperationError
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.engine.connection import DaemonTls
from imageops.engine.docker_engine import DockerEngine
from imageops.engine.protocol import RegistryAuth
from tests.integration.conftest import MakeImage
from tests.support.certificates import make_early_certificate, make_tls_files
from tests.support.connect_proxy import proxying
from tests.support.engine_calls import behind, blob_gets, connected, ignore, pulled, reason_of, seen
from tests.support.engines import private_engine
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration

BIG_LAYERS = (3_000_000,) * 4
SLOW = 1_500_000
"""Bytes per second at which the big image takes eight seconds."""
UPLOADED_LAYERS = (30_000_000, 30_000_000)
UPLOAD_SPEED = 10_000_000
"""Of an upload the kernel takes some megabytes in advance, so it has to be larger to be cut in the middle."""


@pytest_asyncio.fixture
async def docker(engine: EngineUnderTest) -> AsyncIterator[DockerEngine]:
    """Give the engine's client."""
    async with connected(engine.name, engine.address) as made:
        yield made


@pytest.mark.feature("cancel.running")
async def test_cancelling_a_pull_stops_it_at_the_registry(
    docker: DockerEngine, make_image: MakeImage, cluster: Environment
) -> None:
    """No blob gets through, none is asked for after that, and the image is not there."""
    image = make_image(layers=BIG_LAYERS)
    with RegistryGate(cluster.registry, bytes_per_second=SLOW) as gate:
        reference = behind(gate, image)
        task = asyncio.create_task(docker.pull(reference, platform=None, auth=None, sink=ignore))
        await seen(gate, lambda requests: any(request.response_bytes > 100_000 for request in blob_gets(requests)))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stopped = await seen(gate, lambda requests: all(request.finished for request in blob_gets(requests)))
        assert sum(request.response_bytes for request in blob_gets(stopped)) < image.layer_bytes
        assert await docker.distribution(reference, auth=None) is not None
        assert len(blob_gets(gate.requests)) == len(blob_gets(stopped))
        assert await docker.inspect(str(reference)) is None


@pytest.mark.feature("cancel.running")
async def test_cancelling_a_push_stops_it_at_the_registry(
    docker: DockerEngine, make_image: MakeImage, cluster: Environment
) -> None:
    """A cancelled push sends nothing more, and the registry never gets the manifest."""
    image = make_image(layers=UPLOADED_LAYERS)
    source = await pulled(docker, image)
    with RegistryGate(cluster.registry_target, bytes_per_second=UPLOAD_SPEED) as gate:
        target = behind(gate, image)
        await docker.tag(str(source), target)
        task = asyncio.create_task(docker.push(target, platform=None, auth=None, sink=ignore))
        await seen(gate, lambda requests: any(request.request_bytes > 100_000 for request in requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stopped = await seen(gate, lambda requests: all(request.finished for request in requests))
        assert sum(request.request_bytes for request in stopped) < image.layer_bytes
        assert await docker.distribution(target, auth=None) is None
        for reference in (source, target):
            await docker.remove(str(reference))


@pytest.mark.feature("push.denied-in-200-stream")
async def test_a_push_that_is_refused_inside_the_stream_has_failed(
    docker: DockerEngine, make_image: MakeImage, cluster: Environment
) -> None:
    """The daemon answers 200 and then tells of the registry's refusal: AuthFailed, and nothing of its words."""
    image = make_image()
    source = await pulled(docker, image)
    body = b'{"errors":[{"code":"DENIED","message":"planted-words: requested access to the resource is denied"}]}'
    with RegistryGate(cluster.registry_target) as gate:
        gate.script(
            method="PUT", path=".*/manifests/.*", status=403, body=body, headers={"Content-Type": "application/json"}
        )
        target = behind(gate, image)
        await docker.tag(str(source), target)
        with pytest.raises(OperationError) as caught:
            await docker.push(target, platform=None, auth=None, sink=ignore)
        assert caught.value.reason is Reason.AUTH_FAILED
        assert "planted" not in caught.value.message
        for reference in (source, target):
            await docker.remove(str(reference))


@pytest.mark.feature("push.succeeds")
async def test_a_registry_that_keeps_nothing_is_believed_by_the_daemon_only(
    docker: DockerEngine, make_image: MakeImage, cluster: Environment
) -> None:
    """The receipt is the daemon's word; asking the registry shows that nothing was kept."""
    image = make_image()
    source = await pulled(docker, image)
    with RegistryGate(cluster.registry_target) as gate:
        # 20.10 wants any digest in the answer, 29 the right one.
        gate.script(method="PUT", path=".*/manifests/.*", status=201, headers={"Docker-Content-Digest": image.digest})
        target = behind(gate, image)
        await docker.tag(str(source), target)
        receipt = await docker.push(target, platform=None, auth=None, sink=ignore)
        assert receipt.digest
        assert await docker.distribution(target, auth=None) is None
        for reference in (source, target):
            await docker.remove(str(reference))


@pytest.mark.feature("cred.wrong-once")
async def test_a_wrong_password_is_told_by_one_question(
    docker: DockerEngine, make_image: MakeImage, cluster: Environment
) -> None:
    """Asking what is there ends as AuthFailed after at most 3 requests that carry the password."""
    credentials = (cluster.registry_auth_user, cluster.registry_auth_password)
    image = make_image(registry=cluster.registry_auth, credentials=credentials)
    wrong = RegistryAuth(username=cluster.registry_auth_user, password=secrets.token_urlsafe(), server="x")
    with RegistryGate(cluster.registry_auth) as gate:
        assert await reason_of(docker.distribution(behind(gate, image), auth=wrong)) is Reason.AUTH_FAILED
        assert 1 <= len([request for request in gate.requests if request.authorized]) <= 3


@pytest.mark.feature("error.surroundings")
@pytest.mark.parametrize("name", ["127.0.0.1:1/test/app:1", "nowhere.invalid/test/app:1"], ids=["refused", "no host"])
async def test_a_registry_that_cannot_be_reached(docker: DockerEngine, make_image: MakeImage, name: str) -> None:
    """Nobody listening and a host that does not resolve are RegistryUnavailable in every call."""
    reference = Reference.parse(name)
    assert await reason_of(docker.distribution(reference, auth=None)) is Reason.REGISTRY_UNAVAILABLE
    pull = docker.pull(reference, platform=None, auth=None, sink=ignore)
    assert await reason_of(pull) is Reason.REGISTRY_UNAVAILABLE
    source = await pulled(docker, make_image())
    await docker.tag(str(source), reference)
    push = docker.push(reference, platform=None, auth=None, sink=ignore)
    assert await reason_of(push) is Reason.REGISTRY_UNAVAILABLE
    for each in (source, reference):
        await docker.remove(str(each))


@pytest.mark.feature("error.auth-or-not-found")
@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}', Reason.AUTH_FAILED),
        (403, b'{"errors":[{"code":"DENIED","message":"requested access is denied"}]}', Reason.AUTH_FAILED),
        (403, b"<html>", Reason.AUTH_FAILED),
        (404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', Reason.IMAGE_NOT_FOUND),
        (429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}', Reason.RATE_LIMITED),
        (429, b"", Reason.RATE_LIMITED),
        (500, b"", Reason.REGISTRY_UNAVAILABLE),
        (503, b"<html>", Reason.REGISTRY_UNAVAILABLE),
    ],
)
async def test_what_a_registry_answers_is_what_a_pull_ends_with(
    docker: DockerEngine, make_image: MakeImage, cluster: Environment, status: int, body: bytes, reason: Reason
) -> None:
    """Each answer to the question for the manifest has its reason, however the daemon wraps it."""
    image = make_image()
    with RegistryGate(cluster.registry) as gate:
        gate.script(path=".*/manifests/.*", status=status, body=body, headers={"Content-Type": "application/json"})
        pull = docker.pull(behind(gate, image), platform=None, auth=None, sink=ignore)
        assert await reason_of(pull) is reason


@pytest.mark.feature("tenancy.no-echo")
async def test_a_redirect_leaves_nothing_in_the_error(
    containerd: EngineUnderTest, make_image: MakeImage, cluster: Environment
) -> None:
    """A blob that is redirected to a presigned address gives an error without it.

    Engine 20.10 tries such a redirect for 75 s before it says so; its words are among the recorded messages.
    """
    docker = DockerEngine(containerd.name, containerd.address)
    image = make_image()
    with RegistryGate(cluster.registry) as gate:
        address = "http://127.0.0.1:1/planted?X-Amz-Signature=planted"
        gate.script(method="GET", path=".*/blobs/.*", status=307, headers={"Location": address})
        with pytest.raises(OperationError) as caught:
            await docker.pull(behind(gate, image), platform=None, auth=None, sink=ignore)
        assert caught.value.reason is Reason.REGISTRY_UNAVAILABLE
        assert "planted" not in f"{caught.value!r} {caught.value.message} {caught.value.hint}"
    await docker.close()


@pytest.mark.feature("error.daemon-down")
async def test_a_daemon_killed_in_mid_pull(
    engine: EngineUnderTest, make_image: MakeImage, cluster: Environment
) -> None:
    """The pull ends as DaemonConnectionLost, then the daemon is unavailable, and after its return the pull succeeds."""
    image = make_image(layers=BIG_LAYERS)
    with private_engine(engine.name) as private, RegistryGate(cluster.registry, bytes_per_second=SLOW) as gate:
        docker = DockerEngine("private", private.address)
        reference = behind(gate, image)
        task = asyncio.create_task(docker.pull(reference, platform=None, auth=None, sink=ignore))
        await seen(gate, lambda requests: any(request.response_bytes > 100_000 for request in blob_gets(requests)))
        await asyncio.to_thread(private.kill)
        assert await reason_of(task) is Reason.DAEMON_CONNECTION_LOST
        assert await reason_of(docker.ping()) is Reason.DAEMON_UNAVAILABLE
        again = docker.pull(reference, platform=None, auth=None, sink=ignore)
        assert await reason_of(again) is Reason.DAEMON_UNAVAILABLE
        await asyncio.to_thread(private.start)
        gate.bytes_per_second = None
        receipt = await docker.pull(reference, platform=None, auth=None, sink=ignore)
        assert receipt.digest == image.digest
        await docker.close()


@pytest.mark.feature("error.surroundings")
async def test_a_full_volume(engine: EngineUnderTest, make_image: MakeImage) -> None:
    """An image that does not fit on the daemon's volume ends as StorageFull."""
    image = make_image(layers=(40_000_000, 40_000_000))
    with private_engine(engine.name, megabytes=48) as private:
        docker = DockerEngine("private", private.address)
        pull = docker.pull(Reference.parse(image.reference), platform=None, auth=None, sink=ignore)
        assert await reason_of(pull) is Reason.STORAGE_FULL
        await docker.close()


@pytest.mark.feature("chart.certificates")
async def test_a_daemon_behind_tls(tmp_path: Path, make_image: MakeImage) -> None:
    """Both sides have to show the right certificate; renewed files are used at the next connection."""
    right, wrong = make_tls_files(tmp_path / "right"), make_tls_files(tmp_path / "wrong")
    (port,) = free_ports(1)
    options = (
        "--tlsverify",
        f"--tlscacert={right.client.ca}",
        f"--tlscert={right.server}",
        f"--tlskey={right.server_key}",
        f"--host=tcp://127.0.0.1:{port}",
    )
    with private_engine("default", options=options):
        address = f"tcp://127.0.0.1:{port}"
        docker = DockerEngine("right", address, tls=right.client)
        receipt = await docker.pull(Reference.parse(make_image().reference), platform=None, auth=None, sink=ignore)
        assert receipt.digest
        mixed = DaemonTls(ca=right.client.ca, certificate=wrong.client.certificate, key=wrong.client.key)
        absent = DaemonTls(tmp_path / "a", tmp_path / "b", tmp_path / "c")
        for tls in (wrong.client, mixed, absent, None):
            other = DockerEngine("other", address, tls=tls)
            assert await reason_of(other.describe()) is Reason.DAEMON_UNAVAILABLE
            await other.close()
        late = DockerEngine("late", address, tls=wrong.client)
        assert await reason_of(late.ping()) is Reason.DAEMON_UNAVAILABLE
        for name in ("ca", "certificate", "key"):
            getattr(wrong.client, name).write_bytes(getattr(right.client, name).read_bytes())
        await late.ping()
        for each in (docker, late):
            await each.close()


@pytest.mark.feature("error.public-reports")
@pytest.mark.feature("error.surroundings")
async def test_what_the_daemons_own_proxy_says_is_not_the_registrys(engine: EngineUnderTest, tmp_path: Path) -> None:
    """407 and 403 to CONNECT are RegistryUnavailable with the proxy in the hint; an early certificate a clock."""
    with ExitStack() as stack:
        early = make_early_certificate(tmp_path)
        proxies = {
            stack.enter_context(proxying("407 Proxy Authentication Required")): Reason.REGISTRY_UNAVAILABLE,
            stack.enter_context(proxying("403 Forbidden")): Reason.REGISTRY_UNAVAILABLE,
            stack.enter_context(proxying("200 OK", certificate=early)): Reason.CERTIFICATE_NOT_YET_VALID,
        }
        for proxy, reason in proxies.items():
            with private_engine(engine.name, environ={"HTTPS_PROXY": f"http://{proxy.address}"}) as private:
                docker = DockerEngine("private", private.address)
                for call in (
                    docker.distribution(Reference.parse("registry.test/team/app:1"), auth=None),
                    docker.pull(Reference.parse("registry.test/team/app:1"), platform=None, auth=None, sink=ignore),
                ):
                    with pytest.raises(OperationError) as caught:
                        await call
                    assert caught.value.reason is reason
                    assert ("proxy" if reason is Reason.REGISTRY_UNAVAILABLE else "clock") in caught.value.hint
                    assert "Secret of" not in caught.value.hint
                await docker.close()
            assert "CONNECT registry.test:443 HTTP/1.1" in proxy.asked
