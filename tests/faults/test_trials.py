"""A part of each class of trials, on real parts: the whole classes are run by `make faults`.

The order matters: those that disturb an Engine come last, behind the transfers that a silent registry holds up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from devcluster import env
from devcluster.env import Environment
from faults import api_outage, daemon_killed, daemon_lies, patience, registry_refusals, rotation
from faults.api_outage import Outage
from faults.daemon_lies import Lie
from faults.registry_refusals import Lasting
from faults.site import Site, opened_site
from faults.trials import side_by_side
from imageops.api.kinds import IMAGE_PULL, IMAGE_PUSH, Kind

pytestmark = pytest.mark.integration

TRANSFERS = (IMAGE_PULL, IMAGE_PUSH)
beside_the_silence = pytest.mark.usefixtures("silence")
"""Marks what may run meanwhile."""
OUTAGE_SECONDS = 35.0
"""Longer than the operator waits for an answer of the API server."""
EVERY_OTHER = 7
"""Of the lies every so many are told."""


@pytest.fixture(scope="module")
def cluster() -> Environment:
    """Return the addresses of the running development cluster."""
    return env.load()


@pytest.fixture(scope="module")
def site(cluster: Environment) -> Iterator[Site]:
    """Return where trials happen."""
    with opened_site(cluster, "in-tests") as opened:
        yield opened


@pytest.fixture(scope="module")
def silence(site: Site) -> Iterator[Sequence[Future[None]]]:
    """Begin transfers that a registry holds up in mid-layer for 90 s, and return what will come of them."""
    cases = [(engine, kind) for engine in site.both for kind in TRANSFERS]
    with ThreadPoolExecutor(len(cases)) as threads:
        yield [threads.submit(patience.keep_quiet, site, *case, patience.QUIET_SECONDS) for case in cases]


@pytest.mark.feature("fault.lies")
@beside_the_silence
@pytest.mark.parametrize("status", registry_refusals.STATUSES)
def test_a_registry_may_refuse_any_request_once(site: Site, status: int) -> None:
    """A 503 is got over, a 429 waited for, a 401 final unless the Engine asks again; never a wrong success."""
    refuse = partial(registry_refusals.refuse_each, "default", status=status, lasting=Lasting.ONCE, site=site)
    side_by_side([partial(refuse, kind) for kind in TRANSFERS])


@pytest.mark.feature("cred.rotation")
@beside_the_silence
def test_a_password_that_changes_in_mid_transfer(site: Site) -> None:
    """The attempt ends AuthExpired, the retry reads the new one, and neither is told anywhere; on both Engines."""
    side_by_side([partial(rotation.rotate, site, engine, kind) for engine in site.both for kind in TRANSFERS])


@pytest.mark.feature("fault.api-outage")
@pytest.mark.feature("tool.tracking-outage")
@pytest.mark.feature("status.recreated")
@beside_the_silence
def test_outcomes_are_in_status_after_an_outage_of_the_api_server(cluster: Environment) -> None:
    """Silent, gone, or refusing every status: transfers end meanwhile, and within 30 s of the return status says so."""
    side_by_side([partial(api_outage.outage, cluster, how, OUTAGE_SECONDS) for how in Outage])


@pytest.mark.feature("retry.limit")
@pytest.mark.feature("timeout.deadline")
@pytest.mark.feature("pull.deletion-policy")
@beside_the_silence
def test_restarts_and_an_absent_daemon_change_no_limit(cluster: Environment) -> None:
    """Attempts and deadlines count on over kills of the operator; a deletion waits for its daemon over one."""
    works = [patience.restart_between_attempts, patience.delete_while_away]
    side_by_side([partial(work, cluster) for work in works])


@pytest.mark.feature("timeout.quiet-stream")
def test_a_registry_that_is_silent_for_90_s_in_mid_layer_breaks_nothing(silence: Sequence[Future[None]]) -> None:
    """Pulls and pushes on both Engines go on with their one attempt when it speaks again."""
    for transfer in silence:
        transfer.result()


@pytest.mark.feature("fault.lies")
@pytest.mark.feature("pull.positive-end")
def test_no_lie_of_a_daemon_is_believed(site: Site) -> None:
    """Neither false success nor broken words make a run succeed, and an honest daemon is believed again."""
    chosen = [*daemon_lies.lies()][::EVERY_OTHER]

    def tell_all(engine_name: str) -> list[Lie]:
        engine = site.engines[engine_name]
        return [lie for lie in chosen if daemon_lies.tell(site, engine, lie).cause is None]

    for unreached in side_by_side([partial(tell_all, name) for name in site.engines]):
        assert all(lie.cut is not None for lie in unreached)


@pytest.mark.feature("fault.daemon-killed")
@pytest.mark.feature("fault.no-twice")
@pytest.mark.parametrize(
    ("kind", "containerd"),
    [(IMAGE_PULL, False), (IMAGE_PUSH, False), (IMAGE_PUSH, True)],
    ids=["in mid-pull", "in mid-push", "with its containerd"],
)
def test_what_a_killed_daemon_was_doing_ends_after_its_return(site: Site, kind: Kind, *, containerd: bool) -> None:
    """Once, with every byte, and with no more calls than one and the recorded retries; on both Engines."""
    kill = partial(daemon_killed.kill_in_mid_transfer, site, kind=kind, number=7, containerd=containerd)
    side_by_side([partial(kill, engine) for engine in site.both])
