from __future__ import annotations

import pytest
from rich.console import Console

from demo.errors import DemoError
from demo.promotion import Operation, example
from demo.show import LiveView
from imageops.api.admission import parse_spec
from imageops.api.kinds import SESSION

HOSTS = {"staging.example.com": "127.0.0.1:1/x", "prod.example.com": "127.0.0.1:2/x"}


def pull(*, percent: int = 0) -> Operation:
    """Return a running pull."""
    progress = {"stage": "Downloading", "percent": percent, "bytesDone": 2_500_000}
    body = {
        "metadata": {"name": "release-ship"},
        "status": {"phase": "Running", "progress": progress},
    }
    return Operation.of("ImagePull", body)


def test_the_example_is_used_as_it_stands_but_for_name_and_hosts() -> None:
    """What a user reads in examples/ is what the demonstration applies."""
    manifest = example(suffix="ab12", hosts=HOSTS)
    promote = manifest["spec"]["steps"][0]["promote"]
    assert manifest["metadata"]["name"] == "release-ab12"
    assert (promote["source"], promote["target"]) == ("127.0.0.1:1/x/app:1.4.2", "127.0.0.1:2/x/app:1.4.2")
    assert parse_spec(SESSION, manifest["spec"])


def test_a_host_the_example_does_not_mention_is_refused() -> None:
    """Else the demonstration would turn to a host of the real world."""
    with pytest.raises(DemoError, match=r"other\.example\.com"):
        example(suffix="ab12", hosts={"other.example.com": "127.0.0.1:1"})


def test_without_a_terminal_each_change_is_one_line() -> None:
    """A log shows progress without escape codes, and nothing twice."""
    console = Console(width=100, record=True, force_terminal=False, quiet=False)
    with console.capture() as captured, LiveView(console) as view:
        view.update([pull(percent=5)])
        view.update([pull(percent=5)])
        view.update([pull(percent=40)])
    lines = captured.get().splitlines()
    assert [line.split() for line in lines] == [
        ["ImagePull", "Downloading", "5", "%", "2.5", "MB"],
        ["ImagePull", "Downloading", "40", "%", "2.5", "MB"],
    ]


def test_an_operation_without_a_status_is_pending() -> None:
    """The operator has not looked at it yet."""
    operation = Operation.of("ImagePush", {"metadata": {"name": "x"}})
    assert (operation.phase, operation.percent, operation.milliseconds) == ("Pending", None, None)
