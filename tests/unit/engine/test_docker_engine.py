from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
from pathlib import Path

import pytest

from imageops.api.errors import OperationError
from imageops.api.progress import LayerRecord, LayerState
from imageops.api.reasons import Reason
from imageops.api.references import Reference
from imageops.engine import docker_engine, pool
from imageops.engine.docker_engine import DockerEngine
from imageops.engine.protocol import ImageEngine, Receipt, RegistryAuth, UnreadableAnswerError
from tests.support.engine_calls import ignore, reason_of, until
from tests.support.scripted_daemon import WAIT_SECONDS, ScriptedDaemon, json_answer, records, stream_answer

REF = Reference.parse("registry.test/team/app:v1")
DIGEST = "sha256:" + "ab" * 32
AUTH = RegistryAuth(username="robot", password="planted-password", server="registry.test")
PULLED = records({"status": f"Digest: {DIGEST}"}, {"status": "Status: Downloaded newer image for x"})
LAYER = records({"id": "6effb16b771c", "status": "Downloading", "progressDetail": {"current": 1, "total": 2}})


def threads(prefix: str) -> list[threading.Thread]:
    """List the living threads whose names begin so."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


def descriptors() -> int:
    """Count the open file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_docker_engine_is_an_image_engine(tmp_path: Path) -> None:
    """The class fits the protocol, for the type checker and in fact."""
    made: ImageEngine = DockerEngine("builder", f"unix://{tmp_path}/x.sock")
    assert made.name == "builder"
    assert not threads("builder")


@pytest.mark.feature("pull.positive-end")
async def test_a_whole_stream_with_its_last_words_is_success(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """Records reach the sink in their order, and the receipt has the digest."""
    daemon.answer("POST", "/images/create", stream_answer([*LAYER, *PULLED]))
    seen: list[LayerRecord] = []
    receipt = await engine.pull(REF, platform="linux/arm64", auth=AUTH, sink=seen.append)
    assert receipt == Receipt(DIGEST)
    assert seen == [LayerRecord("6effb16b771c", LayerState.DOWNLOADING, 1, 2)]
    (target,) = daemon.targets("POST")
    assert target == "/v1.52/images/create?fromImage=registry.test%2Fteam%2Fapp&tag=v1&platform=linux%2Farm64"


LIES = {
    "end without last words": (stream_answer(LAYER), Reason.DAEMON_ERROR),
    "empty stream": (stream_answer([]), Reason.DAEMON_ERROR),
    "dropped between records": (stream_answer(LAYER, end=False), Reason.DAEMON_CONNECTION_LOST),
    "dropped after the last words": (stream_answer(PULLED, end=False), Reason.DAEMON_CONNECTION_LOST),
    "dropped in a chunk": (stream_answer(PULLED, end=False)[:-10], Reason.DAEMON_CONNECTION_LOST),
    "half a line": (stream_answer([*PULLED, b'{"status"']), Reason.DAEMON_CONNECTION_LOST),
    "nonsense": (stream_answer([*PULLED, b"<html>\r\n"]), Reason.DAEMON_ERROR),
    "broken chunk": (stream_answer(LAYER, end=False) + b"zz\r\n", Reason.DAEMON_CONNECTION_LOST),
    "no answer": (b"", Reason.DAEMON_CONNECTION_LOST),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Ty", Reason.DAEMON_ERROR),
    "no HTTP": (b"hello\r\n\r\n", Reason.DAEMON_CONNECTION_LOST),
    "error after success": (
        stream_answer([*PULLED, *records({"errorDetail": {"message": "denied"}, "error": "denied"})]),
        Reason.AUTH_FAILED,
    ),
    "error in the stream": (stream_answer(records({"errorDetail": {"message": "unauthorized"}})), Reason.AUTH_FAILED),
    "redirect": (
        b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/_ping\r\nContent-Length: 0\r\n\r\n",
        Reason.DAEMON_ERROR,
    ),
    "refusal": (json_answer({"message": "toomanyrequests"}, 500), Reason.RATE_LIMITED),
    "refusal without words": (json_answer({}, 500), Reason.DAEMON_ERROR),
    "long refusal": (json_answer({"message": "denied: " + "a" * 1_000_000}, 500), Reason.AUTH_FAILED),
    "page": (b"HTTP/1.1 502 X\r\nContent-Length: 6\r\n\r\n<html>", Reason.DAEMON_ERROR),
}


@pytest.mark.feature("pull.positive-end")
@pytest.mark.feature("fault.lies")
@pytest.mark.parametrize("lie", LIES)
async def test_no_lie_of_a_pull_is_success(daemon: ScriptedDaemon, engine: DockerEngine, lie: str) -> None:
    """Whatever goes wrong with the stream, it has the reason that says so."""
    answer, reason = LIES[lie]
    daemon.answer("POST", "/images/create", answer)
    assert await reason_of(engine.pull(REF, platform=None, auth=None, sink=ignore)) is reason


@pytest.mark.feature("push.digest-forms")
async def test_a_push_without_a_digest_is_no_success(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """All layers pushed and a quiet end do not make a push."""
    pushed = records({"id": "6effb16b771c", "status": "Pushed"})
    daemon.answer("POST", "/images/.*/push", stream_answer(pushed))
    assert await reason_of(engine.push(REF, platform=None, auth=None, sink=ignore)) is Reason.DAEMON_ERROR
    daemon.answer(
        "POST", "/images/.*/push", stream_answer([*pushed, *records({"status": f"v1: digest: {DIGEST} size: 4"})])
    )
    receipt = await engine.push(REF, platform="linux/arm64/v8", auth=None, sink=ignore)
    assert receipt == Receipt(DIGEST)
    assert "tag=v1&platform=%7B%22os%22%3A+%22linux%22%2C+%22architecture%22" in daemon.targets("POST")[-1]


@pytest.mark.feature("push.succeeds")
@pytest.mark.parametrize(
    ("text", "reason", "untold"),
    [
        ('error parsing HTTP 404 response body: unexpected end of JSON input: ""', None, False),
        ("error parsing HTTP 404 response body: invalid character '<'", Reason.REGISTRY_UNAVAILABLE, False),
        ('error parsing HTTP 503 response body: unexpected end of JSON input: ""', Reason.REGISTRY_UNAVAILABLE, False),
        ("missing or empty Content-Length header", Reason.REGISTRY_UNAVAILABLE, True),
    ],
)
async def test_an_answer_with_a_status_is_none_that_cannot_be_made_out(
    daemon: ScriptedDaemon, engine: DockerEngine, text: str, reason: Reason | None, *, untold: bool
) -> None:
    """A push that cannot be read back counts as done, and a registry that has nothing must not pass for that."""
    daemon.answer("GET", "/distribution/.*", json_answer({"message": text}, 500))
    if reason is None:
        assert await engine.distribution(REF, auth=None) is None
        return
    with pytest.raises(OperationError) as caught:
        await engine.distribution(REF, auth=None)
    assert (caught.value.reason, isinstance(caught.value, UnreadableAnswerError)) == (reason, untold)


async def test_every_transfer_names_its_credential_or_none(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """The header goes along with each request that can reach a registry, and with no other."""
    daemon.answer("POST", "/images/create", stream_answer(PULLED))
    daemon.answer("GET", "/distribution/.*", json_answer({"Descriptor": {"digest": DIGEST}}))
    await engine.pull(REF, platform=None, auth=AUTH, sink=ignore)
    await engine.pull(REF, platform=None, auth=None, sink=ignore)
    await engine.distribution(REF, auth=AUTH)
    assert await engine.inspect("x") is None
    headers = [request.headers.get("X-Registry-Auth") for request in daemon.requests]
    names = [request.target.split("/")[-1].partition("?")[0] for request in daemon.requests]
    with_header = {name for name, header in zip(names, headers, strict=True) if header}
    assert with_header == {"create", "json"}
    assert len({header for header in headers if header}) == 2
    assert [
        header for request, header in zip(daemon.requests, headers, strict=True) if "/images/x" in request.target
    ] == [None]


@pytest.mark.feature("cancel.running")
@pytest.mark.parametrize(
    "head",
    [b"", stream_answer(LAYER, end=False), stream_answer(PULLED, end=False)],
    ids=["before the answer", "in the stream", "after the last words"],
)
async def test_cancelling_closes_the_connection(daemon: ScriptedDaemon, engine: DockerEngine, head: bytes) -> None:
    """At any point of a pull, though the daemon goes on: the task ends, the connection closes, the thread is free."""
    daemon.answer("POST", "/images/create", lambda connection: daemon.hold(connection, head))
    task = asyncio.create_task(engine.pull(REF, platform=None, auth=None, sink=ignore))
    await until(lambda: bool(daemon.targets("POST")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(daemon.closed_by_client.is_set)
    daemon.answer("POST", "/images/create", stream_answer(PULLED))
    for _ in range(4):
        await asyncio.wait_for(engine.pull(REF, platform=None, auth=None, sink=ignore), WAIT_SECONDS)


async def test_a_waiting_transfer_can_be_cancelled_too(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """What waits for a free place goes without ever having reached the daemon."""
    daemon.answer("POST", "/images/create", daemon.hold)
    tasks = [asyncio.create_task(engine.pull(REF, platform=None, auth=None, sink=ignore)) for _ in range(3)]
    await until(lambda: len(daemon.targets("POST")) == 2)
    for task in reversed(tasks):
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 3
    assert len(daemon.targets("POST")) == 2


@pytest.mark.feature("fair.quick-work")
async def test_quick_calls_do_not_wait_for_transfers(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """With all transfers and all registry look-ups stuck, a tag still goes through."""
    daemon.answer("POST", "/images/create", daemon.hold)
    daemon.answer("GET", "/distribution/.*", daemon.hold)
    daemon.answer("POST", "/images/.*/tag", b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
    stuck = [asyncio.create_task(engine.pull(REF, platform=None, auth=None, sink=ignore)) for _ in range(5)]
    stuck += [asyncio.create_task(engine.distribution(REF, auth=None)) for _ in range(5)]  # type: ignore[arg-type]
    await until(lambda: len([target for target in daemon.targets("POST") if "create" in target]) == 2)
    await asyncio.wait_for(engine.tag("a:1", REF), 2)
    assert daemon.targets("POST")[-1] == "/v1.52/images/a:1/tag?repo=registry.test%2Fteam%2Fapp&tag=v1"
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


@pytest.mark.feature("timeout.quiet-stream")
async def test_a_quiet_stream_goes_on_while_the_daemon_lives(
    daemon: ScriptedDaemon, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence makes the engine ask for a sign of life, and with one it waits on."""
    monkeypatch.setattr(docker_engine, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(pool, "PROBE_EVERY_SECONDS", 0.05)
    go = threading.Event()

    def late(connection: socket.socket) -> None:
        answer = stream_answer(PULLED)
        connection.sendall(answer[:80])
        go.wait(WAIT_SECONDS)
        connection.sendall(answer[80:])

    daemon.answer("POST", "/images/create", late)
    task = asyncio.create_task(engine.pull(REF, platform=None, auth=None, sink=ignore))
    await until(lambda: daemon.targets("GET").count("/_ping") >= 3)
    go.set()
    assert (await task).digest == DIGEST


async def test_a_quiet_stream_of_a_dead_daemon_is_lost(
    daemon: ScriptedDaemon, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence without a sign of life is a lost connection, not an endless wait."""
    monkeypatch.setattr(docker_engine, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(pool, "PROBE_EVERY_SECONDS", 0.05)
    daemon.answer("POST", "/images/create", daemon.hold)
    daemon.answer("GET", "/_ping", b"")
    assert await reason_of(engine.pull(REF, platform=None, auth=None, sink=ignore)) is Reason.DAEMON_CONNECTION_LOST
    await until(daemon.closed_by_client.is_set)


@pytest.mark.feature("error.daemon-down")
async def test_a_daemon_that_is_not_there_is_unavailable(sockets: Path) -> None:
    """No socket, nobody listening, and a daemon that breaks off every answer: each call says the daemon is away."""
    absent = DockerEngine("absent", f"unix://{sockets}/absent.sock")
    deaf_socket = socket.socket(socket.AF_UNIX)
    deaf_socket.bind(str(sockets / "deaf.sock"))
    deaf = DockerEngine("deaf", f"unix://{sockets}/deaf.sock")
    with ScriptedDaemon(sockets / "broken.sock") as daemon:
        daemon.answer("GET", ".*", b"")
        broken = DockerEngine("broken", daemon.address)
        for engine in (absent, deaf, broken):
            assert await reason_of(engine.ping()) is Reason.DAEMON_UNAVAILABLE
            assert await reason_of(engine.describe()) is Reason.DAEMON_UNAVAILABLE
            assert await reason_of(engine.inspect("a:1")) is Reason.DAEMON_UNAVAILABLE
            pull = engine.pull(REF, platform=None, auth=None, sink=ignore)
            assert await reason_of(pull) is Reason.DAEMON_UNAVAILABLE
            await engine.close()
    deaf_socket.close()


async def test_a_pull_that_never_reaches_the_daemon_has_not_begun(sockets: Path) -> None:
    """If the daemon goes between the description and the pull, the daemon is unavailable, not the connection lost."""
    with ScriptedDaemon(sockets / "d.sock") as daemon:
        engine = DockerEngine("builder", daemon.address)
        await engine.describe()
    (sockets / "d.sock").unlink()
    assert await reason_of(engine.pull(REF, platform=None, auth=None, sink=ignore)) is Reason.DAEMON_UNAVAILABLE
    await engine.close()


async def test_a_daemon_is_described_once_per_connection(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """As long as connections hold, the answer is remembered; after a restart it is asked for again."""
    first = await engine.describe()
    assert await engine.describe() is first
    assert daemon.targets("GET").count("/info") == 1
    daemon.engine_id = "another"
    daemon.drop_connections()
    await engine.ping()
    assert (await engine.describe()).engine_id == "another"


async def test_an_older_daemon_is_spoken_to_in_its_version(sockets: Path) -> None:
    """Engine 20.10 is asked without the parameters it does not know, and the answer is compared here."""
    with ScriptedDaemon(sockets / "d.sock", api_version="1.41") as daemon:
        daemon.answer(
            "GET", "/images/.*", json_answer({"Id": f"sha256:{1:064x}", "Os": "linux", "Architecture": "amd64"})
        )
        engine = DockerEngine("old", daemon.address)
        assert await engine.inspect("a:1", platform="linux/arm64") is None
        assert await engine.inspect("a:1", platform="linux/amd64") is not None
        assert daemon.targets("GET")[-1] == "/v1.41/images/a:1/json"
        assert await reason_of(engine.manifests("a:1")) is Reason.ENGINE_UNSUPPORTED
        push = engine.push(REF, platform="linux/arm64", auth=None, sink=ignore)
        assert await reason_of(push) is Reason.ENGINE_UNSUPPORTED
        assert not daemon.targets("POST")
        await engine.close()


@pytest.mark.feature("pull.shapes")
@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (404, f"NotFound: content digest sha256:{7:064x}: not found", f"sha256:{7:064x}"),
        (500, "unable to create manifests file: invalid checksum digest format", None),
        (200, "the export itself", None),
        (404, "No such image: a:1", Reason.IMAGE_NOT_ON_DAEMON),
        (500, "content digest sha256:7: not found", Reason.DAEMON_ERROR),
    ],
    ids=["absent", "walked", "whole", "no image", "no digest"],
)
async def test_an_index_that_the_daemon_lacks_is_named_by_the_refusal_of_an_export(
    daemon: ScriptedDaemon, engine: DockerEngine, status: int, message: str, expected: str | Reason | None
) -> None:
    """Nothing of an export is read; a refusal about something else is an error."""
    daemon.answer("GET", "/images/a:1/get", json_answer({"message": message}, status=status))
    if isinstance(expected, Reason):
        assert await reason_of(engine.absent_index("a:1")) is expected
    else:
        assert await engine.absent_index("a:1") == expected


@pytest.mark.parametrize("target", ["a/b@sha256:" + "0" * 64, "a/b:1@sha256:" + "0" * 64])
async def test_only_a_tag_can_be_written_to(daemon: ScriptedDaemon, engine: DockerEngine, target: str) -> None:
    """A digest as the target of a push or tag is refused; without a tag a daemon would push them all."""
    reference = Reference.parse(target)
    assert await reason_of(engine.tag("x:1", reference)) is Reason.INVALID_REFERENCE
    push = engine.push(reference, platform=None, auth=None, sink=ignore)
    assert await reason_of(push) is Reason.INVALID_REFERENCE
    assert not daemon.requests


@pytest.mark.feature("error.own-words")
async def test_errors_are_our_words_and_the_log_is_redacted(
    daemon: ScriptedDaemon, engine: DockerEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of the daemon's text is in the error, its causes or the log above DEBUG; at DEBUG no secret is."""
    caplog.set_level(logging.DEBUG)
    text = "denied: go to http://10.0.0.7/?sig=planted-sig with planted-password \x1b[31m"
    daemon.answer("POST", "/images/create", stream_answer(records({"errorDetail": {"message": text}})))
    with pytest.raises(OperationError) as caught:
        await engine.pull(REF, platform=None, auth=AUTH, sink=ignore)
    error: BaseException | None = caught.value
    assert str(REF) in caught.value.message
    while error is not None:
        assert not re.search("planted|10\\.0\\.0\\.7|go to", f"{error!s} {error!r} {vars(error)}")
        error = error.__cause__ or error.__context__
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "denied: go to [url]" in logged
    assert not re.search("planted|10\\.0\\.0\\.7|\x1b", logged)


async def test_a_broken_connection_brings_no_request_along(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """The error is not chained to the foreign one, which would hold the credential's header."""
    daemon.answer("POST", "/images/create", b"")
    with pytest.raises(OperationError) as caught:
        await engine.pull(REF, platform=None, auth=AUTH, sink=ignore)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_a_huge_answer_is_not_swallowed(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """An answer beyond all measure is an error, and so is one that is no object."""
    daemon.answer("GET", "/images/.*", json_answer({"Id": "x" * 9_000_000}))
    assert await reason_of(engine.inspect("a:1")) is Reason.DAEMON_ERROR
    daemon.answer("GET", "/images/.*", json_answer(["x"]))
    assert await reason_of(engine.inspect("a:1")) is Reason.DAEMON_ERROR
    daemon.answer("GET", "/images/.*", b"HTTP/1.1 200 X\r\nContent-Length: 3\r\n\r\n{]x")
    assert await reason_of(engine.inspect("a:1")) is Reason.DAEMON_ERROR


async def test_removing_what_is_not_there_is_no_error(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """An absent reference counts as removed; another refusal does not."""
    daemon.answer("DELETE", "/images/.*", json_answer({"message": "No such image: a:1"}, 404))
    await engine.remove("a:1")
    daemon.answer("DELETE", "/images/.*", json_answer({"message": "conflict: image is being used"}, 409))
    assert await reason_of(engine.remove("a:1")) is Reason.DAEMON_ERROR


async def test_a_404_that_does_not_speak_of_an_image_is_an_error(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """A proxy's page is not taken for an absent image."""
    daemon.answer("GET", "/images/.*", json_answer({"message": "page not found"}, 404))
    assert await reason_of(engine.inspect("a:1")) is Reason.DAEMON_ERROR


async def test_closing_ends_every_call_and_thread(daemon: ScriptedDaemon) -> None:
    """After close no thread is left, running calls have ended with an error, and new ones are refused."""
    engine = DockerEngine("closing", daemon.address, max_transfers=2)
    daemon.answer("POST", "/images/create", daemon.hold)
    tasks = [asyncio.create_task(engine.pull(REF, platform=None, auth=None, sink=ignore)) for _ in range(4)]
    await until(lambda: len(daemon.targets("POST")) == 2)
    await asyncio.wait_for(engine.close(), WAIT_SECONDS)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    reasons = [getattr(result, "reason", None) for result in results]
    assert set(reasons) <= {Reason.DAEMON_CONNECTION_LOST, Reason.DAEMON_UNAVAILABLE}
    assert reasons.count(Reason.DAEMON_CONNECTION_LOST) >= 2, "those that ran; another may not have begun its call yet"
    assert not threads("closing")
    assert await reason_of(engine.ping()) is Reason.DAEMON_UNAVAILABLE


async def test_a_sink_that_fails_ends_the_pull(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """A defect of the caller's is passed on as it is, not taken for one of the daemon's."""

    def broken(_: LayerRecord) -> None:
        raise KeyError("sink")

    daemon.answer("POST", "/images/create", stream_answer([*LAYER, *PULLED]))
    with pytest.raises(KeyError, match="sink"):
        await engine.pull(REF, platform=None, auth=None, sink=broken)


async def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    """An engine that could never transfer anything is a mistake in the configuration."""
    with pytest.raises(ValueError, match="max_workers"):
        DockerEngine("none", f"unix://{tmp_path}/x.sock", max_transfers=0)


async def test_a_thousand_transfers_leak_nothing(daemon: ScriptedDaemon, engine: DockerEngine) -> None:
    """Connections are used again, and neither threads nor descriptors grow."""
    daemon.answer("POST", "/images/create", stream_answer(PULLED))
    await asyncio.gather(*(engine.pull(REF, platform=None, auth=None, sink=ignore) for _ in range(20)))
    before = descriptors()
    for _ in range(10):
        await asyncio.gather(*(engine.pull(REF, platform=None, auth=None, sink=ignore) for _ in range(100)))
    assert descriptors() <= before + 2
    assert len(threads("builder-transfer")) <= 2
    assert daemon.targets("GET").count("/info") <= 6
