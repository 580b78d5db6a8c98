"""The Docker engine alone against both real Engines: what it promises where all goes well."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from devcluster.env import Environment
from devcluster.images import manifest_digest
from imageops.api.progress import LayerRecord, LayerState
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.engine.docker_engine import DockerEngine
from imageops.engine.protocol import ImageStore, RegistryAuth
from tests.integration.conftest import MakeImage
from tests.support.engine_calls import connected, ignore, pulled, reason_of
from tests.support.engines import KINDS
from tests.support.watched_engine import EngineUnderTest

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def docker(engine: EngineUnderTest) -> AsyncIterator[DockerEngine]:
    """Give the engine's client."""
    async with connected(engine.name, engine.address) as made:
        yield made


async def test_each_engine_says_what_it_is(docker: DockerEngine, engine: EngineUnderTest) -> None:
    """Name, store, version and identity are known, and the second answer costs nothing."""
    info = await docker.describe()
    assert info.name == engine.name
    assert info.image_store is (ImageStore.CONTAINERD if engine.keeps_digests else ImageStore.GRAPHDRIVER)
    assert (info.os, info.architecture) == ("linux", "amd64")
    assert info.engine_id
    assert re.match(KINDS[engine.name].release, info.version) or engine.address == os.environ.get("DOCKER_HOST")
    assert await docker.describe() is info
    await docker.ping()


async def test_a_pull_brings_the_image_and_says_so(
    docker: DockerEngine, engine: EngineUnderTest, make_image: MakeImage
) -> None:
    """The receipt's digest is the registry's, the daemon has the image, and each layer was reported to its end."""
    image = make_image(layers=(400_000, 300_000, 200_000))
    reference = Reference.parse(image.reference)
    records: list[LayerRecord] = []
    receipt = await docker.pull(reference, platform=None, auth=None, sink=records.append)
    assert receipt.digest == image.digest
    ended = {record.id for record in records if record.state is LayerState.COMPLETE}
    assert len(ended) == 3
    local = await docker.inspect(str(reference))
    assert local is not None
    assert local.repo_digests == (f"{reference.name}@{image.digest}",)
    assert local.platform == "linux/amd64"
    assert local.size_bytes >= 900_000
    if engine.keeps_digests:
        assert local.id == local.descriptor_digest == image.digest
    else:
        assert local.id == image.manifests[0].config_digest
        assert local.descriptor_digest is None
    again = await docker.pull(reference, platform=None, auth=None, sink=ignore)
    assert again.digest == image.digest
    await docker.remove(str(reference))
    await docker.remove(str(reference))
    assert await docker.inspect(str(reference)) is None


@pytest.mark.feature("ref.digest")
async def test_a_pull_by_digest(docker: DockerEngine, make_image: MakeImage) -> None:
    """A reference with a digest is pulled by it and can be looked up and tagged by it."""
    image = make_image()
    reference = Reference.parse(f"{image.registry}/{image.repository}@{image.digest}")
    receipt = await docker.pull(reference, platform=None, auth=None, sink=ignore)
    assert receipt.digest == image.digest
    assert await docker.inspect(str(reference)) is not None
    target = Reference.parse(f"local.test/{image.repository}:by-digest")
    await docker.tag(str(reference), target)
    assert await docker.inspect(str(target)) is not None
    await docker.remove(str(target))
    await docker.remove(str(reference))


@pytest.mark.feature("pull.platform")
async def test_another_platform_can_be_asked_for(docker: DockerEngine, make_image: MakeImage) -> None:
    """An index's arm64 child is pulled and found as such; one the index lacks is PlatformNotFound."""
    image = make_image(platforms=("linux/amd64", "linux/arm64"))
    reference = Reference.parse(image.reference)
    missing = docker.pull(reference, platform="linux/s390x", auth=None, sink=ignore)
    assert await reason_of(missing) is Reason.PLATFORM_NOT_FOUND
    await docker.pull(reference, platform="linux/arm64", auth=None, sink=ignore)
    found = await docker.inspect(str(reference), platform="linux/arm64")
    assert found is not None
    assert found.platform == "linux/arm64"
    assert await docker.inspect(str(reference), platform="linux/s390x") is None
    await docker.remove(str(reference))


async def test_the_children_of_an_index(docker: DockerEngine, engine: EngineUnderTest, make_image: MakeImage) -> None:
    """The containerd store tells which children it has; a graphdriver knows of none."""
    image = make_image(platforms=("linux/amd64", "linux/arm64"), attestations=True)
    reference = await pulled(docker, image)
    if engine.keeps_digests:
        children = {child.digest: child for child in await docker.manifests(str(reference))}
        assert {manifest.digest for manifest in image.manifests} == set(children)
        assert [children[manifest.digest].kind for manifest in image.manifests] == ["image"] * 2 + ["attestation"] * 2
        assert children[image.manifests[0].digest].available
        assert children[image.manifests[0].digest].platform == "linux/amd64"
        assert not children[image.manifests[1].digest].available
        assert await docker.manifests("local.test/absent:1") == ()
    else:
        assert await reason_of(docker.manifests(str(reference))) is Reason.ENGINE_UNSUPPORTED
    await docker.remove(str(reference))


async def test_a_registry_is_asked_through_the_daemon(docker: DockerEngine, make_image: MakeImage) -> None:
    """An index has its digest and platforms; a missing tag and a missing repository are a clear no."""
    image = make_image(platforms=("linux/amd64", "linux/arm64"))
    remote = await docker.distribution(Reference.parse(image.reference), auth=None)
    assert remote is not None
    assert (remote.digest, remote.media_type) == (image.digest, image.media_type)
    assert set(remote.platforms) == {"linux/amd64", "linux/arm64"}
    name = f"{image.registry}/{image.repository}"
    assert await docker.distribution(Reference.parse(f"{name}:missing"), auth=None) is None
    assert await docker.distribution(Reference.parse(f"{name}/missing:1"), auth=None) is None


@pytest.mark.feature("push.digest-forms")
async def test_tag_and_push(
    docker: DockerEngine, engine: EngineUnderTest, make_image: MakeImage, cluster: Environment
) -> None:
    """A pulled image is tagged and pushed; the receipt's digest is what the target registry serves."""
    image = make_image()
    source = await pulled(docker, image)
    target = Reference.parse(f"{cluster.registry_target}/{image.repository}:promoted")
    await docker.tag(str(source), target)
    records: list[LayerRecord] = []
    receipt = await docker.push(target, platform=None, auth=None, sink=records.append)
    assert receipt.digest == manifest_digest(cluster.registry_target, image.repository, "promoted")
    assert (receipt.digest == image.digest) is engine.keeps_digests
    assert LayerState.UPLOADED in {record.state for record in records}
    remote = await docker.distribution(target, auth=None)
    assert remote is not None
    assert remote.digest == receipt.digest
    for reference in (source, target):
        await docker.remove(str(reference))


@pytest.mark.feature("push.platform")
async def test_a_push_of_one_platform(
    docker: DockerEngine, engine: EngineUnderTest, make_image: MakeImage, cluster: Environment
) -> None:
    """The containerd store pushes the one manifest that is asked for; a graphdriver says that it cannot."""
    image = make_image(platforms=("linux/amd64", "linux/arm64"))
    source = Reference.parse(image.reference)
    await docker.pull(source, platform="linux/arm64", auth=None, sink=ignore)
    target = Reference.parse(f"{cluster.registry_target}/{image.repository}:arm")
    await docker.tag(str(source), target)
    push = docker.push(target, platform="linux/arm64", auth=None, sink=ignore)
    if engine.keeps_digests:
        receipt = await push
        assert receipt.digest == image.manifests[1].digest
        assert manifest_digest(cluster.registry_target, image.repository, "arm") == receipt.digest
    else:
        assert await reason_of(push) is Reason.ENGINE_UNSUPPORTED
        assert manifest_digest(cluster.registry_target, image.repository, "arm") is None
    for reference in (source, target):
        await docker.remove(str(reference))


async def test_a_push_of_an_incomplete_index_sends_the_manifest_that_is_there(
    docker: DockerEngine, engine: EngineUnderTest, make_image: MakeImage, cluster: Environment
) -> None:
    """With one of two children here, Engine 29 pushes that manifest, and its digest is the receipt's."""
    image = make_image(platforms=("linux/amd64", "linux/arm64"))
    source = await pulled(docker, image)
    target = Reference.parse(f"{cluster.registry_target}/{image.repository}:half")
    await docker.tag(str(source), target)
    receipt = await docker.push(target, platform=None, auth=None, sink=ignore)
    assert (receipt.digest == image.manifests[0].digest) is engine.keeps_digests
    assert receipt.digest == manifest_digest(cluster.registry_target, image.repository, "half")
    for reference in (source, target):
        await docker.remove(str(reference))


@pytest.mark.feature("push.absent")
async def test_what_the_daemon_lacks_cannot_be_tagged_or_pushed(docker: DockerEngine, cluster: Environment) -> None:
    """Both end as ImageNotOnDaemon."""
    target = Reference.parse(f"{cluster.registry_target}/test/absent:1")
    assert await reason_of(docker.tag("local.test/absent:1", target)) is Reason.IMAGE_NOT_ON_DAEMON
    assert await reason_of(docker.tag("sha256:" + "0" * 64, target)) is Reason.IMAGE_NOT_ON_DAEMON
    push = docker.push(target, platform=None, auth=None, sink=ignore)
    assert await reason_of(push) is Reason.IMAGE_NOT_ON_DAEMON


async def test_the_right_password_opens_a_registry(
    docker: DockerEngine, make_image: MakeImage, cluster: Environment
) -> None:
    """With its credential an image is found, pulled and pushed; without one it is AuthFailed."""
    credentials = (cluster.registry_auth_user, cluster.registry_auth_password)
    image = make_image(registry=cluster.registry_auth, credentials=credentials)
    reference = Reference.parse(image.reference)
    auth = RegistryAuth(username=credentials[0], password=credentials[1], server=cluster.registry_auth)
    remote = await docker.distribution(reference, auth=auth)
    assert remote is not None
    assert remote.digest == image.digest
    assert await reason_of(docker.distribution(reference, auth=None)) is Reason.AUTH_FAILED
    assert await reason_of(docker.pull(reference, platform=None, auth=None, sink=ignore)) is Reason.AUTH_FAILED
    receipt = await docker.pull(reference, platform=None, auth=auth, sink=ignore)
    assert receipt.digest == image.digest
    target = Reference.parse(f"{cluster.registry_auth}/{image.repository}:again")
    await docker.tag(str(reference), target)
    assert (await docker.push(target, platform=None, auth=auth, sink=ignore)).digest
    for each in (reference, target):
        await docker.remove(str(each))
