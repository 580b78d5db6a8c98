"""Take the API server away while transfers run: silent, gone, or refusing statuses; judge what is in status then."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from devcluster.env import Environment
from devcluster.gate import RegistryGate
from devcluster.images import PushedImage
from faults.content import assert_held_whole, assert_served_whole
from faults.plans import PlanClass
from faults.reference import Reference
from faults.site import Site, opened_site
from faults.trials import TrialPlan
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, SESSION, Kind
from tests.support import sessions
from tests.support.objects import Body, Objects, finished, reason
from tests.support.watched_engine import WatchedEngine

SECONDS = 60.0
RETURN_SECONDS = 30.0
"""By then after the return of the API server every outcome is in status."""
_PULLED_LAYERS = (6_000_000,)
_PUSHED_LAYERS = (24_000_000,)
_SHARE = 0.3
"""Of the outage passes until the transfers that end in it have ended."""
_STATUS_RIGHTS = "/apis/rbac.authorization.k8s.io/v1/clusterroles/imageops-operator"


class Outage(StrEnum):
    """How the API server is away."""

    SILENT = "silent"
    """It takes connections and says nothing."""
    GONE = "gone"
    """It refuses connections."""
    REFUSING = "refusing statuses"
    """It serves everything but the operator's writes of statuses."""


@dataclass(frozen=True, slots=True)
class Survived:
    """What an outage came to, in seconds after the return of the API server."""

    outcomes: float
    """Until the outcome of everything that ended meanwhile was in status."""
    rest: float
    """Until what had to wait had ended too."""
    new: float
    """From the creation of an object to its end, right after that."""


def outage(cluster: Environment, how: Outage, seconds: float) -> Survived:
    """Take an API server of the trial's own away for so long, and check what became of the work."""
    with opened_site(cluster, f"in-outage-{how.name.lower()}") as site, site.namespace() as objects:
        return _Trial(site, objects).play(how, seconds)


@dataclass(slots=True)
class _Trial:
    site: Site
    objects: Objects

    def play(self, how: Outage, seconds: float) -> Survived:
        """Begin transfers, take the API server away until they have ended and longer, and look."""
        engines = list(self.site.engines.values())
        upstreams = (self.site.cluster.registry, self.site.cluster.registry_target)
        speeds = (len(engines) * sum(_PULLED_LAYERS) * 2, len(engines) * sum(_PUSHED_LAYERS))
        pulls, pushes = (
            RegistryGate(upstream, bytes_per_second=int(amount / (_SHARE * seconds)))
            for upstream, amount in zip(upstreams, speeds, strict=True)
        )
        with pulls, pushes:
            transfers = [
                *(self._begin(engine, IMAGE_PULL, pulls) for engine in engines),
                *(self._begin(engine, IMAGE_PUSH, pushes) for engine in engines),
            ]
            released = self._begin_session(engines[0], pulls)
            for transfer in transfers:
                self.objects.wait(transfer.kind, transfer.name, _has_moved)
            with self._away(how):
                deadline = time.monotonic() + seconds
                for transfer in transfers:
                    transfer.wait_done(deadline)
                time.sleep(max(0.0, deadline - time.monotonic()))
            returned = time.monotonic()
            ends = [self._outcome(transfer, returned) for transfer in transfers]
            outcomes = time.monotonic() - returned
            session = self.objects.wait_finished(SESSION, "release", seconds=RETURN_SECONDS)
            assert reason(session) == "Completed", session["status"]
            rest = time.monotonic() - returned
            began = time.monotonic()
            later = self.objects.run(IMAGE_PULL, "later", {"image": released, "daemonName": engines[0].name})
            assert reason(later) == "AlreadyPresent", later["status"]
            new = time.monotonic() - began
            pulls.bytes_per_second = pushes.bytes_per_second = None
            for transfer, body in zip(transfers, ends, strict=True):
                transfer.assert_recorded(body)
            return Survived(outcomes, rest, new)

    def _begin(self, engine: WatchedEngine, kind: Kind, gate: RegistryGate) -> _Transfer:
        image = self.site.image(layers=_PULLED_LAYERS if kind is IMAGE_PULL else _PUSHED_LAYERS)
        transfer = _Transfer(kind, engine, gate, image)
        if kind is IMAGE_PUSH:
            engine.daemon.pull(image.reference)
            engine.daemon.tag(image.reference, transfer.reference)
        self.objects.create(kind, transfer.name, {"image": transfer.reference, "daemonName": engine.name})
        return transfer

    def _begin_session(self, engine: WatchedEngine, gate: RegistryGate) -> str:
        """Create a Session whose first step ends in the outage, and return what its second one makes."""
        image = self.site.image(layers=_PULLED_LAYERS)
        source = f"{gate.address}/{image.repository}:1"
        steps = [sessions.pull("fetch", source), sessions.tag("name", source, f"{source}-released")]
        self.objects.create(SESSION, "release", {"daemonName": engine.name, "steps": steps})
        self.objects.wait(SESSION, "release", lambda _: any(map(_has_moved, self.objects.all(IMAGE_PULL))))
        return f"{source}-released"

    def _outcome(self, transfer: _Transfer, returned: float) -> Body:
        left = RETURN_SECONDS - (time.monotonic() - returned)
        return self.objects.wait(transfer.kind, transfer.name, finished, seconds=left)

    @contextmanager
    def _away(self, how: Outage) -> Iterator[None]:
        """Have the API server away while the block runs."""
        match how:
            case Outage.SILENT:
                self.site.plane.pause()
            case Outage.GONE:
                self.site.plane.kill()
            case Outage.REFUSING:
                self._allow_statuses([])
        try:
            yield
        finally:
            match how:
                case Outage.SILENT:
                    self.site.plane.resume()
                case Outage.GONE:
                    self.site.plane.start()
                case Outage.REFUSING:
                    self._allow_statuses(["patch"])

    def _allow_statuses(self, verbs: list[str]) -> None:
        """Give the operator exactly these rights to statuses."""
        api = self.objects.api
        role = api.request("GET", _STATUS_RIGHTS).body
        for rule in role["rules"]:
            if any(resource.endswith("/status") for resource in rule["resources"]):
                rule["verbs"] = verbs or ["get"]
        answer = api.request("PUT", _STATUS_RIGHTS, role)
        assert answer.status == 200, answer.message


@dataclass(frozen=True, slots=True)
class _Transfer:
    """One pull or push that ends while the API server is away."""

    kind: Kind
    engine: WatchedEngine
    gate: RegistryGate
    image: PushedImage

    @property
    def name(self) -> str:
        return f"{self.engine.name}-{self.kind.plural}"

    @property
    def reference(self) -> str:
        return f"{self.gate.address}/{self.image.repository}:{self.image.tag}"

    def wait_done(self, deadline: float) -> None:
        """Return when the daemon or the registry has the image: running work goes on without an API server."""
        while not self._is_done():
            assert time.monotonic() < deadline, f"{self.name} has not ended while the API server was away"
            time.sleep(0.2)

    def _is_done(self) -> bool:
        if self.kind is IMAGE_PULL:
            return self.engine.daemon.inspect(self.reference) is not None
        seen = [one for one in self.gate.requests if self.image.repository in one.path and one.method == "PUT"]
        return any("/manifests/" in one.path and one.status == 201 for one in seen)

    def assert_recorded(self, body: Body) -> None:
        """Check that status tells the one attempt that there was, and that it tells the truth."""
        status = body["status"]
        assert [entry["outcome"] for entry in status["history"]] == ["Succeeded"], status
        assert (status["attempts"], status.get("failedAttempts", 0), status["run"]) == (1, 0, 1), status
        calls = self.engine.pulls if self.kind is IMAGE_PULL else self.engine.pushes
        assert len(calls(self.image.repository)) == 1
        if self.kind is IMAGE_PULL:
            assert_held_whole(self.engine.daemon, self.reference, self.image)
        else:
            digest = status["image"]["digest"]
            assert_served_whole(self.gate.address, self.image.repository, self.image.tag, digest)


def _has_moved(body: Body) -> bool:
    return bool((body["status"].get("progress") or {}).get("bytesDone"))


def plans(_: Reference) -> Sequence[TrialPlan]:
    """One for each way of being away."""
    return [
        TrialPlan(CLASS.first + place, f"API server {how} for {SECONDS:g} s", partial(_play, how))
        for place, how in enumerate(Outage)
    ]


def _play(how: Outage, site: Site) -> bool:
    outage(site.cluster, how, SECONDS)
    return True


CLASS = PlanClass(
    "api-outage",
    8001,
    "The API server is silent, gone, or refuses statuses for a minute, while pulls, pushes and a Session run.",
    plans,
    alone=True,
    sampled=False,
)
