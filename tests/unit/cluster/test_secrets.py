from __future__ import annotations

import base64
from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.kinds import IMAGE_TAG
from imageops.api.reasons import Reason
from imageops.cluster.objects import ObjectKey, collection
from imageops.cluster.paths import ApiPath
from imageops.cluster.secrets import NamespaceSecrets
from tests.support.scripted_api import ScriptedApi, api_error

SECRET = "/api/v1/namespaces/team/secrets/s"
ACCOUNT = "/api/v1/namespaces/team/serviceaccounts/robot"


class RefusingApi(ScriptedApi):
    """An API server that gives nothing out."""

    async def get(self, path: ApiPath | str, query: Any = None) -> dict[str, Any]:  # noqa: ARG002 - the interface
        """Refuse."""
        raise api_error(403, "Forbidden")


def secrets(api: ScriptedApi) -> NamespaceSecrets:
    """Return the Secrets of the namespace."""
    server: Any = api
    return NamespaceSecrets(server, "team")


def encoded(text: str) -> str:
    """Encode a value of `data`."""
    return base64.b64encode(text.encode()).decode()


async def reason_of(awaitable: Any) -> Reason:
    """Return why something could not be read."""
    with pytest.raises(OperationError) as caught:
        await awaitable
    return caught.value.reason


async def test_a_secret_is_read_anew_at_every_call() -> None:
    """A rotated one is used at once; a broken one is SecretInvalid."""
    api = ScriptedApi()
    for password in ("first", "second"):
        data = {"username": encoded("u"), "password": encoded(password)}
        annotations = {"imageops.dev/registry": "registry.example"}
        api.put(SECRET, {"type": "kubernetes.io/basic-auth", "metadata": {"annotations": annotations}, "data": data})
        [found] = (await secrets(api).secret("s")).for_image("registry.example", "app")
        assert found.auth.password == password
    api.put(SECRET, {"type": "Opaque"})
    assert await reason_of(secrets(api).secret("s")) is Reason.SECRET_INVALID


async def test_what_cannot_be_read_is_waited_for() -> None:
    """Whether it does not exist yet or is not given out."""
    assert await reason_of(secrets(ScriptedApi()).secret("s")) is Reason.SECRET_NOT_FOUND
    assert await reason_of(secrets(RefusingApi()).secret("s")) is Reason.SECRET_NOT_FOUND
    assert await reason_of(secrets(RefusingApi()).image_pull_secrets("robot")) is Reason.SECRET_NOT_FOUND


async def test_an_account_names_its_pull_secrets() -> None:
    """None if there is no such account."""
    api = ScriptedApi()
    assert await secrets(api).image_pull_secrets("robot") is None
    api.put(ACCOUNT, {})
    assert await secrets(api).image_pull_secrets("robot") == []
    entries = [{"name": "a"}, {"name": ""}, {"name": "../../team-a/secrets/b"}, {}, "c", {"name": 7}, {"name": "b"}]
    api.put(ACCOUNT, {"imagePullSecrets": entries})
    assert await secrets(api).image_pull_secrets("robot") == ["a", None, None, None, None, None, "b"]


@pytest.mark.feature("cred.own-namespace")
@pytest.mark.parametrize("name", ["../../team-a/secrets/s", "..%2fs", "s?watch=true", "", "S"])
async def test_what_is_no_name_is_not_even_asked_for(name: str) -> None:
    """No request leaves the process."""
    api = ScriptedApi()
    assert await reason_of(secrets(api).secret(name)) is Reason.SECRET_NOT_FOUND
    assert await reason_of(secrets(api).image_pull_secrets(name)) is Reason.SECRET_NOT_FOUND
    assert api.requests == []


@pytest.mark.feature("cred.own-namespace")
@pytest.mark.parametrize("metadata", [{"namespace": "team-a"}, {"name": "other"}, {"namespace": None}])
async def test_another_object_than_was_asked_for_is_not_used(metadata: dict[str, Any]) -> None:
    """Whatever made the API server, or something before it, answer so."""
    api = ScriptedApi()
    for path in (SECRET, ACCOUNT):
        api.put(path, {"type": "kubernetes.io/dockerconfigjson", "metadata": dict(metadata)})
    assert await reason_of(secrets(api).secret("s")) is Reason.SECRET_NOT_FOUND
    assert await reason_of(secrets(api).image_pull_secrets("robot")) is Reason.SECRET_NOT_FOUND


def test_objects_are_named_by_their_paths() -> None:
    """Of one namespace, or of all."""
    key = ObjectKey(IMAGE_TAG, "team", "app", "uid")
    assert str(key.path) == "/apis/imageops.dev/v1alpha1/namespaces/team/imagetags/app"
    assert str(collection(IMAGE_TAG)) == "/apis/imageops.dev/v1alpha1/imagetags"
    assert (str(key), key.api_version) == ("ImageTag team/app", "imageops.dev/v1alpha1")
