from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devcluster import during, env, state
from devcluster.during import cluster_up, run_during
from devcluster.env import Environment
from devcluster.layout import Layout
from devcluster.probes import Probe
from devcluster.services import Service
from devcluster.state import State


class Recorded:
    """Stands for the cluster, which takes root and seconds; what it would do is written down."""

    calls: list[str]

    def __init__(self, layout: Layout, *_: object) -> None:
        self._layout = layout

    def up(self, _groups: object) -> None:
        """Come up at once."""
        self.calls.append("up")
        env.write(self._layout.env, Environment(registry="127.0.0.1:1"))

    def down(self) -> None:
        """Go down at once."""
        self.calls.append("down")


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Return the layout of an empty checkout, whose cluster only writes down what it is told."""
    made = Layout(checkout=tmp_path, run=tmp_path / "run")
    made.make()
    Recorded.calls = []
    monkeypatch.setattr(during, "Cluster", Recorded)
    return made


def test_a_cluster_that_was_down_is_taken_down_again(layout: Layout) -> None:
    """It was nobody's."""
    with cluster_up(print, layout) as cluster:
        assert cluster.registry == "127.0.0.1:1"
        assert Recorded.calls == ["up"]
    assert Recorded.calls == ["up", "down"]


def test_it_is_taken_down_when_the_block_fails(layout: Layout) -> None:
    """Nothing is left running."""
    with pytest.raises(ZeroDivisionError), cluster_up(print, layout):
        raise ZeroDivisionError
    assert Recorded.calls == ["up", "down"]


def test_a_cluster_that_was_up_stays_up(layout: Layout) -> None:
    """It is somebody's."""
    service = Service(name="etcd", argv=("etcd",), probe=Probe(), log="", address="")
    state.save(layout, State(services={"etcd": service}))
    with cluster_up(print, layout):
        pass
    assert Recorded.calls == ["up"]


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -9 $$", 137), ("kill -INT $$", 130)])
def test_the_commands_exit_status_is_told(script: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell would, also for one that a signal ended."""

    @contextmanager
    def nothing(_say: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(during, "cluster_up", nothing)
    assert run_during(["sh", "-c", script], print) == status
