"""The chart's configuration of the Engine, given to a real one of the 29 line."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devcluster import parts
from tests.support.chart import DIND_OPTIONS, Rendered, Values, render
from tests.support.clients import program
from tests.support.engines import private_engine
from tests.support.local_daemon import LocalDaemon

pytestmark = pytest.mark.integration

FLAGS = ("bridge", "iptables", "ip6tables")
"""What the development cluster gives its Engines as flags, which then must not stand in the file as well."""
OPTIONS: Values = {"daemon": {"dind": DIND_OPTIONS}}


def configuration(rendered: Rendered) -> dict[str, Any]:
    """Return the daemon.json of a release."""
    config: dict[str, Any] = json.loads(rendered.one("ConfigMap", "imageops-engine")["data"]["daemon.json"])
    return config


@pytest.mark.feature("chart.dind-options")
@pytest.mark.parametrize("values", [{}, OPTIONS], ids=["default", "all"])
def test_the_engine_finds_its_configuration_valid(values: Values, tmp_path: Path) -> None:
    """Every directive is known to it, and no flag of the side-car says the same again."""
    rendered = render(values)
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps(configuration(rendered)), encoding="utf-8")
    flags = [word for word in rendered.engine["args"][1:] if not word.startswith("--config-file=")]
    done = subprocess.run(
        [program(parts.DOCKERD_29), "--validate", f"--config-file={file}", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "configuration OK" in done.stderr + done.stdout


@pytest.mark.feature("chart.dind-options", "chart.modes")
def test_options_reach_a_running_engine_and_its_socket_is_the_operators(tmp_path: Path) -> None:
    """Mirrors, insecure registries and proxies by its own word; the containerd store; the group of the socket."""
    rendered = render(OPTIONS)
    config = {key: value for key, value in configuration(rendered).items() if key not in FLAGS}
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    [group] = [word for word in rendered.engine["args"] if word.startswith("--group=")]
    with private_engine("default", options=(f"--config-file={file}", group)) as engine:
        with LocalDaemon(engine.address).client() as client:
            info = client.info()
        socket = Path(engine.address.removeprefix("unix://")).stat()
    assert info["RegistryConfig"]["Mirrors"] == ["https://mirror.example.com/"]
    assert info["RegistryConfig"]["IndexConfigs"]["registry.example.com:5000"]["Secure"] is False
    assert "10.9.0.0/16" in info["RegistryConfig"]["InsecureRegistryCIDRs"]
    assert (info["HttpProxy"], info["NoProxy"]) == (config["proxies"]["http-proxy"], config["proxies"]["no-proxy"])
    assert ["driver-type", "io.containerd.snapshotter.v1"] in info["DriverStatus"]
    assert (socket.st_gid, stat.S_IMODE(socket.st_mode)) == (rendered.pod["securityContext"]["runAsGroup"], 0o660)
