from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import kopf
import pytest

from imageops import handlers
from imageops.api.kinds import IMAGE_PULL, Kind
from imageops.cluster.watch_backoff import WatchBackoff
from imageops.cluster.watching import WatchKeeper
from imageops.runtime.app import WATCHED
from imageops.telemetry.watch_liveness import WatchLiveness

LINES_MAX = 150


@dataclass
class _Sink:
    """Keeps what it is told and asked."""

    news: list[bool] = field(default_factory=list)
    asked: list[tuple[str | None, Any]] = field(default_factory=list)
    seen: list[tuple[Kind, str | None, Any]] = field(default_factory=list)

    def is_news(self, event_type: str | None, body: Any) -> bool:
        """Answer as planned."""
        self.asked.append((event_type, body))
        return self.news.pop(0)

    def observe(self, kind: Kind, event_type: str | None, body: Any) -> None:
        """Keep it."""
        self.seen.append((kind, event_type, body))


@pytest.mark.feature("dev.layers")
def test_the_module_is_thin() -> None:
    """It registers and delegates."""
    assert len(Path(handlers.__file__).read_text(encoding="utf-8").splitlines()) < LINES_MAX


@pytest.mark.feature("dev.layers")
def test_the_registry_holds_one_event_handler_for_each_kind_and_nothing_else() -> None:
    """No change detection, daemon, timer, index or webhook of kopf."""
    registry = handlers.registry(_Sink())
    assert [type(handler).__name__ for handler in registry._watching.get_all_handlers()] == ["WatchingHandler"] * 4
    assert {handler.id for handler in registry._watching.get_all_handlers()} == {
        f"observe-{kind.plural}" for kind in WATCHED
    }
    kinds = {
        name: part for name, part in vars(registry).items() if name != "_watching" and hasattr(part, "get_all_handlers")
    }
    assert {"_activities", "_changing", "_spawning", "_indexing", "_webhooks"} <= set(kinds)
    assert {name for name, part in kinds.items() if list(part.get_all_handlers())} == set()


@pytest.mark.feature("dev.layers")
async def test_the_operator_is_run_with_event_handlers_and_activities_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The activities are the login and the drain, which is awaited at the end."""
    seen: dict[str, Any] = {}
    drained = asyncio.Event()

    async def operator(**given: Any) -> None:
        seen.update(given)
        [cleanup] = [one for one in given["registry"]._activities.get_all_handlers() if one.activity.value == "cleanup"]
        await cleanup.fn()

    async def drain() -> None:
        drained.set()
        await asyncio.sleep(0)

    monkeypatch.setattr(kopf, "operator", operator)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    ready = asyncio.Event()
    for way in ("service_account", "kubeconfig"):
        info = kopf.ConnectionInfo(server=f"https://{way}.test")
        monkeypatch.setattr(kopf, f"login_with_{way}", lambda info=info, **_: info)
    for kubeconfig, server in ((None, "https://service_account.test"), ("/kube", "https://kubeconfig.test")):
        namespaces = ("team-a",) if kubeconfig else ()
        await handlers.watch(
            sink=_Sink(),
            listener=WatchLiveness(),
            drain=drain,
            kubeconfig=kubeconfig,
            namespaces=namespaces,
            ready=ready,
        )
        registry = seen["registry"]
        activities = {one.activity.value: one.fn for one in registry._activities.get_all_handlers()}
        assert set(activities) == {"cleanup", "authentication"}
        logged_in: Any = activities["authentication"]
        assert logged_in.__self__._find().server == server
        for part in ("_changing", "_spawning", "_indexing", "_webhooks"):
            assert list(getattr(registry, part).get_all_handlers()) == []
        assert (seen["standalone"], seen["ready_flag"]) == (True, ready)
        assert (seen["clusterwide"], seen["namespaces"]) == (not namespaces, namespaces)
    assert drained.is_set()


def test_a_pod_finds_the_api_server_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Kubernetes says it is, with the credentials that kopf finds; without these it finds nothing."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    info = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="one")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: info)
    found = handlers.login_in_pod()
    assert found is not None
    assert (found.server, found.token) == ("https://10.96.0.1:443", "one")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    assert handlers.login_in_pod() is None


async def test_a_session_keeps_watches_alive() -> None:
    """It goes where the credentials say, with their token."""
    made = handlers.session(WatchLiveness(), kopf.ConnectionInfo(server="https://api.test", token="one"))
    assert made.server == "https://api.test"
    assert made.aiohttp_session.headers["Authorization"] == "Bearer one"
    assert [type(one) for one in made.aiohttp_session._middlewares] == [WatchKeeper]
    await made.aiohttp_session.close()


async def test_an_event_is_handed_on_as_it_is() -> None:
    """Kind, type and object; the rest of what kopf knows is not used."""
    sink = _Sink()
    handler: Any = _handler(sink, "observe-imagepulls")
    await handler.fn(event={"type": "ADDED", "object": {"spec": {}}}, logger=None, patch={}, memo=None)
    await handler.fn(event={"type": None, "object": {"spec": {}}})
    assert sink.seen == [(IMAGE_PULL, "ADDED", {"spec": {}}), (IMAGE_PULL, None, {"spec": {}})]


def test_an_event_that_is_no_news_ends_at_the_filter() -> None:
    """It is asked for every event."""
    sink = _Sink(news=[True, False])
    handler: Any = _handler(sink, "observe-imagepulls")
    event = {"type": "MODIFIED", "object": {"spec": {}}}
    assert [handler.when(event=event, logger=None, patch={}, memo=None) for _ in range(2)] == [True, False]
    assert sink.asked == [("MODIFIED", {"spec": {}})] * 2


def _handler(sink: _Sink, name: str) -> Any:
    return next(one for one in handlers.registry(sink)._watching.get_all_handlers() if one.id == name)


def test_kopf_keeps_nothing_on_objects_and_posts_nothing() -> None:
    """No scan of the cluster, no peering, no Events, no storage."""
    settings = handlers.settings()
    assert (settings.scanning.disabled, settings.peering.standalone, settings.posting.enabled) == (True, True, False)
    storage, progress = settings.persistence.diffbase_storage, settings.persistence.progress_storage
    patch = kopf.Patch()
    body = kopf.Body({"metadata": {}, "spec": {"image": "x"}})
    assert storage.build(body=body) == {}
    assert storage.fetch(body=body) == {}
    storage.store(body=body, patch=patch, essence=kopf.BodyEssence())
    assert progress.fetch(key=kopf.HandlerId("x"), body=body) is None
    progress.store(key=kopf.HandlerId("x"), record=None, body=body, patch=patch)  # type: ignore[arg-type]
    progress.purge(key=kopf.HandlerId("x"), body=body, patch=patch)
    progress.touch(body=body, patch=patch, value="now")
    assert progress.clear(essence=kopf.BodyEssence()) == {}
    assert dict(patch) == {}


def test_a_watch_is_tried_for_ever_every_few_seconds() -> None:
    """Every request begins anew with short pauses."""
    pauses = handlers.settings().networking.error_backoffs
    assert isinstance(pauses, WatchBackoff)
    for _ in range(2):
        first = list(islice(pauses, 1000))
        assert (first[0], max(first)) == (1.0, 5.0)
