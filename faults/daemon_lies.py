"""Put lies, broken words and broken streams in a daemon's mouth, and see that the operator believes none of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from devcluster.gate import RegistryGate
from devcluster.images import PushedImage
from faults.content import assert_held_whole, assert_served_whole
from faults.plans import PlanClass
from faults.reference import Reference
from faults.site import Site
from faults.trials import TrialPlan, side_by_side
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, Kind
from tests.support.objects import Body, reason, run_ended
from tests.support.status_watch import StatusWatch
from tests.support.watched_engine import WatchedEngine

END_SECONDS = 60.0
CUTS = (0, 1, 40, 120, 250, 400, 600, 800)
"""Body bytes of a stream, request included, after which it breaks off: at any place within and between records."""
_OTHER = f"sha256:{'0' * 64}"
_STREAMS = {IMAGE_PULL: r".*/images/create", IMAGE_PUSH: r".*/images/.*/push"}
_LOOKUP = r".*/distribution/.*"
_DONE = {IMAGE_PULL: {"Pulled", "AlreadyPresent"}, IMAGE_PUSH: {"Pushed", "AlreadyPushed"}}
_DRIPS = 500
"""Numbers before those of the slow ones: there may be more lies one day."""
_DRIP = 300
"""Bytes per second of a daemon that can hardly speak."""


@dataclass(frozen=True, slots=True)
class Lie:
    """What a daemon says instead of the truth to the requests of one path.

    `{tag}` and `{digest}` in the content stand for those of the image. `cut` breaks the true answer off instead.
    """

    name: str
    kind: Kind
    path: str
    status: int = 200
    content: str = ""
    cut: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What the operator made of a lie."""

    cause: str | None
    """Of the failed attempt; None where the stream had ended before the place at which it was to be cut."""
    seconds: float


def lies() -> Iterator[Lie]:
    """Yield all lies, in an order that stays."""
    for kind, path in _STREAMS.items():
        for name, content in (_PULL_STREAMS if kind is IMAGE_PULL else _PUSH_STREAMS).items():
            yield Lie(name, kind, path, content=content)
        for name, (status, content) in _ANSWERS.items():
            yield Lie(f"stream: {name}", kind, path, status, content)
            yield Lie(f"lookup: {name}", kind, _LOOKUP, status, content)
        for cut in CUTS:
            yield Lie(f"stream cut after {cut} bytes", kind, path, cut=cut)


def tell(site: Site, engine: WatchedEngine, lie: Lie) -> Told:
    """Have a daemon lie for one run, which must not succeed, and be honest in the next, which must."""
    upstream = site.cluster.registry if lie.kind is IMAGE_PULL else site.cluster.registry_target
    image = site.image()
    with site.namespace() as objects, RegistryGate(upstream) as gate:
        reference = f"{gate.address}/{image.repository}:{image.tag}"
        if lie.kind is IMAGE_PUSH:
            engine.daemon.pull(image.reference)
            engine.daemon.tag(image.reference, reference)
        _plant(engine, lie, image)
        try:
            with StatusWatch(objects, lie.kind) as watch:
                began = time.monotonic()
                spec = {"image": reference, "daemonName": engine.name, "backoffLimit": 0}
                if lie.kind is IMAGE_PULL:
                    spec["platforms"] = ["linux/amd64"]  # so that a question goes before it
                objects.create(lie.kind, "app", spec)
                told = objects.wait(lie.kind, "app", run_ended(1), seconds=END_SECONDS)
                seconds = time.monotonic() - began
                phases = {one.status.get("phase") for one in watch.wait_for(told)}
        finally:
            engine.gate.release()
        error = told["status"].get("error")
        if error is None and lie.cut is not None:
            _assert_done(engine, gate, image, lie.kind, told)
        else:
            assert "Succeeded" not in phases, told["status"]
            assert told["status"]["history"][0]["outcome"] == "Failed", told["status"]
            objects.ask_again(lie.kind, "app", "the truth")
            _assert_done(
                engine, gate, image, lie.kind, objects.wait(lie.kind, "app", run_ended(2), seconds=END_SECONDS)
            )
        for name in (reference, image.reference):
            engine.daemon.remove(name)
        return Told(error and error["reason"], seconds)


def drip(site: Site, engine: WatchedEngine, kind: Kind) -> float:
    """Have a daemon speak very slowly; return the seconds until the run has ended well all the same."""
    upstream = site.cluster.registry if kind is IMAGE_PULL else site.cluster.registry_target
    image = site.image()
    with site.namespace() as objects, RegistryGate(upstream) as gate:
        reference = f"{gate.address}/{image.repository}:{image.tag}"
        if kind is IMAGE_PUSH:
            engine.daemon.pull(image.reference)
            engine.daemon.tag(image.reference, reference)
        engine.gate.bytes_per_second = _DRIP
        began = time.monotonic()
        try:
            body = objects.run(kind, "app", {"image": reference, "daemonName": engine.name}, seconds=END_SECONDS)
        finally:
            engine.gate.bytes_per_second = None
        assert body["status"]["attempts"] == 1, body["status"]
        _assert_done(engine, gate, image, kind, body)
        return time.monotonic() - began


def _plant(engine: WatchedEngine, lie: Lie, image: PushedImage) -> None:
    if lie.cut is not None:
        engine.gate.cut(path=lie.path, after_bytes=lie.cut)
        return
    content = lie.content.replace("{tag}", image.tag).replace("{digest}", image.digest)
    headers = {"Content-Type": "application/json"}
    engine.gate.script(path=lie.path, status=lie.status, headers=headers, body=content.encode())


def _assert_done(engine: WatchedEngine, gate: RegistryGate, image: PushedImage, kind: Kind, body: Body) -> None:
    """Check the content; a daemon whose words were cut off may have ended its work all the same."""
    assert reason(body) in _DONE[kind], body["status"]
    if kind is IMAGE_PULL:
        assert_held_whole(engine.daemon, f"{gate.address}/{image.repository}:{image.tag}", image)
    else:
        assert_served_whole(gate.address, image.repository, image.tag, body["status"]["image"]["digest"])


def _stream(*records: Mapping[str, object]) -> str:
    return "".join(f"{json.dumps(record)}\r\n" for record in records)


_FULL = {"current": 5000, "total": 5000}
_PULLED = ({"status": "Digest: {digest}"}, {"status": "Status: Downloaded newer image for app:{tag}"})
_PULL_STREAMS = {
    "stream: false success": _stream({"status": "Pull complete", "progressDetail": {}, "id": "a1"}, *_PULLED),
    "stream: already there": _stream({"status": "Digest: {digest}"}, {"status": "Status: Image is up to date for a:1"}),
    "stream: success of another image": _stream({"status": f"Digest: {_OTHER}"}, _PULLED[1]),
    "stream: success and then an error": _stream(*_PULLED, {"errorDetail": {"message": "boom"}, "error": "boom"}),
    "stream: all layers, no last record": _stream({"status": "Downloading", "progressDetail": _FULL, "id": "a1"}),
    "stream: success, and half a record": _stream(*_PULLED) + '{"status": "Dow',
    "stream: a line that is no record": _stream(*_PULLED) + "<html>\r\n",
    "stream: success without a digest": _stream(_PULLED[1]),
}
_PUSHED = {"status": "{tag}: digest: {digest} size: 500"}
_PUSH_STREAMS = {
    "stream: false success": _stream({"status": "Pushed", "progressDetail": {}, "id": "a1"}, _PUSHED),
    "stream: success of another image": _stream({"status": f"{{tag}}: digest: {_OTHER} size: 500"}),
    "stream: success of another tag": _stream({"status": "other: digest: {digest} size: 500"}),
    "stream: two digests": _stream(_PUSHED, {"status": f"{{tag}}: digest: {_OTHER} size: 500"}),
    "stream: success and then an error": _stream(_PUSHED, {"errorDetail": {"message": "boom"}, "error": "boom"}),
    "stream: all layers, no last record": _stream({"status": "Pushed", "progressDetail": _FULL, "id": "a1"}),
    "stream: success, and half a record": _stream(_PUSHED) + '{"status": "Pus',
    "stream: a line that is no record": _stream(_PUSHED) + "<html>\r\n",
}
_ANSWERS: dict[str, tuple[int, str]] = {
    "nothing": (200, ""),
    "a web page": (200, "<html>Welcome</html>"),
    "an empty object": (200, "{}"),
    "nested without end": (200, "[" * 50_000),
    "a number of many digits": (200, "1" * 50_000),
    "a web page as an error": (502, "<html>Bad Gateway</html>"),
    "an unknown error": (500, '{"message": "never heard of"}'),
    "an error without words": (500, ""),
    "a redirect": (307, ""),
    "no such page": (404, '{"message": "page not found"}'),
}


def plans(_: Reference) -> Sequence[TrialPlan]:
    """Each lie on both Engines, and last the daemons that can hardly speak."""
    return [
        *(
            TrialPlan(CLASS.first + place, f"{lie.kind.kind}, {lie.name}", partial(_tell_both, lie))
            for place, lie in enumerate(lies())
        ),
        *(
            TrialPlan(
                CLASS.first + _DRIPS + place,
                f"{kind.kind}, a stream of {_DRIP} bytes per second",
                partial(_drip_both, kind),
            )
            for place, kind in enumerate(_STREAMS)
        ),
    ]


def _tell_both(lie: Lie, site: Site) -> bool:
    told = side_by_side([partial(tell, site, engine, lie) for engine in site.both])
    return any(one.cause is not None for one in told)


def _drip_both(kind: Kind, site: Site) -> bool:
    side_by_side([partial(drip, site, engine, kind) for engine in site.both])
    return True


CLASS = PlanClass(
    "daemon-lies",
    7001,
    "A daemon's stream or answer is false, broken, cut off, of another kind or very slow, on both Engines.",
    plans,
    alone=True,
    sampled=False,
)
