"""A service is started, watched until it answers, recorded, and ended with what it started."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from devcluster import control, processes, state
from devcluster.ending import end_services, remove_tree
from devcluster.errors import DevClusterError
from devcluster.layout import Layout
from devcluster.ports import free_ports
from devcluster.probes import Probe
from devcluster.services import PortTakenError, Service

_FAIL = "import sys; sys.exit('no such disk')"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Make the folders of a cluster."""
    made = Layout(checkout=tmp_path / "checkout", run=tmp_path / "run")
    made.make()
    return made


def _web(layout: Layout, name: str = "web", after: tuple[str, ...] = ()) -> Service:
    (port,) = free_ports(1)
    return Service(
        name=name,
        argv=(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(layout.run), str(port)),
        probe=Probe(url=f"http://127.0.0.1:{port}/"),
        log=str(layout.logs / f"{name}.log"),
        address=f"127.0.0.1:{port}",
        after=after,
        environ={"PYTHONUNBUFFERED": "1"},
        stop_seconds=5,
    )


def test_single_parts_are_stopped_killed_and_started_at_the_same_address(layout: Layout) -> None:
    """What tests of faults do to a part, and what the record says afterwards."""
    service = _web(layout).started()
    state.save(layout, state.State().including([service]))
    service.wait_ready()
    for end in (control.stop, control.kill):
        end("web", layout)
        assert not state.load(layout).services["web"].ready
        control.start("web", layout)
        assert state.load(layout).services["web"].ready
    before = state.load(layout).services["web"]
    control.restart("web", layout)
    after = state.load(layout).services["web"]
    assert (after.address, after.argv) == (before.address, before.argv)
    assert after.process != before.process
    end_services([after])


def test_an_unknown_part_is_an_error_that_lists_the_known_ones(layout: Layout) -> None:
    """A typing error in a test is found at once."""
    state.save(layout, state.State().including([_web(layout)]))
    with pytest.raises(DevClusterError, match=r"no part 'wep'.*there are: web"):
        control.kill("wep", layout)


def test_a_service_that_ends_early_shows_the_end_of_its_log(layout: Layout) -> None:
    """The reason stands in the message."""
    service = Service(
        name="broken",
        argv=(sys.executable, "-c", _FAIL),
        probe=Probe(socket=f"{layout.run}/none.sock"),
        log=str(layout.logs / "broken.log"),
        address="",
    )
    with pytest.raises(DevClusterError, match=r"broken ended before it was ready[^$]*no such disk"):
        service.started().wait_ready()


def test_a_port_that_was_taken_meanwhile_is_told_apart(layout: Layout) -> None:
    """`up` picks another one then; another program's answer on that port is not taken for the part's."""
    service = _web(layout)
    host, port = service.address.split(":")
    with socket.create_server((host, int(port))), pytest.raises(PortTakenError):
        service.started().wait_ready()


def test_the_record_survives_writing_and_reading(layout: Layout) -> None:
    """`down` in another process ends what `up` started."""
    service = _web(layout, after=("other",)).started()
    kept = state.State(kubeconfig="/k", namespaces=("team-a",)).including([service])
    state.save(layout, kept)
    assert state.load(layout) == kept
    end_services([service])


def test_a_record_of_an_earlier_boot_counts_for_nothing(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart of the machine the same id and start time may belong to anything."""
    state.save(layout, state.State().including([_web(layout)]))
    monkeypatch.setattr(processes, "boot_id", lambda: "another boot")
    assert state.load(layout) == state.State()


def test_services_end_before_those_they_need(layout: Layout) -> None:
    """An API server is asked to end while its store still answers."""
    first = _web(layout, "store").started()
    second = _web(layout, "server", after=("store",)).started()
    for service in (first, second):
        service.wait_ready()
    asked: list[str] = []
    names = {service.process: service.name for service in (first, second)}
    end = processes.end

    def noting(members: list[processes.Process], seconds: float) -> None:
        asked.extend(names[member] for member in members)
        end(members, seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "end", noting)
        end_services([first, second])
    assert asked == ["server", "store"]
    assert not first.alive
    assert not second.alive


def test_removing_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    """`down` may be run twice."""
    (tmp_path / "run" / "data").mkdir(parents=True)
    remove_tree(tmp_path / "run")
    remove_tree(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_picked_ports_are_free_and_outside_the_range_of_outgoing_connections() -> None:
    """A part that is stopped for a while finds its port again."""
    ports = free_ports(20)
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert len(set(ports)) == 20
    assert max(ports) < lowest
