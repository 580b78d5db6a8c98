from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from imageops.api.kinds import IMAGE_PULL
from imageops.cluster import api_server
from imageops.cluster.api_server import JSON, ApiError, ApiServer, ApiUnreachableError, NotPermittedError, Permit
from imageops.cluster.objects import collection
from imageops.cluster.paths import ApiPath

TOKEN = "bearer-of-the-operator"
PATH = collection(IMAGE_PULL, "team") / "app"


@dataclass(slots=True)
class Server:
    """A server that answers what it is told to, and writes down what it is asked."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    silence: asyncio.Event | None = None
    seen: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    """The paths as they came over the wire."""
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait_for(self, number: int) -> None:
        """Return when so many requests have come."""
        async with self.came:
            await self.came.wait_for(lambda: len(self.seen) >= number)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer."""
        text = await request.text()
        self.raw.append(request._message.path)
        self.seen.append((request.method, request.path_qs, dict(request.headers), json.loads(text) if text else None))
        async with self.came:
            self.came.notify_all()
        if self.silence is not None:
            await self.silence.wait()
        if self.drop:
            assert request.transport is not None
            request.transport.close()
        content = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return web.Response(status=self.status, text=content, headers=self.headers)


@asynccontextmanager
async def serving(server: Server, folder: Path, permit: Permit | None = None) -> AsyncIterator[ApiServer]:
    """Serve on the loopback address, and connect by a kubeconfig file."""
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "operator"}}],
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "operator", "user": {"token": TOKEN}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    api = await ApiServer.connect(str(path), permit=permit)
    try:
        yield api
    finally:
        await api.close()
        await runner.cleanup()


async def test_each_verb_is_one_request_with_our_token(tmp_path: Path) -> None:
    """With the content types that the API server tells apart."""
    server = Server(body={"kind": "ImagePull"})
    patch = [{"op": "add", "path": "/status", "value": {}}]
    async with serving(server, tmp_path) as api:
        assert await api.get(PATH) == {"kind": "ImagePull"}
        await api.get(PATH, {"labelSelector": "imageops.dev/session=a b"})
        await api.create(PATH, {"kind": "ImagePull"})
        await api.replace(PATH, {"kind": "ImagePull", "metadata": {"resourceVersion": "7"}})
        await api.patch(PATH, patch)
        await api.delete(PATH, uid="uid-1")
        await api.delete(PATH, uid="uid-1", resource_version="7")
    assert [(method, path) for method, path, _, _ in server.seen] == [
        ("GET", str(PATH)),
        ("GET", f"{PATH}?labelSelector=imageops.dev%2Fsession%3Da+b"),
        ("POST", str(PATH)),
        ("PUT", str(PATH)),
        ("PATCH", str(PATH)),
        ("DELETE", str(PATH)),
        ("DELETE", str(PATH)),
    ]
    assert {headers["Authorization"] for _, _, headers, _ in server.seen} == {f"Bearer {TOKEN}"}
    types = [headers["Content-Type"] for _, _, headers, _ in server.seen[2:]]
    assert types == [JSON, JSON, "application/json-patch+json", JSON, JSON]
    assert [body for _, _, _, body in server.seen[2:]] == [
        {"kind": "ImagePull"},
        {"kind": "ImagePull", "metadata": {"resourceVersion": "7"}},
        patch,
        {"propagationPolicy": "Background", "preconditions": {"uid": "uid-1"}},
        {"propagationPolicy": "Background", "preconditions": {"uid": "uid-1", "resourceVersion": "7"}},
    ]


@pytest.mark.feature("cred.own-namespace")
async def test_a_path_is_sent_as_it_is(tmp_path: Path) -> None:
    """Nothing in it is resolved or decoded on the way, should anything odd have come into it."""
    odd = ApiPath("/api/v1/namespaces/b/secrets/../%2e%2e/a")
    server = Server()
    async with serving(server, tmp_path) as api:
        await api.get(odd)
    assert server.raw == [str(odd)]


def refusal(reason: str, *, causes: bool = False) -> dict[str, Any]:
    """Make the body of a refusal, which repeats what nobody should log."""
    details = {"causes": [{"field": "status.phase"}]} if causes else {}
    return {"kind": "Status", "reason": reason, "message": f"secret {TOKEN}", "details": details}


@pytest.mark.parametrize(
    ("status", "body", "flags"),
    [
        (404, refusal("NotFound"), {"not_found"}),
        (409, refusal("Conflict"), {"stale"}),
        (409, refusal("AlreadyExists"), {"already_exists"}),
        (422, refusal("Invalid"), {"stale"}),
        (422, refusal("Invalid", causes=True), set()),
        (403, refusal("Forbidden"), set()),
        (429, refusal("TooManyRequests"), {"transient"}),
        (500, "no json", {"transient"}),
        (503, "[]", {"transient"}),
        (504, refusal("Timeout"), {"transient"}),
    ],
)
async def test_a_refusal_is_an_error_that_says_what_to_do(
    tmp_path: Path,
    status: int,
    body: Any,
    flags: set[str],
) -> None:
    """Its text names the request and the code, and repeats no body."""
    async with serving(Server(status=status, body=body), tmp_path) as api:
        with pytest.raises(ApiError) as caught:
            await api.get(PATH, {"limit": "1"})
    error = caught.value
    names = {"transient", "not_found", "already_exists", "stale"}
    assert {name for name in names if getattr(error, name)} == flags
    assert str(error).startswith(f"GET {PATH}: {status}")
    assert TOKEN not in str(error)
    assert error.code == status


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (refusal("Forbidden") | {"message": "denied:\n\tno\u200b signature"}, "denied: no signature"),
        (refusal("Forbidden") | {"message": f"see https://me:{TOKEN}@policy.example/"}, None),
        (refusal("Forbidden") | {"message": f"password={TOKEN}"}, None),
        ("no json", ""),
        ({"message": None}, ""),
    ],
    ids=["on one line", "in a URL", "after its name", "no JSON", "none"],
)
async def test_what_a_refusal_says_to_people_is_kept_without_credentials(
    tmp_path: Path,
    body: Any,
    message: str | None,
) -> None:
    """On one line; None stands for any text that has lost its secret."""
    async with serving(Server(status=403, body=body), tmp_path) as api:
        with pytest.raises(ApiError) as caught:
            await api.create(PATH, {})
    assert caught.value.message == message or message is None
    assert TOKEN not in caught.value.message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("86400", 60.0), ("9" * 400, 60.0), ("soon", None), ("\u00b2", None), (None, None)],
)
async def test_a_stated_pause_is_kept(tmp_path: Path, text: str | None, seconds: float | None) -> None:
    """Where it is a number of seconds, up to a minute."""
    server = Server(status=429, headers={"Retry-After": text} if text is not None else {})
    async with serving(server, tmp_path) as api:
        with pytest.raises(ApiError) as caught:
            await api.get(PATH)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("status", [404, 409])
async def test_deleting_what_is_gone_or_another_is_done(tmp_path: Path, status: int) -> None:
    """The uid is a precondition; any other refusal is told."""
    server = Server(status=status, body=refusal("Conflict" if status == 409 else "NotFound"))
    async with serving(server, tmp_path) as api:
        await api.delete(PATH, uid="uid-1")
        server.status, server.body = 403, refusal("Forbidden")
        with pytest.raises(ApiError):
            await api.delete(PATH, uid="uid-1")


async def test_no_answer_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dropped connection, silence, and nobody there."""
    server = Server(drop=True)
    async with serving(server, tmp_path) as api:
        with pytest.raises(ApiUnreachableError) as caught:
            await api.get(PATH)
        assert (caught.value.transient, caught.value.code) == (True, 0)
        monkeypatch.setattr(api_server, "REQUEST_TIMEOUT_SECONDS", 0.05)
        server.drop, server.silence = False, asyncio.Event()
        with pytest.raises(ApiUnreachableError):
            await api.get(PATH)
        server.silence.set()


async def test_an_answer_that_is_no_object_is_an_empty_one(tmp_path: Path) -> None:
    """Nothing is read out of it."""
    async with serving(Server(body=[1]), tmp_path) as api:
        assert await api.get(PATH) == {}


async def test_what_is_not_permitted_is_not_sent(tmp_path: Path) -> None:
    """No request that changes anything gets a byte out; reading goes on, and so does writing once it may."""
    server, permitted = Server(), False
    async with serving(server, tmp_path, lambda: permitted) as api:
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: api.create(PATH, {}),
            lambda: api.replace(PATH, {}),
            lambda: api.patch(PATH, []),
            lambda: api.delete(PATH, uid="uid-1"),
        ]
        for write in writes:
            with pytest.raises(NotPermittedError) as caught:
                await write()
            assert (caught.value.transient, caught.value.stale, caught.value.not_found) == (False, False, False)
        await api.get(PATH)
        assert [method for method, *_ in server.seen] == ["GET"]
        permitted = True
        for write in writes:
            await write()
    assert [method for method, *_ in server.seen] == ["GET", "POST", "PUT", "PATCH", "DELETE"]


async def test_permission_is_asked_for_when_the_connection_stands(tmp_path: Path) -> None:
    """A process that was stopped while it waited for one sends nothing when it goes on."""
    server, asked = Server(silence=asyncio.Event()), 0

    def permit() -> bool:
        nonlocal asked
        asked += 1
        return asked <= api_server.CONNECTIONS

    async with serving(server, tmp_path, permit) as api:
        requests = [asyncio.create_task(api.create(PATH, {})) for _ in range(api_server.CONNECTIONS + 1)]
        assert server.silence is not None
        await server.wait_for(api_server.CONNECTIONS)
        assert asked == api_server.CONNECTIONS
        server.silence.set()
        results = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(one) for one in results].count(NotPermittedError) == 1
    assert len(server.seen) == api_server.CONNECTIONS
