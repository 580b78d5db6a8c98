"""The gate passes exchanges on unchanged, writes them down, and does what its rules say."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading

import pytest
import requests

from devcluster.gate import RegistryGate
from devcluster.images import manifest_digest, push_image
from devcluster.relay import Pace
from tests.support.memory_registry import MemoryRegistry
from tests.support.virtual_time import run

_BLOB = "sha256:big"
_SIZE = 200_000


@pytest.fixture
def blob(registry: MemoryRegistry) -> str:
    """Put a blob into the registry and return its path."""
    registry.blobs[_BLOB] = bytes(range(256)) * (_SIZE // 256) + bytes(_SIZE % 256)
    return f"/v2/app/blobs/{_BLOB}"


def _get(address: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_an_image_goes_through_unchanged_and_every_request_is_written_down(registry: MemoryRegistry) -> None:
    """Uploads of known and unknown length and the registry's own links lead through the gate."""
    with RegistryGate(registry.address) as gate:
        image = push_image(gate.address, "app", "1", layers=[100_000])
        assert manifest_digest(gate.address, "app", "1") == image.digest
        requests_seen = gate.wait(lambda requests: all(it.finished for it in requests))
    assert manifest_digest(registry.address, "app", "1") == image.digest
    layer = image.manifests[0].layers[0]
    assert [(it.method, it.status) for it in requests_seen[:3]] == [("POST", 202), ("PATCH", 202), ("PUT", 201)]
    assert requests_seen[1].request_bytes == layer.size
    assert requests_seen[2].path.endswith(f"?digest={layer.digest.replace(':', '%3A')}")
    assert (requests_seen[-1].method, requests_seen[-1].path) == ("GET", "/v2/app/manifests/1")
    assert requests_seen[-1].response_bytes == image.manifests[0].size


def test_it_is_written_down_that_a_credential_came_but_never_which(registry: MemoryRegistry) -> None:
    """A test may print the requests."""
    with RegistryGate(registry.address) as gate:
        manifest_digest(gate.address, "app", "1", credentials=("anna", "hunter2"))
        manifest_digest(gate.address, "app", "1")
        assert [it.authorized for it in gate.requests] == [True, False]
        assert "hunter2" not in repr(gate.requests)


def test_the_rate_is_shared_by_all_connections() -> None:
    """Two downloads at once take as long as both after each other; without a limit nothing is waited for."""

    async def story() -> None:
        clock = asyncio.get_running_loop().time
        pace = Pace(1_000_000)

        async def download() -> None:
            for _ in range(4):
                await pace.take(pace.piece)

        began = clock()
        await asyncio.gather(download(), download())
        assert clock() - began == pytest.approx(2 * 4 * pace.piece / 1_000_000)
        pace.bytes_per_second = None
        began = clock()
        await pace.take(_SIZE)
        assert clock() == began

    run(story())


def test_a_limit_may_be_lifted_in_the_middle(registry: MemoryRegistry, blob: str) -> None:
    """What was held to a crawl goes on at once, with all its bytes."""
    with RegistryGate(registry.address, bytes_per_second=1000) as gate:
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(_get(gate.address, blob)))
        thread.start()
        seen = gate.wait(lambda requests: any(one.response_bytes for one in requests))
        assert seen[0].response_bytes < _SIZE
        gate.bytes_per_second = None
        thread.join()
        assert len(got[0]) == _SIZE


def test_a_script_answers_in_the_registrys_place_as_often_as_asked(registry: MemoryRegistry, blob: str) -> None:
    """The registry does not hear of the request; afterwards it is asked again, on the same connection."""
    with RegistryGate(registry.address) as gate, requests.Session() as session:
        gate.script(method="GET", path=r".*/blobs/.*", status=429, headers={"Retry-After": "7"}, body=b"slow", times=1)
        url = f"http://{gate.address}{blob}"
        scripted, real = session.get(url), session.get(url)
        assert (scripted.status_code, scripted.headers["Retry-After"], scripted.content) == (429, "7", b"slow")
        assert (real.status_code, len(real.content)) == (200, _SIZE)
        assert session.head(f"http://{gate.address}/v2/none/blobs/x").status_code == 404


def test_a_scripted_upload_is_believed_though_nothing_was_kept(registry: MemoryRegistry) -> None:
    """A registry that lies: it takes the body and says created."""
    with RegistryGate(registry.address) as gate:
        gate.script(method="PUT", path=r".*/manifests/.*", status=201)
        push_image(gate.address, "app", "1")
    assert registry.manifests == {}


def test_a_cut_drops_a_download_at_the_very_byte_once(registry: MemoryRegistry, blob: str) -> None:
    """The client sees a broken body, and the next try goes through."""
    with RegistryGate(registry.address) as gate:
        gate.cut(path=r".*/blobs/.*", after_bytes=50_001, times=1)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            _get(gate.address, blob)
        (cut,) = gate.wait(lambda seen: all(it.finished for it in seen))
        assert (cut.status, cut.response_bytes) == (200, 50_001)
        assert len(_get(gate.address, blob)) == _SIZE


def test_a_cut_that_is_not_reached_is_not_used_up(registry: MemoryRegistry, blob: str) -> None:
    """A small blob before the big one does not take the cut away."""
    registry.blobs["small"] = b"1"
    with RegistryGate(registry.address) as gate:
        gate.cut(path=r".*/blobs/.*", after_bytes=1000, times=1)
        assert _get(gate.address, "/v2/app/blobs/small") == b"1"
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            _get(gate.address, blob)


def test_a_cut_drops_an_upload(registry: MemoryRegistry) -> None:
    """Bytes of requests count too, and the registry keeps nothing of it."""
    with RegistryGate(registry.address) as gate:
        gate.cut(method="PATCH", path=r".*/uploads/.*", after_bytes=5000)
        with pytest.raises(requests.ConnectionError):
            push_image(gate.address, "app", "1", layers=[100_000])
        cut = gate.requests[-1]
        assert (cut.method, cut.status, cut.request_bytes) == ("PATCH", None, 5000)
    assert registry.blobs == {}


def test_a_cut_at_zero_bytes_never_asks_the_registry(registry: MemoryRegistry, blob: str) -> None:
    """The connection drops like one to a server that died."""
    with RegistryGate(registry.address) as gate:
        gate.cut(path=".*")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            _get(gate.address, blob)
        assert [it.status for it in gate.requests] == [None]


def test_a_stalled_download_goes_on_when_released(registry: MemoryRegistry, blob: str) -> None:
    """Until then nothing more arrives."""
    got: list[bytes] = []
    with RegistryGate(registry.address) as gate:
        gate.stall(path=r".*/blobs/.*", after_bytes=1000)
        thread = threading.Thread(target=lambda: got.append(_get(gate.address, blob)))
        thread.start()
        (stalled,) = gate.wait(lambda seen: any(it.response_bytes == 1000 for it in seen))
        assert (stalled.status, stalled.finished, got) == (200, False, [])
        gate.release()
        thread.join()
        assert len(got[0]) == _SIZE


def test_a_client_that_leaves_a_stalled_download_is_noticed(registry: MemoryRegistry, blob: str) -> None:
    """A test of cancelling sees the exchange end, though nothing was passed on since."""
    with RegistryGate(registry.address) as gate:
        gate.stall(path=r".*/blobs/.*", after_bytes=1000)
        host, port = gate.address.split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"GET {blob} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            gate.wait(lambda seen: any(it.response_bytes == 1000 for it in seen))
        (left,) = gate.wait(lambda seen: all(it.finished for it in seen))
        assert left.response_bytes == 1000


def test_a_client_that_begins_with_tls_is_told_that_this_is_http(registry: MemoryRegistry) -> None:
    """An Engine tries TLS first and falls back at once on such an answer; it is no request."""
    with RegistryGate(registry.address) as gate:
        host, port = gate.address.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"\x16\x03\x01\x00\x05hello")
            assert client.recv(100).startswith(b"HTTP/1.1 400 ")
        assert gate.requests == ()


def test_waiting_in_vain_says_what_came(registry: MemoryRegistry, blob: str) -> None:
    """The message of a failed test is enough to understand it."""
    with RegistryGate(registry.address) as gate:
        _get(gate.address, blob)
        with pytest.raises(TimeoutError, match=r"GET /v2/app/blobs/sha256:big 200"):
            gate.wait(lambda seen: len(seen) > 1, seconds=0.01)


def test_closing_the_gate_ends_a_stalled_exchange(registry: MemoryRegistry, blob: str) -> None:
    """A test that fails in the middle hangs nowhere."""
    errors: list[Exception] = []

    def download() -> None:
        try:
            _get(gate.address, blob)
        except (OSError, http.client.HTTPException) as error:
            errors.append(error)

    with RegistryGate(registry.address) as gate:
        gate.stall(path=".*")
        thread = threading.Thread(target=download)
        thread.start()
        gate.wait(lambda seen: len(seen) == 1)
    thread.join(10)
    assert len(errors) == 1


def test_a_rule_lets_requests_pass_before_it_takes_effect(registry: MemoryRegistry, blob: str) -> None:
    """So the k-th request of an exchange is answered, and those before and behind it are served."""
    with RegistryGate(registry.address) as gate:
        gate.script(path=r"/v2/app/.*", status=503, passing=2, times=1)
        for _ in range(4):
            requests.get(f"http://{gate.address}{blob}", timeout=10)
            requests.get(f"http://{gate.address}/v2/", timeout=10)
        assert [it.status for it in gate.requests if it.path == blob] == [200, 200, 503, 200]
