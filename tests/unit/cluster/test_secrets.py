from __future__ import annotations

import base64
from typing import Any

import pytest

from imageops.api.errors import OperationError
from imageops.api.kinds import IMAGE_TAG
from imageops.api.reasons import Reason
from imageops.cluster.objects import ObjectKey, collection
from imageops.cluster.secrets import NamespaceSecrets
from tests.support.scripted_api import ScriptedApi, api_error

SECRET = "/api/v1/namespaces/team/secrets/s"
ACCOUNT = "/api/v1/namespaces/team/serviceaccounts/robot"


class RefusingApi(ScriptedApi):
    """An API server that gives nothing out."""

    async def get(self, path: str, query: Any = None) -> dict[str, Any]:  # noqa: ARG002 - the interface
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
        auth = (await secrets(api).secret("s")).for_host("registry.example")
        assert auth is not None
        assert auth.password == password
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
    api.put(ACCOUNT, {"imagePullSecrets": [{"name": "a"}, {"name": ""}, {"name": "b"}]})
    assert await secrets(api).image_pull_secrets("robot") == ["a", "b"]


def test_objects_are_named_by_their_paths() -> None:
    """Of one namespace, or of all."""
    key = ObjectKey(IMAGE_TAG, "team", "app", "uid")
    assert key.path == "/apis/imageops.dev/v1alpha1/namespaces/team/imagetags/app"
    assert collection(IMAGE_TAG) == "/apis/imageops.dev/v1alpha1/imagetags"
    assert (str(key), key.api_version) == ("ImageTag team/app", "imageops.dev/v1alpha1")
