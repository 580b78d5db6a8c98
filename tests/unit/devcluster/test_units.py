"""What the environment names is used in place of own parts, unless it is this very cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devcluster import engines, parts
from devcluster.errors import DevClusterError
from devcluster.layout import CHECKOUT, Layout, cache_folder
from devcluster.units import Named, units


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Lay out a cluster that is not made."""
    return Layout(checkout=tmp_path / "checkout", run=tmp_path / "run")


def _names(layout: Layout, environ: dict[str, str]) -> list[str]:
    return [name for unit in units(layout, Named.by(environ, layout), "secret") for name in unit.names]


def test_all_parts_are_started_where_nothing_is_named(layout: Layout) -> None:
    """Two engines, three registries and a control plane."""
    assert len(_names(layout, {})) == 10


def test_a_named_api_server_and_engine_replace_own_parts(layout: Layout, tmp_path: Path) -> None:
    """KUBECONFIG starts no control plane, DOCKER_HOST no default engine; the graph driver engine stays ours."""
    file = tmp_path / "config"
    file.touch()
    environ = {"KUBECONFIG": f"{tmp_path}/absent:{file}", "DOCKER_HOST": "tcp://127.0.0.1:2376"}
    named = Named.by(environ, layout)
    assert (named.kubeconfig, named.docker_host) == (file, "tcp://127.0.0.1:2376")
    names = _names(layout, environ)
    assert "apiserver" not in names
    assert "engine-default" not in names
    assert "engine-graphdriver" in names


def test_the_clusters_own_exports_do_not_count_as_named(layout: Layout) -> None:
    """`up` in a shell that has sourced .dev/env is the same as in any other."""
    layout.kube.mkdir(parents=True)
    own = layout.kube / "admin.kubeconfig"
    own.touch()
    environ = {"KUBECONFIG": str(own), "DOCKER_HOST": f"unix://{layout.run}/default.sock"}
    assert Named.by(environ, layout) == Named(kubeconfig=None, docker_host=None)


def test_another_pair_of_engines_takes_the_same_places(layout: Layout) -> None:
    """What uses the cluster finds each image store under the name that it always has."""
    usual, other = (Named.by(environ, layout).pair for environ in ({}, {"IMAGEOPS_ENGINES": "28.5"}))
    assert [kind.name for kind in other] == [kind.name for kind in usual] == ["default", "graphdriver"]
    assert {kind.dockerd for kind in other} == {parts.DOCKERD_28}
    assert len({kind.label for kind in (*usual, *other)}) == 4
    described = {
        unit.names[-1]: unit.programs[0] for unit in units(layout, Named.by({"IMAGEOPS_ENGINES": "28.5"}, layout), "")
    }
    assert described["engine-default"] == described["engine-graphdriver"] == parts.DOCKERD_28


def test_an_unknown_pair_of_engines_is_refused(layout: Layout) -> None:
    """A typing error would otherwise test the usual Engines under another's name."""
    with pytest.raises(DevClusterError, match=r"IMAGEOPS_ENGINES=28 names no engines; it may be 28\.5, or unset"):
        Named.by({"IMAGEOPS_ENGINES": "28"}, layout)


def test_the_image_store_of_an_engine_is_asked_for_in_its_configuration(tmp_path: Path) -> None:
    """Docker 28 begins with a graph driver unless its configuration says otherwise, and a flag decides which one."""
    layout = Layout(checkout=tmp_path, run=tmp_path)
    written = {}
    for kind in engines.PAIRS["28.5"]:
        *_, dockerd = engines.engine_services(layout, kind, lambda part: tmp_path / part.program)
        config = json.loads((tmp_path / kind.name / "daemon.json").read_text())
        written[kind.label] = (config, "--storage-driver=overlay2" in dockerd.argv)
    assert written == {
        "28.5-containerd": ({"features": {"containerd-snapshotter": True}}, False),
        "28.5-overlay2": ({"features": {}}, True),
    }


def test_two_checkouts_have_folders_of_their_own_with_short_names(tmp_path: Path) -> None:
    """A Unix socket's path has to stay under 108 bytes however deep the checkout lies."""
    deep, other = Layout.of(tmp_path / ("deep" * 50)), Layout.of(tmp_path / "other")
    assert deep.run != other.run
    assert len(f"{deep.run}/graphdriver-c.sock") < 60


def test_a_second_cluster_of_a_checkout_lies_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever names a checkout gets that one's all the same."""
    monkeypatch.delenv("IMAGEOPS_CLUSTER", raising=False)
    first = Layout.of()
    monkeypatch.setenv("IMAGEOPS_CLUSTER", str(tmp_path))
    assert Layout.of() == Layout.of(tmp_path) != first
    assert Layout.of(CHECKOUT) == first


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"IMAGEOPS_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b"}, Path("/b/imageops")),
        ({}, Path.home() / ".cache" / "imageops"),
    ],
    ids=["own", "xdg", "home"],
)
def test_the_cache_lies_where_the_environment_says(environ: dict[str, str], expected: Path) -> None:
    """The nearest setting wins."""
    assert cache_folder(environ) == expected
